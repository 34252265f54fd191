// SPDX-License-Identifier: Apache-2.0
/* Bytes to values. No system calls, no context: this file is what is fuzzed. */

#include <errno.h>
#include <linux/if_bonding.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

/* More than any release will have: the caller's size was never set. */
#define SIZE_MAX_SANE 4096u

/* The kernel's MAX_ERRNO: what lies beyond is no errno, and may not be negated. */
#define ERRNO_MAX 4095

/* Fields are added behind these, and the minima stay. */
_Static_assert(offsetof(struct pfs_link, reserved) + 2 == PFS_LINK_SIZE_MIN,
	       "the first release's link");
_Static_assert(offsetof(struct pfs_bond, name) + 16 == PFS_BOND_SIZE_MIN,
	       "the first release's bond");

/* Bytes that are yet to be read. */
struct span {
	const uint8_t *at;
	size_t len;
};

struct attr {
	uint16_t type;	/* flags removed */
	struct span body;
};

/* The one walker: takes an attribute off the front of @rest. */
static inline int take_attr(struct span *rest, struct attr *attr)
{
	uint16_t head[2];	/* nla_len, with the header and without padding; nla_type */
	size_t step;

	if (rest->len < NLA_HDRLEN)
		return -EBADMSG;
	memcpy(head, rest->at, sizeof(head));
	if (head[0] < NLA_HDRLEN || head[0] > rest->len)
		return -EBADMSG;
	attr->type = head[1] & NLA_TYPE_MASK;
	attr->body.at = rest->at + NLA_HDRLEN;
	attr->body.len = head[0] - (size_t)NLA_HDRLEN;
	/* The padding of the last one may be missing. */
	step = NLA_ALIGN((size_t)head[0]);
	if (step > rest->len)
		step = rest->len;
	rest->at += step;
	rest->len -= step;
	return 0;
}

/* What one message tells. */
struct told {
	struct pfs_link link;
	struct pfs_bond bond;
	struct span bond_data, port_data;	/* not read before the kinds are known */
	struct pfs_vf *vfs;
	size_t capacity;
};

/* How one attribute is read: into a member of struct told, or by a function. */
struct field {
	enum { SKIP, NUMBER, STRING, SPAN, NEST, LIST } how;
	uint16_t wire;		/* a number's bytes; a longer attribute is read so far */
	uint16_t size;		/* of the member */
	uint16_t at;		/* the member */
	uint16_t known_at;	/* its struct's known */
	uint32_t known;		/* its bit; 0: absent reads 0 */
	int (*nest)(struct span body, struct told *told);
	int (*list)(struct span *rest, struct told *told);
};

#define MEMBER(of, member) \
	.size = sizeof(((struct told *)0)->of.member), .at = offsetof(struct told, of.member)
#define KNOWN(type, of, member, bit) \
	{ .how = NUMBER, .wire = sizeof(type), MEMBER(of, member), \
	  .known_at = offsetof(struct told, of.known), .known = bit }

static void copy_string(char *to, size_t size, struct span body)
{
	size_t len = strnlen((const char *)body.at, body.len);

	if (len >= size)
		len = size - 1;
	memcpy(to, body.at, len);
	memset(to + len, 0, size - len);
}

static int take_field(const struct field *field, struct span body, struct told *told)
{
	uint8_t *member = (uint8_t *)told + field->at;
	uint32_t *known = (uint32_t *)((uint8_t *)told + field->known_at);
	uint16_t word;

	switch (field->how) {
	case NUMBER:
		if (body.len < field->wire)
			return -EBADMSG;
		if (field->wire == field->size) {
			memcpy(member, body.at, field->size);
		} else {
			/* The partner's octet, in a u16: wrong as u8 on big-endian. */
			memcpy(&word, body.at, sizeof(word));
			*member = (uint8_t)word;
		}
		*known |= field->known;
		return 0;
	case STRING:
		if (!body.len || body.at[body.len - 1])
			return -EBADMSG;
		copy_string((char *)member, field->size, body);
		return 0;
	case SPAN:
		memcpy(member, &body, sizeof(body));
		return 0;
	case NEST:
		return field->nest(body, told);
	default:
		return 0;
	}
}

/* The type of the attribute that comes next; 0 where none does. */
static uint16_t next_type(struct span rest)
{
	uint16_t type = 0;

	if (rest.len >= NLA_HDRLEN)
		memcpy(&type, rest.at + sizeof(uint16_t), sizeof(type));
	return type & NLA_TYPE_MASK;
}

/* Reads a nest by a table. What the table does not name is skipped: newer kernels add it. */
static int take_fields(struct span nest, const struct field *fields, size_t n, struct told *told)
{
	static const struct field unknown = { .how = SKIP };

	while (nest.len) {
		uint16_t type = next_type(nest);
		const struct field *field = type < n ? &fields[type] : &unknown;
		struct attr attr;
		int ret;

		if (field->how == LIST) {
			/* Before its length is looked at, which may be a lie. */
			ret = field->list(&nest, told);
		} else {
			ret = take_attr(&nest, &attr);
			if (!ret)
				ret = take_field(field, attr.body, told);
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

#define TAKE_FIELDS(nest, fields, told) \
	take_fields(nest, fields, sizeof(fields) / sizeof((fields)[0]), told)

static const struct field port_fields[] = {
	[IFLA_BOND_SLAVE_STATE] = KNOWN(uint8_t, link, slave_state, PFS_LINK_SLAVE_STATE),
	[IFLA_BOND_SLAVE_AD_AGGREGATOR_ID] =
		KNOWN(uint16_t, link, aggregator_id, PFS_LINK_AGGREGATOR_ID),
	[IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE] =
		KNOWN(uint8_t, link, actor_oper_port_state, PFS_LINK_ACTOR_STATE),
	[IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE] =
		KNOWN(uint16_t, link, partner_oper_port_state, PFS_LINK_PARTNER_STATE),
};

/* Bits above those of the header, so that a nest that lacks one is noticed. */
#define AD_SEEN(type) (1u << (16 + (type)))
#define AD_ALL (AD_SEEN(IFLA_BOND_AD_INFO_PARTNER_MAC + 1) - AD_SEEN(IFLA_BOND_AD_INFO_AGGREGATOR))
#define AD_MEMBER(ctype, member, type) [type] = KNOWN(ctype, bond, member, AD_SEEN(type))

static const struct field ad_info_fields[] = {
	AD_MEMBER(uint16_t, ad_aggregator, IFLA_BOND_AD_INFO_AGGREGATOR),
	AD_MEMBER(uint16_t, ad_num_ports, IFLA_BOND_AD_INFO_NUM_PORTS),
	AD_MEMBER(uint16_t, ad_actor_key, IFLA_BOND_AD_INFO_ACTOR_KEY),
	AD_MEMBER(uint16_t, ad_partner_key, IFLA_BOND_AD_INFO_PARTNER_KEY),
	AD_MEMBER(uint8_t[6], ad_partner_mac, IFLA_BOND_AD_INFO_PARTNER_MAC),
};

/* The kernel fills all five or omits the nest. */
static int take_ad_info(struct span nest, struct told *told)
{
	int ret = TAKE_FIELDS(nest, ad_info_fields, told);

	if (ret < 0)
		return ret;
	if ((told->bond.known & AD_ALL) != AD_ALL)
		return -EBADMSG;
	told->bond.known = (told->bond.known & ~AD_ALL) | PFS_BOND_AD_INFO;
	return 0;
}

static const struct field bond_fields[] = {
	[IFLA_BOND_MODE] = KNOWN(uint8_t, bond, mode, PFS_BOND_MODE),
	[IFLA_BOND_MIIMON] = KNOWN(uint32_t, bond, miimon, PFS_BOND_MIIMON),
	[IFLA_BOND_MIN_LINKS] = KNOWN(uint32_t, bond, min_links, PFS_BOND_MIN_LINKS),
	[IFLA_BOND_AD_LACP_RATE] = KNOWN(uint8_t, bond, ad_lacp_rate, PFS_BOND_AD_LACP_RATE),
	[IFLA_BOND_AD_INFO] = { .how = NEST, .nest = take_ad_info },
};

static const struct field linkinfo_fields[] = {
	[IFLA_INFO_KIND] = { .how = STRING, MEMBER(link, kind) },
	[IFLA_INFO_DATA] = { .how = SPAN, .at = offsetof(struct told, bond_data) },
	[IFLA_INFO_SLAVE_KIND] = { .how = STRING, MEMBER(link, slave_kind) },
	[IFLA_INFO_SLAVE_DATA] = { .how = SPAN, .at = offsetof(struct told, port_data) },
};

static int take_linkinfo(struct span nest, struct told *told)
{
	int ret;

	told->bond_data.len = told->port_data.len = 0;
	ret = TAKE_FIELDS(nest, linkinfo_fields, told);
	if (!ret && !strcmp(told->link.slave_kind, "bond"))
		ret = TAKE_FIELDS(told->port_data, port_fields, told);
	if (!ret && !strcmp(told->link.kind, "bond"))
		ret = TAKE_FIELDS(told->bond_data, bond_fields, told);
	return ret;
}

/*
 * IFLA_IFNAME. The filter in the kernel judges by the first attribute alone and
 * up to the terminator: a message that it could read otherwise than we do is
 * refused here.
 */
static int take_name(struct span body, struct told *told)
{
	size_t len = strnlen((const char *)body.at, body.len);

	if (!len || len == body.len || len >= sizeof(told->link.name) || told->link.name[0])
		return -EBADMSG;
	copy_string(told->link.name, sizeof(told->link.name), body);
	return 0;
}

/* A part of a name would name another device: one that does not fit is left out. */
static int take_parent(struct span body, struct told *told)
{
	static const struct field parent = { .how = STRING, MEMBER(link, parent) };

	if (body.len > parent.size && !body.at[body.len - 1])
		return 0;
	return take_field(&parent, body, told);
}

/* Returns 1 if @vf was filled, 0 if the entry tells no link state. */
static int take_vf(struct span entry, struct pfs_vf *vf)
{
	int found = 0;

	while (entry.len) {
		struct attr attr;
		int ret = take_attr(&entry, &attr);

		if (ret < 0)
			return ret;
		if (attr.type != IFLA_VF_LINK_STATE)
			continue;
		/* struct ifla_vf_link_state has our layout. */
		if (attr.body.len < sizeof(*vf))
			return -EBADMSG;
		memcpy(vf, attr.body.at, sizeof(*vf));
		found = 1;
	}
	return found;
}

/*
 * IFLA_VFINFO_LIST, by its entries. nla_len wraps at 65,536 and the kernel does
 * not notice, but all entries are there: they end when IFLA_NUM_VF of them were
 * seen or something else begins, and the distance must then agree with nla_len
 * modulo 65,536.
 */
static int take_vfs(struct span *rest, struct told *told)
{
	struct pfs_link *link = &told->link;
	const uint8_t *list = rest->at;
	uint32_t entries = 0;
	uint16_t nla_len;

	memcpy(&nla_len, list, sizeof(nla_len));
	rest->at += NLA_HDRLEN;
	rest->len -= NLA_HDRLEN;
	while (rest->len && !((link->known & PFS_LINK_NUM_VF) && entries == link->num_vf)) {
		struct span ahead = *rest;
		struct pfs_vf vf;
		struct attr attr;
		int ret = take_attr(&ahead, &attr);

		if (!ret && attr.type != IFLA_VF_INFO)
			break;
		if (!ret)
			ret = take_vf(attr.body, &vf);
		if (ret < 0)
			return ret;
		if (ret && told->vfs && link->vf_count < told->capacity)
			told->vfs[link->vf_count] = vf;
		link->vf_count += (uint32_t)ret;
		entries++;
		*rest = ahead;
	}
	if (((size_t)(rest->at - list) & 0xffff) != nla_len)
		return -EBADMSG;
	link->known |= PFS_LINK_VFS;
	return 0;
}

static const struct field link_fields[] = {
	[IFLA_IFNAME] = { .how = NEST, .nest = take_name },
	[IFLA_MASTER] = KNOWN(uint32_t, link, master_ifindex, 0),
	[IFLA_OPERSTATE] = KNOWN(uint8_t, link, operstate, PFS_LINK_OPERSTATE),
	[IFLA_LINKINFO] = { .how = NEST, .nest = take_linkinfo },
	[IFLA_NUM_VF] = KNOWN(uint32_t, link, num_vf, PFS_LINK_NUM_VF),
	[IFLA_VFINFO_LIST] = { .how = LIST, .list = take_vfs },
	[PFS_IFLA_PARENT_DEV_NAME] = { .how = NEST, .nest = take_parent },
};

bool pfs_size_ok(uint32_t size, uint32_t min)
{
	return size >= min && size <= SIZE_MAX_SANE && size % sizeof(size) == 0;
}

/*
 * Both begin with their size. Copies as much as the caller's has room for, and
 * zeros what we do not know.
 */
void pfs_give(void *to, const void *from)
{
	uint32_t room, full, size;

	memcpy(&room, to, sizeof(room));
	memcpy(&full, from, sizeof(full));
	size = full < room ? full : room;
	memcpy((uint8_t *)to + sizeof(room), (const uint8_t *)from + sizeof(room),
	       size - sizeof(room));
	memset((uint8_t *)to + size, 0, room - size);
}

int pfs_link_decode(const void *buf, size_t len, struct pfs_link *link, struct pfs_bond *bond,
		    struct pfs_vf *vfs, size_t capacity)
{
	const uint8_t *bytes = buf;
	struct told told = {
		.link.size = sizeof(told.link), .bond.size = sizeof(told.bond),
		.vfs = vfs, .capacity = capacity,
	};
	struct nlmsghdr nlh;
	struct ifinfomsg ifi;
	struct span rest;
	int ret;

	if ((uintptr_t)buf % NLMSG_ALIGNTO || (link && !pfs_size_ok(link->size, PFS_LINK_SIZE_MIN)) ||
	    (bond && !pfs_size_ok(bond->size, PFS_BOND_SIZE_MIN)))
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

	told.link.ifindex = (uint32_t)ifi.ifi_index;
	told.link.flags = ifi.ifi_flags;
	rest.at = bytes + NLMSG_LENGTH(sizeof(ifi));
	rest.len = nlh.nlmsg_len - NLMSG_LENGTH(sizeof(ifi));
	ret = TAKE_FIELDS(rest, link_fields, &told);
	if (ret < 0)
		return ret;
	told.bond.ifindex = told.link.ifindex;
	memcpy(told.bond.name, told.link.name, sizeof(told.bond.name));
	if (link)
		pfs_give(link, &told.link);
	if (bond)
		pfs_give(bond, &told.bond);
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
	struct span rest;
	struct attr attr;

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
	rest.at = (const uint8_t *)err + at;
	rest.len = payload - at;
	/* The words are a courtesy: where they are malformed, the error stands. */
	while (rest.len && !take_attr(&rest, &attr)) {
		if (attr.type == PFS_NLMSGERR_ATTR_MSG) {
			copy_string(ack->message, sizeof(ack->message), attr.body);
			break;
		}
	}
	return 0;
}
