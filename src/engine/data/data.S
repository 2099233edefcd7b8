/* The engine's data files (data.h). The paths come from CMake. */
    .section .rodata.proa_engine_data, "a"
    .globl proa_engine_seccomp, proa_engine_seccomp_end, proa_engine_defaults, proa_engine_defaults_end
    .globl proa_engine_words, proa_engine_words_end
proa_engine_seccomp:
    .incbin PROA_SECCOMP_FILE
proa_engine_seccomp_end:
    .byte 0
proa_engine_defaults:
    .incbin PROA_DEFAULTS_FILE
proa_engine_defaults_end:
    .byte 0
proa_engine_words:
    .incbin PROA_WORDS_FILE
proa_engine_words_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
