// SPDX-License-Identifier: Apache-2.0
#include "swap.h"

/* What an attribute holds. */
enum { OPAQUE, U16, U32, NEST, VF_LIST };

/* A level of nests: types of its attributes. */
struct level {
	uint8_t is[64];
	const struct level *in[64];
};

static const struct level vf = {
	/* struct ifla_vf_link_state: two u32; the others are not read. */
	.is = { [5] = U32 },
};
static const struct level vf_list = { .is = { [1] = NEST }, .in = { [1] = &vf } };
static const struct level ad_info = { .is = { [1] = U16, [2] = U16, [3] = U16, [4] = U16 } };
static const struct level bond = {
	.is = { [3] = U32, [18] = U32, [23] = NEST }, .in = { [23] = &ad_info },
};
static const struct level port = { .is = { [6] = U16, [8] = U16 } };
static const struct level linkinfo = {
	.is = { [2] = NEST, [5] = NEST }, .in = { [2] = &bond, [5] = &port },
};
static const struct level top = {
	.is = { [4] = U32, [10] = U32, [18] = NEST, [21] = U32, [22] = VF_LIST },
	.in = { [18] = &linkinfo, [22] = &vf_list },
};

static uint16_t swap16(uint8_t *at)
{
	uint16_t little = (uint16_t)(at[0] | at[1] << 8);
	uint8_t first = at[0];

	at[0] = at[1];
	at[1] = first;
	return little;
}

static uint32_t swap32(uint8_t *at)
{
	uint32_t low = swap16(at), high = swap16(at + 2);

	for (int i = 0; i < 2; i++) {
		uint8_t byte = at[i];

		at[i] = at[i + 2];
		at[i + 2] = byte;
	}
	return high << 16 | low;
}

static bool swap_attributes(uint8_t *at, size_t len, const struct level *level)
{
	while (len >= 4) {
		size_t nla_len = swap16(at);
		unsigned int type = swap16(at + 2) & 0x3fff;
		unsigned int is = type < 64 ? level->is[type] : OPAQUE;
		size_t step;

		if (nla_len < 4 || nla_len > len)
			return false;
		for (size_t i = 4; is == U16 && i + 2 <= nla_len; i += 2)
			swap16(at + i);
		for (size_t i = 4; is == U32 && i + 4 <= nla_len; i += 4)
			swap32(at + i);
		if (is >= NEST && !swap_attributes(at + 4, nla_len - 4, level->in[type]))
			return false;
		step = (nla_len + 3) / 4 * 4;
		if (step >= len)
			return true;
		at += step;
		len -= step;
	}
	return len == 0;
}

bool swap_link_message(uint8_t *bytes, size_t len)
{
	uint32_t nlmsg_len;

	if (len < 32)
		return false;
	nlmsg_len = swap32(bytes);
	swap16(bytes + 4);
	swap16(bytes + 6);
	swap32(bytes + 8);
	swap32(bytes + 12);
	/* struct ifinfomsg: family, pad, u16 type, int index, flags, change. */
	swap16(bytes + 18);
	swap32(bytes + 20);
	swap32(bytes + 24);
	swap32(bytes + 28);
	if (nlmsg_len < 32 || nlmsg_len > len)
		return false;
	return swap_attributes(bytes + 32, nlmsg_len - 32, &top);
}
