// SPDX-License-Identifier: Apache-2.0
#include "bpf.h"

#include <stdbool.h>
#include <stdlib.h>

/* Loads are big-endian; one that does not fit ends the program, which then drops. */
static bool load(const uint8_t *packet, size_t len, uint32_t at, uint32_t size, uint32_t *value)
{
	if (at > len || len - at < size)
		return false;
	*value = 0;
	for (uint32_t i = 0; i < size; i++)
		*value = *value << 8 | packet[at + i];
	return true;
}

uint32_t bpf_run(const struct sock_filter *insns, size_t n, const uint8_t *packet, size_t len)
{
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = { 0 };

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *insn = &insns[pc];

		switch (insn->code) {
		case BPF_LD | BPF_W | BPF_LEN:
			a = (uint32_t)len;
			break;
		case BPF_LD | BPF_ABS | BPF_W:
			if (!load(packet, len, insn->k, 4, &a))
				return 0;
			break;
		case BPF_LD | BPF_ABS | BPF_H:
			if (!load(packet, len, insn->k, 2, &a))
				return 0;
			break;
		case BPF_LD | BPF_ABS | BPF_B:
			if (!load(packet, len, insn->k, 1, &a))
				return 0;
			break;
		case BPF_LD | BPF_MEM:
			a = memory[insn->k];
			break;
		case BPF_ST:
			memory[insn->k] = a;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_ALU | BPF_LSH | BPF_K:
			a <<= insn->k;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= insn->k;
			break;
		case BPF_ALU | BPF_OR | BPF_X:
			a |= x;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= insn->k ? insn->jt : insn->jf;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == insn->k ? insn->jt : insn->jf;
			break;
		case BPF_JMP | BPF_JEQ | BPF_X:
			pc += a == x ? insn->jt : insn->jf;
			break;
		case BPF_RET | BPF_K:
			return insn->k;
		default:
			abort();
		}
	}
	/* The kernel takes no program that can run off its end. */
	abort();
}
