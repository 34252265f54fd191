# What a later release may do: a field behind the last of two structs.
/^struct pfs_link {/,/^};/s/^};/	uint32_t later[4];\n};/
/^struct pfs_bond {/,/^};/s/^};/	uint32_t later[4];\n};/
