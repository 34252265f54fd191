// SPDX-License-Identifier: Apache-2.0
#include "message.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void message_clear(struct message *msg)
{
	msg->len = 0;
	msg->start = 0;
}

void message_raw(struct message *msg, const void *data, size_t len)
{
	size_t padded = NLMSG_ALIGN(len);

	if (msg->len + padded > sizeof(msg->buf))
		abort();
	memset(msg->buf + msg->len, 0, padded);
	if (len)
		memcpy(msg->buf + msg->len, data, len);
	msg->len += padded;
}

void message_begin(struct message *msg, uint16_t type, uint16_t flags, uint32_t seq,
		   uint32_t port)
{
	struct nlmsghdr nlh = {
		.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = seq, .nlmsg_pid = port,
	};

	msg->start = msg->len;
	message_raw(msg, &nlh, sizeof(nlh));
}

void message_end(struct message *msg)
{
	uint32_t len = (uint32_t)(msg->len - msg->start);

	memcpy(msg->buf + msg->start, &len, sizeof(len));
}

void message_ifinfo(struct message *msg, uint8_t family, uint32_t ifindex, uint32_t flags)
{
	struct ifinfomsg ifi = {
		.ifi_family = family, .ifi_type = 1, .ifi_index = (int)ifindex, .ifi_flags = flags,
	};

	message_raw(msg, &ifi, sizeof(ifi));
}

void message_put(struct message *msg, uint16_t type, const void *data, size_t len)
{
	struct nlattr nla = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };

	message_raw(msg, &nla, sizeof(nla));
	message_raw(msg, data, len);
}

void message_u8(struct message *msg, uint16_t type, uint8_t value)
{
	message_put(msg, type, &value, sizeof(value));
}

void message_u16(struct message *msg, uint16_t type, uint16_t value)
{
	message_put(msg, type, &value, sizeof(value));
}

void message_u32(struct message *msg, uint16_t type, uint32_t value)
{
	message_put(msg, type, &value, sizeof(value));
}

void message_string(struct message *msg, uint16_t type, const char *value)
{
	message_put(msg, type, value, strlen(value) + 1);
}

size_t message_nest(struct message *msg, uint16_t type)
{
	size_t nest = msg->len;

	message_put(msg, type, NULL, 0);
	return nest;
}

void message_nest_end(struct message *msg, size_t nest)
{
	uint16_t len = (uint16_t)(msg->len - nest);

	memcpy(msg->buf + nest, &len, sizeof(len));
}

void pf_init(struct pf *pf, uint32_t n_vf)
{
	*pf = (struct pf){
		.ifindex = 7, .name = "ens5f0", .flags = 0x11043, .master = 20,
		.slave_kind = "bond", .operstate = 6, .aggregator_id = 1, .actor = 0x3f,
		.partner = 0x3d, .n_vf = n_vf,
	};
	for (uint32_t vf = 0; vf < PF_VFS; vf++)
		pf->link_state[vf] = (uint8_t)(vf * 7 % 3);
}

void pf_bond_init(struct pf *pf)
{
	*pf = (struct pf){
		.ifindex = 20, .name = "bond0", .flags = 0x11443, .kind = "bond", .operstate = 6,
		.mode = 4,
	};
}

void message_pf_head(struct message *msg, const struct pf *pf)
{
	static const uint8_t map[sizeof(struct rtnl_link_ifmap)];
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

	message_ifinfo(msg, AF_UNSPEC, pf->ifindex, pf->flags);
	message_string(msg, IFLA_IFNAME, pf->name);
	message_u32(msg, IFLA_TXQLEN, 1000);
	message_u8(msg, IFLA_OPERSTATE, pf->operstate);
	message_u8(msg, IFLA_LINKMODE, 0);
	message_u32(msg, IFLA_MTU, 1500);
	if (pf->master)
		message_u32(msg, IFLA_MASTER, pf->master);
	message_u8(msg, IFLA_CARRIER, 1);
	message_string(msg, IFLA_QDISC, "mq");
	message_put(msg, IFLA_MAP, map, sizeof(map));
	message_put(msg, IFLA_ADDRESS, mac, sizeof(mac));
	message_put(msg, IFLA_BROADCAST, mac, sizeof(mac));
}

void message_vf(struct message *msg, uint32_t vf, uint32_t link_state, bool statistics)
{
	size_t info = message_nest(msg, IFLA_VF_INFO);
	/* vf, then MAC, VLAN, rates...: only their lengths matter here. */
	uint32_t words[9] = { vf, 0x02, 0, 0, 0, 0, 0, 0, 0 };
	uint32_t pair[2] = { vf, link_state };
	size_t list;

	message_put(msg, IFLA_VF_MAC, words, 36);
	message_put(msg, 13 /* IFLA_VF_BROADCAST */, words, 32);
	message_put(msg, IFLA_VF_VLAN, words, 12);
	message_put(msg, IFLA_VF_TX_RATE, words, 8);
	message_put(msg, IFLA_VF_SPOOFCHK, words, 8);
	message_put(msg, IFLA_VF_LINK_STATE, pair, 8);
	message_put(msg, IFLA_VF_RATE, words, 12);
	message_put(msg, IFLA_VF_RSS_QUERY_EN, words, 8);
	message_put(msg, IFLA_VF_TRUST, words, 8);
	list = message_nest(msg, 12 /* IFLA_VF_VLAN_LIST */);
	message_put(msg, 1 /* IFLA_VF_VLAN_INFO */, words, 16);
	message_nest_end(msg, list);
	if (statistics) {
		list = message_nest(msg, IFLA_VF_STATS);
		for (uint16_t type = 0; type < 8; type++)
			message_put(msg, type, words, 8);
		message_nest_end(msg, list);
	}
	message_nest_end(msg, info);
}

void message_pf_vfs(struct message *msg, const struct pf *pf)
{
	size_t list = message_nest(msg, IFLA_VFINFO_LIST);

	for (uint32_t i = 0; i < pf->n_vf; i++) {
		uint32_t vf = pf->backwards ? pf->n_vf - 1 - i : i;

		if (!pf->left_out[vf])
			message_vf(msg, vf, pf->link_state[vf], pf->statistics);
	}
	message_nest_end(msg, list);
}

static void put_port(struct message *msg, const struct pf *pf)
{
	size_t nest = message_nest(msg, IFLA_INFO_SLAVE_DATA);

	message_u8(msg, 1 /* IFLA_BOND_SLAVE_STATE */, pf->slave_state);
	message_u8(msg, 2 /* IFLA_BOND_SLAVE_MII_STATUS */, 0);
	if (!pf->no_aggregator) {
		message_u16(msg, 6 /* IFLA_BOND_SLAVE_AD_AGGREGATOR_ID */, pf->aggregator_id);
		message_u8(msg, 7 /* IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE */, pf->actor);
		message_u16(msg, 8 /* IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE */, pf->partner);
	}
	/* Newer than any header here: priority, churn states. */
	message_u32(msg, 9, 0);
	message_u16(msg, 400, 0xffff);
	message_nest_end(msg, nest);
}

static void put_bond(struct message *msg, const struct pf *pf)
{
	static const uint8_t mac[6] = { 2, 0, 0x5e, 0, 0, 1 };
	size_t nest = message_nest(msg, IFLA_INFO_DATA);

	message_u8(msg, 1 /* IFLA_BOND_MODE */, pf->mode);
	message_u32(msg, 3 /* IFLA_BOND_MIIMON */, 100);
	message_u32(msg, 18 /* IFLA_BOND_MIN_LINKS */, 1);
	message_u8(msg, 21 /* IFLA_BOND_AD_LACP_RATE */, 1);
	if (!pf->no_ad_info) {
		size_t info = message_nest(msg, 23 /* IFLA_BOND_AD_INFO */);

		message_u16(msg, 1, 0x1234);
		message_u16(msg, 2, 2);
		message_u16(msg, 3, 15);
		message_u16(msg, 4, 0x8001);
		message_put(msg, 5, mac, sizeof(mac));
		message_nest_end(msg, info);
	}
	message_nest_end(msg, nest);
}

void message_pf_tail(struct message *msg, const struct pf *pf)
{
	size_t nest;

	if (pf->kind || pf->slave_kind) {
		nest = message_nest(msg, IFLA_LINKINFO);
		if (pf->kind) {
			message_string(msg, IFLA_INFO_KIND, pf->kind);
			put_bond(msg, pf);
		}
		if (pf->slave_kind) {
			message_string(msg, 4 /* IFLA_INFO_SLAVE_KIND */, pf->slave_kind);
			put_port(msg, pf);
		}
		message_nest_end(msg, nest);
	}
	nest = message_nest(msg, 52 /* IFLA_PROP_LIST */ | NLA_F_NESTED);
	message_string(msg, 53 /* IFLA_ALT_IFNAME */, "an-alternative-name-of-many-letters");
	message_nest_end(msg, nest);
}

void message_pf(struct message *msg, uint16_t type, uint32_t seq, const struct pf *pf, bool vfs)
{
	message_begin(msg, type, 0, seq, 0);
	message_pf_head(msg, pf);
	if (vfs) {
		message_u32(msg, IFLA_NUM_VF, pf->n_vf);
		if (pf->n_vf)
			message_pf_vfs(msg, pf);
	}
	message_pf_tail(msg, pf);
	message_end(msg);
}
