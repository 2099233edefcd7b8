/* The stage program (stage/), to be written into a memfd. PROA_STAGE_FILE comes from CMake. */
    .section .rodata.proa_stage, "a"
    .balign 16
    .globl proa_stage_begin, proa_stage_end
proa_stage_begin:
    .incbin PROA_STAGE_FILE
proa_stage_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
