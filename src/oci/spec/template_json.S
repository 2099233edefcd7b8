/* The starting config.json (template.h). PROA_TEMPLATE_FILE comes from CMake. */
    .section .rodata.proa_template, "a"
    .globl proa_template_begin, proa_template_end
proa_template_begin:
    .incbin PROA_TEMPLATE_FILE
proa_template_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
