// SPDX-License-Identifier: Apache-2.0
#include "naive.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static unsigned int u16(const uint8_t *b)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return b[0] + 256u * b[1];
#else
	return b[1] + 256u * b[0];
#endif
}

static unsigned int u32(const uint8_t *b)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return u16(b) + 65536u * u16(b + 2);
#else
	return u16(b + 2) + 65536u * u16(b);
#endif
}

static unsigned int padded(unsigned int len)
{
	return (len + 3) / 4 * 4;
}

/* Whether an attribute begins here that ends here, too. */
static bool whole(const uint8_t *b, size_t len)
{
	return len >= 4 && u16(b) >= 4 && u16(b) <= len;
}

static unsigned int type(const uint8_t *b)
{
	return u16(b + 2) % 16384;
}

/* A nest that is attributes and nothing else. */
static bool well_formed(const uint8_t *b, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (!whole(b + at, len - at))
			return false;
		at += padded(u16(b + at));
	}
	return true;
}

/* The last attribute of this type in a well-formed nest; NULL for none. Its payload in @size. */
static const uint8_t *last(const uint8_t *b, size_t len, unsigned int wanted, size_t *size)
{
	const uint8_t *found = NULL;

	for (size_t at = 0; at < len; at += padded(u16(b + at))) {
		if (type(b + at) == wanted) {
			found = b + at + 4;
			*size = u16(b + at) - 4;
		}
	}
	return found;
}

/* Whether each attribute of this type has so many bytes. */
static bool long_enough(const uint8_t *b, size_t len, unsigned int wanted, size_t need)
{
	for (size_t at = 0; at < len; at += padded(u16(b + at)))
		if (type(b + at) == wanted && u16(b + at) - 4u < need)
			return false;
	return true;
}

static bool all_terminated(const uint8_t *b, size_t len, unsigned int wanted)
{
	for (size_t at = 0; at < len; at += padded(u16(b + at)))
		if (type(b + at) == wanted && (u16(b + at) == 4 || b[at + u16(b + at) - 1]))
			return false;
	return true;
}

/* At most 15 letters. */
static void text(char *to, const uint8_t *b, size_t size)
{
	memset(to, 0, 16);
	for (size_t i = 0; i < 15 && i < size && b[i]; i++)
		to[i] = (char)b[i];
}

static bool read_port(const uint8_t *b, size_t len, struct pfs_link *link)
{
	const uint8_t *value;
	size_t size;

	if (!well_formed(b, len) || !long_enough(b, len, 1, 1) || !long_enough(b, len, 6, 2) ||
	    !long_enough(b, len, 7, 1) || !long_enough(b, len, 8, 2))
		return false;
	value = last(b, len, 1, &size);
	if (value) {
		link->slave_state = value[0];
		link->known |= PFS_LINK_SLAVE_STATE;
	}
	value = last(b, len, 6, &size);
	if (value) {
		link->aggregator_id = (uint16_t)u16(value);
		link->known |= PFS_LINK_AGGREGATOR_ID;
	}
	value = last(b, len, 7, &size);
	if (value) {
		link->actor_oper_port_state = value[0];
		link->known |= PFS_LINK_ACTOR_STATE;
	}
	value = last(b, len, 8, &size);
	if (value) {
		link->partner_oper_port_state = (uint8_t)u16(value);
		link->known |= PFS_LINK_PARTNER_STATE;
	}
	return true;
}

static bool read_ad_info(const uint8_t *b, size_t len, struct pfs_bond *bond)
{
	const uint8_t *value[6] = { NULL };
	size_t size;

	if (!well_formed(b, len))
		return false;
	for (unsigned int i = 1; i <= 5; i++) {
		value[i] = last(b, len, i, &size);
		if (!value[i] || !long_enough(b, len, i, i == 5 ? 6 : 2))
			return false;
	}
	bond->ad_aggregator = (uint16_t)u16(value[1]);
	bond->ad_num_ports = (uint16_t)u16(value[2]);
	bond->ad_actor_key = (uint16_t)u16(value[3]);
	bond->ad_partner_key = (uint16_t)u16(value[4]);
	memcpy(bond->ad_partner_mac, value[5], 6);
	bond->known |= PFS_BOND_AD_INFO;
	return true;
}

static bool read_bond(const uint8_t *b, size_t len, struct pfs_bond *bond)
{
	const uint8_t *value;
	size_t size;

	if (!well_formed(b, len) || !long_enough(b, len, 1, 1) || !long_enough(b, len, 3, 4) ||
	    !long_enough(b, len, 18, 4) || !long_enough(b, len, 21, 1))
		return false;
	value = last(b, len, 1, &size);
	if (value) {
		bond->mode = value[0];
		bond->known |= PFS_BOND_MODE;
	}
	value = last(b, len, 3, &size);
	if (value) {
		bond->miimon = u32(value);
		bond->known |= PFS_BOND_MIIMON;
	}
	value = last(b, len, 18, &size);
	if (value) {
		bond->min_links = u32(value);
		bond->known |= PFS_BOND_MIN_LINKS;
	}
	value = last(b, len, 21, &size);
	if (value) {
		bond->ad_lacp_rate = value[0];
		bond->known |= PFS_BOND_AD_LACP_RATE;
	}
	/* Each of them must hold. */
	for (size_t at = 0; at < len; at += padded(u16(b + at)))
		if (type(b + at) == 23 && !read_ad_info(b + at + 4, u16(b + at) - 4u, bond))
			return false;
	return true;
}

static bool read_linkinfo(const uint8_t *b, size_t len, struct pfs_link *link,
			  struct pfs_bond *bond)
{
	const uint8_t *kind, *data, *slave_kind, *slave_data;
	size_t kind_size, data_size, slave_kind_size, slave_data_size;

	if (!well_formed(b, len) || !all_terminated(b, len, 1) || !all_terminated(b, len, 4))
		return false;
	kind = last(b, len, 1, &kind_size);
	data = last(b, len, 2, &data_size);
	slave_kind = last(b, len, 4, &slave_kind_size);
	slave_data = last(b, len, 5, &slave_data_size);
	if (kind)
		text(link->kind, kind, kind_size);
	if (slave_kind)
		text(link->slave_kind, slave_kind, slave_kind_size);
	if (slave_data && !strcmp(link->slave_kind, "bond") &&
	    !read_port(slave_data, slave_data_size, link))
		return false;
	return !data || strcmp(link->kind, "bond") || read_bond(data, data_size, bond);
}

/* The bytes that the list takes; 0: it contradicts itself. */
static size_t read_vfs(const uint8_t *b, size_t len, struct pfs_link *link, struct pfs_vf *vfs,
		       size_t capacity)
{
	size_t at = 4, entries = 0;

	while (at < len && !((link->known & PFS_LINK_NUM_VF) && entries == link->num_vf)) {
		const uint8_t *state;
		size_t size;

		if (!whole(b + at, len - at))
			return 0;
		if (type(b + at) != 1)
			break;
		if (!well_formed(b + at + 4, u16(b + at) - 4u) ||
		    !long_enough(b + at + 4, u16(b + at) - 4u, 5, 8))
			return 0;
		state = last(b + at + 4, u16(b + at) - 4u, 5, &size);
		if (state) {
			if (link->vf_count < capacity) {
				vfs[link->vf_count].vf = u32(state);
				vfs[link->vf_count].link_state = u32(state + 4);
			}
			link->vf_count++;
		}
		entries++;
		at += padded(u16(b + at));
		if (at > len)
			at = len;
	}
	link->known |= PFS_LINK_VFS;
	return at % 65536 == u16(b) ? at : 0;
}

static bool read_attribute(const uint8_t *b, struct pfs_link *link, struct pfs_bond *bond)
{
	const uint8_t *value = b + 4;
	size_t size = u16(b) - 4u, letters = 0;

	while (letters < size && value[letters])
		letters++;
	switch (type(b)) {
	case 3:	/* IFLA_IFNAME, once */
		if (link->name[0] || !letters || letters == size || letters > 15)
			return false;
		text(link->name, value, size);
		return true;
	case 10: /* IFLA_MASTER */
		if (size < 4)
			return false;
		link->master_ifindex = u32(value);
		return true;
	case 16: /* IFLA_OPERSTATE */
		if (size < 1)
			return false;
		link->operstate = value[0];
		link->known |= PFS_LINK_OPERSTATE;
		return true;
	case 18: /* IFLA_LINKINFO */
		return read_linkinfo(value, size, link, bond);
	case 21: /* IFLA_NUM_VF */
		if (size < 4)
			return false;
		link->num_vf = u32(value);
		link->known |= PFS_LINK_NUM_VF;
		return true;
	case 56: /* IFLA_PARENT_DEV_NAME */
		if (!size || value[size - 1])
			return false;
		if (size <= 32) {
			memset(link->parent, 0, sizeof(link->parent));
			memcpy(link->parent, value, letters);
		}
		return true;
	default:
		return true;
	}
}

int naive_link(const uint8_t *bytes, size_t len, struct pfs_link *link, struct pfs_bond *bond,
	       struct pfs_vf *vfs, size_t capacity)
{
	size_t end, at = 32;

	if (len < 16 || u32(bytes) < 16 || u32(bytes) > len)
		return -EBADMSG;
	if (u16(bytes + 4) != 16 && u16(bytes + 4) != 17)
		return -ENOMSG;
	end = u32(bytes);
	if (end < 32)
		return -EBADMSG;
	if (bytes[16])
		return -ENOMSG;
	link->ifindex = bond->ifindex = u32(bytes + 20);
	link->flags = u32(bytes + 24);
	while (at < end) {
		const uint8_t *b = bytes + at;

		if (end - at >= 4 && type(b) == 22) {	/* IFLA_VFINFO_LIST */
			size_t took = read_vfs(b, end - at, link, vfs, capacity);

			if (!took)
				return -EBADMSG;
			at += took;
		} else {
			if (!whole(b, end - at) || !read_attribute(b, link, bond))
				return -EBADMSG;
			at += padded(u16(b));
		}
	}
	memcpy(bond->name, link->name, sizeof(bond->name));
	return (int)u16(bytes + 4);
}

int naive_event(const uint8_t *bytes, size_t len, size_t *at, struct pfs_link *link)
{
	while (*at < len) {
		const uint8_t *message = bytes + *at;
		struct pfs_link found = PFS_LINK_INIT;
		struct pfs_bond bond = PFS_BOND_INIT;
		size_t left = len - *at;
		struct pfs_vf none;
		int ret;

		if (left < 16 || u32(message) < 16 || u32(message) > left) {
			*at = len;
			return -EBADMSG;
		}
		*at += ((size_t)u32(message) + 3) / 4 * 4;
		ret = naive_link(message, u32(message), &found, &bond, &none, 0);
		if (ret == -ENOMSG)
			continue;
		if (ret > 0)
			*link = found;
		return ret;
	}
	return 0;
}
