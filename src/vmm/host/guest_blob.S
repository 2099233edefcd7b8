/* The guest's init (src/guest), for initial RAM disks. PROA_GUEST_FILE comes from CMake. */
    .section .rodata.proa_guest, "a"
    .balign 16
    .globl proa_guest_begin, proa_guest_end
proa_guest_begin:
    .incbin PROA_GUEST_FILE
proa_guest_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
