// schema/rbac.policy, as it is.
    .section .rodata.proa_rbac_policy, "a", @progbits
    .globl proa_rbac_policy
    .globl proa_rbac_policy_end
    .hidden proa_rbac_policy
    .hidden proa_rbac_policy_end
proa_rbac_policy:
    .incbin PROA_RBAC_POLICY
proa_rbac_policy_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
