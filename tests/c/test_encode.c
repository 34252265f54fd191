// SPDX-License-Identifier: Apache-2.0
/* Values to bytes: what is sent is what the kernel's own structs say. */

#include "harness.h"
#include "internal.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

static uint8_t buf[PFS_TX_BYTES + 8] __attribute__((aligned(8)));
static struct pfs_vf vfs[PFS_VF_SET_MAX + 1];

static uint32_t word(size_t at)
{
	uint32_t value;

	memcpy(&value, buf + at, sizeof(value));
	return value;
}

static uint16_t half(size_t at)
{
	uint16_t value;

	memcpy(&value, buf + at, sizeof(value));
	return value;
}

static void check_header(uint32_t len, uint16_t type, uint16_t flags, uint32_t seq,
			 uint32_t ifindex)
{
	CHECK_EQ(word(0), len);
	CHECK_EQ(half(4), type);
	CHECK_EQ(half(6), flags);
	CHECK_EQ(word(8), seq);
	CHECK_EQ(word(12), 0);
	CHECK_EQ(word(16), 0);
	CHECK_EQ(word(20), ifindex);
	CHECK_EQ(word(24), 0);
	CHECK_EQ(word(28), 0);
}

TEST(vf_set_encode_writes_what_do_setvfinfo_reads)
{
	static const struct pfs_vf pair[] = { { 3, PFS_VF_DISABLE }, { 300, PFS_VF_AUTO } };

	memset(buf, 0xee, sizeof(buf));
	CHECK_EQ(pfs_vf_set_encode(buf, sizeof(buf), 7, 0x01020304, pair, 2), 68);
	check_header(68, RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 0x01020304, 7);
	CHECK_EQ(half(32), 36);
	CHECK_EQ(half(34), IFLA_VFINFO_LIST | NLA_F_NESTED);
	for (size_t i = 0; i < 2; i++) {
		size_t at = 36 + 16 * i;

		CHECK_EQ(half(at), 16);
		CHECK_EQ(half(at + 2), IFLA_VF_INFO | NLA_F_NESTED);
		CHECK_EQ(half(at + 4), 12);
		CHECK_EQ(half(at + 6), IFLA_VF_LINK_STATE);
		CHECK_EQ(word(at + 8), pair[i].vf);
		CHECK_EQ(word(at + 12), pair[i].link_state);
	}
	CHECK_EQ(word(68), 0xeeeeeeee);
}

TEST(vf_set_encode_fits_exactly_or_refuses)
{
	static const size_t counts[] = { 0, 1, 2, 255, 4093, 4094 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		size_t n = counts[i], need = n ? 36 + 16 * n : 32;

		for (size_t capacity = need < 64 ? 0 : need - 64; capacity <= need + 1; capacity++) {
			int ret;

			memset(buf, 0xee, sizeof(buf));
			ret = pfs_vf_set_encode(buf, capacity, 7, 1, vfs, n);
			CHECK_EQ(ret, capacity < need ? -EMSGSIZE : (long long)need);
			CHECK_EQ(buf[capacity], 0xee);
		}
	}
	CHECK_EQ(PFS_VF_SET_BYTES(PFS_VF_SET_MAX), sizeof(buf) - 8);
	CHECK_EQ(pfs_vf_set_encode(buf, 1u << 20, 7, 1, vfs, PFS_VF_SET_MAX + 1), -EMSGSIZE);
	/* The list's own 16-bit length does not wrap at the most that is allowed. */
	CHECK_EQ(pfs_vf_set_encode(buf, sizeof(buf), 7, 1, vfs, PFS_VF_SET_MAX), 65540);
	CHECK_EQ(half(32), 65508);
}

TEST(vf_set_encode_refuses_buffers_that_are_not_aligned)
{
	for (size_t shift = 1; shift < 4; shift++)
		CHECK_EQ(pfs_vf_set_encode(buf + shift, 1000, 7, 1, vfs, 1), -EINVAL);
}

TEST(link_get_encode_asks_for_vfs_only_where_they_are_wanted)
{
	CHECK_EQ(pfs_link_get_encode(buf, sizeof(buf), 5, 7, NULL, false), 40);
	check_header(40, RTM_GETLINK, NLM_F_REQUEST, 5, 7);
	CHECK_EQ(half(32), 8);
	CHECK_EQ(half(34), IFLA_EXT_MASK);
	CHECK_EQ(word(36), 8 /* RTEXT_FILTER_SKIP_STATS */);
	CHECK_EQ(pfs_link_get_encode(buf, sizeof(buf), 5, 7, NULL, true), 40);
	CHECK_EQ(word(36), 8 | 1 /* RTEXT_FILTER_VF */);
}

TEST(link_get_encode_takes_long_names_for_alternative_ones)
{
	static const struct {
		size_t len;
		int type;	/* 0: refused */
	} rows[] = {
		{ 0, 0 }, { 1, IFLA_IFNAME }, { 15, IFLA_IFNAME }, { 16, 53 /* IFLA_ALT_IFNAME */ },
		{ 127, 53 }, { 128, 0 }, { 1000, 0 },
	};
	char name[1001];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int ret;

		memset(name, 'n', sizeof(name));
		name[rows[i].len] = '\0';
		ret = pfs_link_get_encode(buf, sizeof(buf), 5, 0, name, false);
		if (!rows[i].type) {
			CHECK_EQ(ret, -EINVAL);
			continue;
		}
		CHECK_EQ(ret, 40 + (long long)((4 + rows[i].len + 1 + 3) / 4 * 4));
		CHECK_EQ(half(40), 4 + rows[i].len + 1);
		CHECK_EQ(half(42), rows[i].type);
		CHECK_STR((char *)buf + 44, name);
	}
}

TEST(link_dump_encode_asks_for_all_without_vfs)
{
	CHECK_EQ(pfs_link_dump_encode(buf, sizeof(buf), 9), 40);
	check_header(40, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 9, 0);
	CHECK_EQ(word(36), 8);
}
