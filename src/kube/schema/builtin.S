// The table of schema/*.schema, as schema_table made it.
    .section .rodata.proa_kube_table, "a", @progbits
    .globl proa_kube_table
    .globl proa_kube_table_end
    .hidden proa_kube_table
    .hidden proa_kube_table_end
    .balign 8
proa_kube_table:
    .incbin PROA_KUBE_TABLE
proa_kube_table_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
