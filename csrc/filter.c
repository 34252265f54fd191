// SPDX-License-Identifier: Apache-2.0
/*
 * A classic BPF program for the event socket: on a node that makes and deletes
 * thousands of veth pairs, only the watched PFs wake us.
 *
 * It sees one notification from its nlmsghdr on. Loads are big-endian whatever
 * the host is, so constants are made from the bytes as they lie in memory.
 * Whatever looks unlike a lone link message passes: dropping too little costs
 * a wake-up, dropping too much an outage.
 */

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "internal.h"

#define PASS 0xffffffffu
#define DROP 0u

/* Offsets in the message: IFLA_IFNAME is the first attribute the kernel writes. */
#define AT_TYPE offsetof(struct nlmsghdr, nlmsg_type)
#define AT_IFINDEX (NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_index))
#define AT_ATTR NLMSG_LENGTH(sizeof(struct ifinfomsg))
#define AT_ATTR_TYPE (AT_ATTR + offsetof(struct nlattr, nla_type))
#define AT_NAME (AT_ATTR + NLA_HDRLEN)

#define NAME_WORDS (PFS_IFNAMSIZ / 4)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define AT_LEN_LOW 0
#define AT_LEN_HIGH 1
#else
#define AT_LEN_LOW 3
#define AT_LEN_HIGH 2
#endif

struct program {
	struct sock_filter *insns;
	size_t capacity;
	size_t len;
};

/* Past the end it only counts: pfs_filter_build() refuses the whole. */
static void add(struct program *prog, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (prog->len < prog->capacity)
		prog->insns[prog->len] = (struct sock_filter){ code, jt, jf, k };
	prog->len++;
}

static void load(struct program *prog, uint16_t size, size_t at)
{
	add(prog, BPF_LD | BPF_ABS | size, 0, 0, (uint32_t)at);
}

/* Skips @jt instructions if equal, @jf if not. */
static void equal(struct program *prog, uint32_t k, uint8_t jt, uint8_t jf)
{
	add(prog, BPF_JMP | BPF_JEQ | BPF_K, jt, jf, k);
}

static void verdict(struct program *prog, uint32_t k)
{
	add(prog, BPF_RET | BPF_K, 0, 0, k);
}

static uint32_t as_loaded_32(const void *bytes)
{
	const uint8_t *b = bytes;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t as_loaded_16(uint16_t value)
{
	uint8_t b[sizeof(value)];

	memcpy(b, &value, sizeof(value));
	return (uint32_t)b[0] << 8 | b[1];
}

/* The name's words were stored: see pfs_filter_build(). */
static int add_name(struct program *prog, const char *name)
{
	uint8_t padded[PFS_IFNAMSIZ] = { 0 };
	size_t len = strlen(name);
	size_t words = len / 4 + 1;	/* the terminator belongs to the comparison */

	if (!len || len >= PFS_IFNAMSIZ)
		return -EINVAL;
	memcpy(padded, name, len);
	for (size_t i = 0; i + 1 < words; i++) {
		add(prog, BPF_LD | BPF_MEM, 0, 0, (uint32_t)i);
		equal(prog, as_loaded_32(padded + 4 * i), 0, (uint8_t)(2 * (words - i - 2) + 4));
	}
	/* What follows the terminator is nobody's business. */
	add(prog, BPF_LD | BPF_MEM, 0, 0, (uint32_t)(words - 1));
	add(prog, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xffffffffu << 8 * (3 - len % 4));
	equal(prog, as_loaded_32(padded + 4 * (words - 1)), 0, 1);
	verdict(prog, PASS);
	return 0;
}

/* Returns the number of instructions, or -EINVAL. */
int pfs_filter_build(struct sock_filter *insns, size_t capacity, const uint32_t *ifindexes,
		     size_t n_index, const char *const *names, size_t n_name)
{
	struct program prog = { .insns = insns, .capacity = capacity };

	/* A load beyond the end would drop, so short messages pass here. */
	add(&prog, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
	add(&prog, BPF_JMP | BPF_JGE | BPF_K, 1, 0, AT_NAME + PFS_IFNAMSIZ);
	verdict(&prog, PASS);

	/* More than one message in the datagram: the first does not speak for the rest. */
	load(&prog, BPF_B, AT_LEN_HIGH);
	add(&prog, BPF_ALU | BPF_LSH | BPF_K, 0, 0, 8);
	add(&prog, BPF_MISC | BPF_TAX, 0, 0, 0);
	load(&prog, BPF_B, AT_LEN_LOW);
	add(&prog, BPF_ALU | BPF_OR | BPF_X, 0, 0, 0);
	add(&prog, BPF_MISC | BPF_TAX, 0, 0, 0);
	add(&prog, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
	add(&prog, BPF_JMP | BPF_JEQ | BPF_X, 1, 0, 0);
	verdict(&prog, PASS);

	load(&prog, BPF_H, AT_TYPE);
	equal(&prog, as_loaded_16(RTM_NEWLINK), 2, 0);
	equal(&prog, as_loaded_16(RTM_DELLINK), 1, 0);
	verdict(&prog, PASS);

	load(&prog, BPF_W, AT_IFINDEX);
	for (size_t i = 0; i < n_index; i++)
		/* To the one verdict behind them; the last jumps over it where it differs. */
		equal(&prog, as_loaded_32(&ifindexes[i]), (uint8_t)(n_index - i - 1),
		      i + 1 == n_index);
	if (n_index)
		verdict(&prog, PASS);

	load(&prog, BPF_H, AT_ATTR_TYPE);
	equal(&prog, as_loaded_16(IFLA_IFNAME), 1, 0);
	verdict(&prog, PASS);
	/*
	 * The kernel makes a dozen instructions of each load from the message, one
	 * of a load from memory, and counts them against net.core.optmem_max.
	 */
	for (size_t i = 0; i < NAME_WORDS && n_name; i++) {
		load(&prog, BPF_W, AT_NAME + 4 * i);
		add(&prog, BPF_ST, 0, 0, (uint32_t)i);
	}
	for (size_t i = 0; i < n_name; i++) {
		int ret = add_name(&prog, names[i]);

		if (ret < 0)
			return ret;
	}
	verdict(&prog, DROP);
	return prog.len <= capacity ? (int)prog.len : -EINVAL;
}
