// SPDX-License-Identifier: Apache-2.0
/* Bytes to values. No system calls, no context: this file is what is fuzzed. */

#include <errno.h>
#include <linux/if_bonding.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

/* The first release's structs end here; a caller cannot know less. */
#define LINK_SIZE_MIN 84u
#define BOND_SIZE_MIN 52u
/* More than any release will have: the caller's size was never set. */
#define SIZE_MAX_SANE 4096u

/* The kernel's MAX_ERRNO: what lies beyond is no errno, and may not be negated. */
#define ERRNO_MAX 4095

/* Fields are added behind these, and the minima stay. */
_Static_assert(offsetof(struct pfs_link, reserved) + 2 == LINK_SIZE_MIN, "the first release's link");
_Static_assert(offsetof(struct pfs_bond, name) + 16 == BOND_SIZE_MIN, "the first release's bond");

static const struct nla_policy linkinfo_policy[IFLA_INFO_MAX + 1] = {
	[IFLA_INFO_KIND] = { .type = NLA_STRING, .minlen = 1 },
	[IFLA_INFO_SLAVE_KIND] = { .type = NLA_STRING, .minlen = 1 },
};

static const struct nla_policy port_policy[IFLA_BOND_SLAVE_MAX + 1] = {
	[IFLA_BOND_SLAVE_STATE] = { .type = NLA_U8 },
	[IFLA_BOND_SLAVE_AD_AGGREGATOR_ID] = { .type = NLA_U16 },
	[IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE] = { .type = NLA_U8 },
	[IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE] = { .type = NLA_U16 },
};

static const struct nla_policy bond_policy[IFLA_BOND_MAX + 1] = {
	[IFLA_BOND_MODE] = { .type = NLA_U8 },
	[IFLA_BOND_MIIMON] = { .type = NLA_U32 },
	[IFLA_BOND_MIN_LINKS] = { .type = NLA_U32 },
	[IFLA_BOND_AD_LACP_RATE] = { .type = NLA_U8 },
};

static const struct nla_policy ad_info_policy[IFLA_BOND_AD_INFO_MAX + 1] = {
	[IFLA_BOND_AD_INFO_AGGREGATOR] = { .type = NLA_U16 },
	[IFLA_BOND_AD_INFO_NUM_PORTS] = { .type = NLA_U16 },
	[IFLA_BOND_AD_INFO_ACTOR_KEY] = { .type = NLA_U16 },
	[IFLA_BOND_AD_INFO_PARTNER_KEY] = { .type = NLA_U16 },
	[IFLA_BOND_AD_INFO_PARTNER_MAC] = { .type = NLA_UNSPEC, .minlen = 6 },
};

/* A nest that libnl would stop reading in the middle is malformed, not short. */
static int parse_nest(struct nlattr **tb, int maxtype, const struct nlattr *nest,
		      const struct nla_policy *policy)
{
	const struct nlattr *nla;
	int remaining;

	nla_for_each_nested(nla, nest, remaining)
		;
	if (remaining > 0)
		return -EBADMSG;
	if (nla_parse(tb, maxtype, nla_data(nest), nla_len(nest), policy) < 0)
		return -EBADMSG;
	return 0;
}

static void copy_string(char *to, size_t size, const struct nlattr *nla)
{
	size_t len = strnlen(nla_data(nla), (size_t)nla_len(nla));

	if (len >= size)
		len = size - 1;
	memcpy(to, nla_data(nla), len);
	memset(to + len, 0, size - len);
}

static int decode_port(const struct nlattr *nest, struct pfs_link *link)
{
	struct nlattr *tb[IFLA_BOND_SLAVE_MAX + 1];
	int ret = parse_nest(tb, IFLA_BOND_SLAVE_MAX, nest, port_policy);

	if (ret < 0)
		return ret;
	if (tb[IFLA_BOND_SLAVE_STATE]) {
		link->slave_state = nla_get_u8(tb[IFLA_BOND_SLAVE_STATE]);
		link->known |= PFS_LINK_SLAVE_STATE;
	}
	if (tb[IFLA_BOND_SLAVE_AD_AGGREGATOR_ID]) {
		link->aggregator_id = nla_get_u16(tb[IFLA_BOND_SLAVE_AD_AGGREGATOR_ID]);
		link->known |= PFS_LINK_AGGREGATOR_ID;
	}
	if (tb[IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE]) {
		link->actor_oper_port_state =
			nla_get_u8(tb[IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE]);
		link->known |= PFS_LINK_ACTOR_STATE;
	}
	/* An octet in a u16: reading it as u8 is wrong on big-endian. */
	if (tb[IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE]) {
		link->partner_oper_port_state =
			(uint8_t)nla_get_u16(tb[IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE]);
		link->known |= PFS_LINK_PARTNER_STATE;
	}
	return 0;
}

static int decode_ad_info(const struct nlattr *nest, struct pfs_bond *bond)
{
	struct nlattr *tb[IFLA_BOND_AD_INFO_MAX + 1];
	int ret = parse_nest(tb, IFLA_BOND_AD_INFO_MAX, nest, ad_info_policy);

	if (ret < 0)
		return ret;
	/* The kernel fills all five or omits the nest. */
	for (int type = 1; type <= IFLA_BOND_AD_INFO_PARTNER_MAC; type++)
		if (!tb[type])
			return -EBADMSG;
	bond->ad_aggregator = nla_get_u16(tb[IFLA_BOND_AD_INFO_AGGREGATOR]);
	bond->ad_num_ports = nla_get_u16(tb[IFLA_BOND_AD_INFO_NUM_PORTS]);
	bond->ad_actor_key = nla_get_u16(tb[IFLA_BOND_AD_INFO_ACTOR_KEY]);
	bond->ad_partner_key = nla_get_u16(tb[IFLA_BOND_AD_INFO_PARTNER_KEY]);
	memcpy(bond->ad_partner_mac, nla_data(tb[IFLA_BOND_AD_INFO_PARTNER_MAC]),
	       sizeof(bond->ad_partner_mac));
	bond->known |= PFS_BOND_AD_INFO;
	return 0;
}

static int decode_bond(const struct nlattr *nest, struct pfs_bond *bond)
{
	struct nlattr *tb[IFLA_BOND_MAX + 1];
	int ret = parse_nest(tb, IFLA_BOND_MAX, nest, bond_policy);

	if (ret < 0)
		return ret;
	if (tb[IFLA_BOND_MODE]) {
		bond->mode = nla_get_u8(tb[IFLA_BOND_MODE]);
		bond->known |= PFS_BOND_MODE;
	}
	if (tb[IFLA_BOND_MIIMON]) {
		bond->miimon = nla_get_u32(tb[IFLA_BOND_MIIMON]);
		bond->known |= PFS_BOND_MIIMON;
	}
	if (tb[IFLA_BOND_MIN_LINKS]) {
		bond->min_links = nla_get_u32(tb[IFLA_BOND_MIN_LINKS]);
		bond->known |= PFS_BOND_MIN_LINKS;
	}
	if (tb[IFLA_BOND_AD_LACP_RATE]) {
		bond->ad_lacp_rate = nla_get_u8(tb[IFLA_BOND_AD_LACP_RATE]);
		bond->known |= PFS_BOND_AD_LACP_RATE;
	}
	if (tb[IFLA_BOND_AD_INFO])
		return decode_ad_info(tb[IFLA_BOND_AD_INFO], bond);
	return 0;
}

static int decode_linkinfo(const struct nlattr *nest, struct pfs_link *link, struct pfs_bond *bond)
{
	struct nlattr *tb[IFLA_INFO_MAX + 1];
	int ret = parse_nest(tb, IFLA_INFO_MAX, nest, linkinfo_policy);

	if (ret < 0)
		return ret;
	if (tb[IFLA_INFO_KIND])
		copy_string(link->kind, sizeof(link->kind), tb[IFLA_INFO_KIND]);
	if (tb[IFLA_INFO_SLAVE_KIND])
		copy_string(link->slave_kind, sizeof(link->slave_kind), tb[IFLA_INFO_SLAVE_KIND]);
	if (tb[IFLA_INFO_SLAVE_DATA] && !strcmp(link->slave_kind, "bond")) {
		ret = decode_port(tb[IFLA_INFO_SLAVE_DATA], link);
		if (ret < 0)
			return ret;
	}
	if (tb[IFLA_INFO_DATA] && !strcmp(link->kind, "bond"))
		ret = decode_bond(tb[IFLA_INFO_DATA], bond);
	return ret;
}

/*
 * From here on by hand: no libnl function reads a list whose 16-bit length has
 * wrapped, and 512 VFs times ten attributes are many function calls.
 */
struct attr {
	uint16_t len;	/* header included, padding not */
	uint16_t type;	/* flags removed */
};

/* Returns the padded length, 0 if no whole attribute is left. */
static size_t attr_next(const uint8_t *at, size_t remaining, struct attr *attr)
{
	size_t padded;

	if (remaining < NLA_HDRLEN)
		return 0;
	memcpy(attr, at, sizeof(*attr));
	attr->type &= NLA_TYPE_MASK;
	if (attr->len < NLA_HDRLEN || attr->len > remaining)
		return 0;
	padded = NLA_ALIGN((size_t)attr->len);
	return padded < remaining ? padded : remaining;
}

/* Returns 1 if @vf was filled, 0 if the entry tells no link state. */
static int decode_vf(const uint8_t *at, size_t remaining, struct pfs_vf *vf)
{
	int found = 0;

	while (remaining) {
		struct attr attr;
		size_t step = attr_next(at, remaining, &attr);

		if (!step)
			return -EBADMSG;
		if (attr.type == IFLA_VF_LINK_STATE) {
			if (attr.len < NLA_HDRLEN + sizeof(*vf))
				return -EBADMSG;
			/* struct ifla_vf_link_state has our layout. */
			memcpy(vf, at + NLA_HDRLEN, sizeof(*vf));
			found = 1;
		}
		at += step;
		remaining -= step;
	}
	return found;
}

/*
 * Walks IFLA_VFINFO_LIST at @at by its entries. nla_len wraps at 65,536 and
 * the kernel does not notice, but all entries are there: they end when
 * IFLA_NUM_VF of them were seen or something else begins, and the distance
 * must then agree with nla_len modulo 65,536.
 *
 * Returns the bytes that the list really takes, or -EBADMSG.
 */
static ssize_t decode_vfs(const uint8_t *at, size_t remaining, struct pfs_link *link,
			  struct pfs_vf *vfs, size_t capacity)
{
	size_t pos = NLA_HDRLEN;
	uint32_t entries = 0;
	uint16_t nla_len;

	memcpy(&nla_len, at, sizeof(nla_len));
	while (pos < remaining) {
		struct pfs_vf vf;
		struct attr attr;
		size_t step;
		int ret;

		if ((link->known & PFS_LINK_NUM_VF) && entries == link->num_vf)
			break;
		step = attr_next(at + pos, remaining - pos, &attr);
		if (!step)
			return -EBADMSG;
		if (attr.type != IFLA_VF_INFO)
			break;
		ret = decode_vf(at + pos + NLA_HDRLEN, attr.len - NLA_HDRLEN, &vf);
		if (ret < 0)
			return ret;
		if (ret) {
			if (vfs && link->vf_count < capacity)
				vfs[link->vf_count] = vf;
			link->vf_count++;
		}
		entries++;
		pos += step;
	}
	if ((pos & 0xffff) != nla_len)
		return -EBADMSG;
	link->known |= PFS_LINK_VFS;
	return (ssize_t)pos;
}

/*
 * IFLA_IFNAME. The filter in the kernel judges by the first attribute alone and
 * up to the terminator: a message that it could read otherwise than we do is
 * refused here.
 */
static int decode_name(const struct nlattr *nla, struct pfs_link *link)
{
	size_t room = (size_t)nla_len(nla);
	size_t len = strnlen(nla_data(nla), room);

	if (!len || len == room || len >= sizeof(link->name) || link->name[0])
		return -EBADMSG;
	copy_string(link->name, sizeof(link->name), nla);
	return 0;
}

static int decode_attr(const struct nlattr *nla, struct pfs_link *link, struct pfs_bond *bond)
{
	static const uint8_t payload_min[] = {
		[IFLA_MASTER] = sizeof(uint32_t),
		[IFLA_OPERSTATE] = sizeof(uint8_t),
		[IFLA_NUM_VF] = sizeof(uint32_t),
	};
	size_t type = (size_t)nla_type(nla);

	if (type < sizeof(payload_min) && nla_len(nla) < payload_min[type])
		return -EBADMSG;
	switch (type) {
	case IFLA_IFNAME:
		return decode_name(nla, link);
	case IFLA_LINKINFO:
		return decode_linkinfo(nla, link, bond);
	case IFLA_MASTER:
		link->master_ifindex = nla_get_u32(nla);
		break;
	case IFLA_OPERSTATE:
		link->operstate = nla_get_u8(nla);
		link->known |= PFS_LINK_OPERSTATE;
		break;
	case IFLA_NUM_VF:
		link->num_vf = nla_get_u32(nla);
		link->known |= PFS_LINK_NUM_VF;
		break;
	}
	return 0;
}

static int decode_attrs(const uint8_t *at, size_t remaining, struct pfs_link *link,
			struct pfs_bond *bond, struct pfs_vf *vfs, size_t capacity)
{
	while (remaining) {
		const struct nlattr *nla = (const struct nlattr *)at;
		struct attr attr;
		size_t step;
		int ret;

		/* First of all: the length of this one may be a lie. */
		if (remaining >= NLA_HDRLEN && nla_type(nla) == IFLA_VFINFO_LIST) {
			ssize_t walked = decode_vfs(at, remaining, link, vfs, capacity);

			if (walked < 0)
				return (int)walked;
			at += walked;
			remaining -= (size_t)walked;
			continue;
		}
		step = attr_next(at, remaining, &attr);
		if (!step)
			return -EBADMSG;
		at += step;
		remaining -= step;
		ret = decode_attr(nla, link, bond);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static bool size_ok(uint32_t size, uint32_t min)
{
	return size >= min && size <= SIZE_MAX_SANE && size % sizeof(size) == 0;
}

bool pfs_link_size_ok(const struct pfs_link *link)
{
	return size_ok(link->size, LINK_SIZE_MIN);
}

/* Copies as much as the caller's struct has room for; zeros what we do not know. */
static void give(void *to, uint32_t to_size, const void *from, size_t from_size)
{
	size_t size = to_size < from_size ? to_size : from_size;

	memcpy((uint8_t *)to + sizeof(to_size), (const uint8_t *)from + sizeof(to_size),
	       size - sizeof(to_size));
	memset((uint8_t *)to + size, 0, to_size - size);
}

int pfs_link_decode(const void *buf, size_t len, struct pfs_link *link, struct pfs_bond *bond,
		    struct pfs_vf *vfs, size_t capacity)
{
	const uint8_t *bytes = buf;
	struct pfs_link full = { .size = sizeof(full) };
	struct pfs_bond full_bond = { .size = sizeof(full_bond) };
	struct nlmsghdr nlh;
	struct ifinfomsg ifi;
	int ret;

	if ((uintptr_t)buf % NLMSG_ALIGNTO || (link && !pfs_link_size_ok(link)) ||
	    (bond && !size_ok(bond->size, BOND_SIZE_MIN)))
		return -EINVAL;
	if (len < sizeof(nlh))
		return -EBADMSG;
	memcpy(&nlh, bytes, sizeof(nlh));
	if (nlh.nlmsg_len < sizeof(nlh) || nlh.nlmsg_len > len)
		return -EBADMSG;
	if (nlh.nlmsg_type != RTM_NEWLINK && nlh.nlmsg_type != RTM_DELLINK)
		return -ENOMSG;
	if (nlh.nlmsg_len < NLMSG_LENGTH(sizeof(ifi)))
		return -EBADMSG;
	memcpy(&ifi, bytes + NLMSG_HDRLEN, sizeof(ifi));
	/* A bridge's RTM_DELLINK of family AF_BRIDGE: the port left, it is not gone. */
	if (ifi.ifi_family != AF_UNSPEC)
		return -ENOMSG;

	full.ifindex = (uint32_t)ifi.ifi_index;
	full.flags = ifi.ifi_flags;
	ret = decode_attrs(bytes + NLMSG_LENGTH(sizeof(ifi)),
			   nlh.nlmsg_len - NLMSG_LENGTH(sizeof(ifi)), &full, &full_bond, vfs,
			   capacity);
	if (ret < 0)
		return ret;
	full_bond.ifindex = full.ifindex;
	memcpy(full_bond.name, full.name, sizeof(full_bond.name));
	if (link)
		give(link, link->size, &full, sizeof(full));
	if (bond)
		give(bond, bond->size, &full_bond, sizeof(full_bond));
	return nlh.nlmsg_type;
}

/*
 * NLMSG_ERROR: struct nlmsgerr, then the offending request unless
 * NLM_F_CAPPED. NLMSG_DONE: an int. Either ends in attributes if
 * NLM_F_ACK_TLVS. The caller vouches for nlh->nlmsg_len.
 */
int pfs_ack_decode(const struct nlmsghdr *nlh, struct pfs_ack *ack)
{
	const struct nlmsgerr *err = NLMSG_DATA(nlh);
	size_t payload = nlh->nlmsg_len - NLMSG_HDRLEN;
	size_t at = nlh->nlmsg_type == NLMSG_DONE ? sizeof(err->error) : sizeof(*err);
	const struct nlattr *text;

	ack->message[0] = '\0';
	if (payload < at || err->error > 0 || err->error < -ERRNO_MAX)
		return -EBADMSG;
	ack->error = err->error;
	if (!(nlh->nlmsg_flags & PFS_NLM_F_ACK_TLVS))
		return 0;
	if (at == sizeof(*err) && err->error && !(nlh->nlmsg_flags & PFS_NLM_F_CAPPED)) {
		if (err->msg.nlmsg_len < NLMSG_HDRLEN ||
		    err->msg.nlmsg_len > payload - sizeof(err->error))
			return -EBADMSG;
		at += NLMSG_ALIGN((size_t)err->msg.nlmsg_len) - NLMSG_HDRLEN;
	}
	/* The padding of a request that ends the message may be missing. */
	if (at > payload)
		at = payload;
	text = nla_find((struct nlattr *)((uint8_t *)NLMSG_DATA(nlh) + at), (int)(payload - at),
			PFS_NLMSGERR_ATTR_MSG);
	if (text)
		copy_string(ack->message, sizeof(ack->message), text);
	return 0;
}
