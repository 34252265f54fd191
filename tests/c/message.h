/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds link messages as rtnl_fill_ifinfo() does, in the byte order of the
 * machine, without a line of the core or of libnl.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_BYTES (400u * 1024)
#define PF_VFS 1024u

struct message {
	size_t len;
	size_t start;	/* of the message under construction: there may be several */
	uint8_t buf[MESSAGE_BYTES] __attribute__((aligned(8)));
};

void message_clear(struct message *msg);
void message_begin(struct message *msg, uint16_t type, uint16_t flags, uint32_t seq,
		   uint32_t port);
/* Sets nlmsg_len. */
void message_end(struct message *msg);

void message_raw(struct message *msg, const void *data, size_t len);
void message_ifinfo(struct message *msg, uint8_t family, uint32_t ifindex, uint32_t flags);
void message_put(struct message *msg, uint16_t type, const void *data, size_t len);
void message_u8(struct message *msg, uint16_t type, uint8_t value);
void message_u16(struct message *msg, uint16_t type, uint16_t value);
void message_u32(struct message *msg, uint16_t type, uint32_t value);
void message_string(struct message *msg, uint16_t type, const char *value);
/* Returns where it began, for message_nest_end(), whose length wraps as the kernel's does. */
size_t message_nest(struct message *msg, uint16_t type);
void message_nest_end(struct message *msg, size_t nest);

/* A link as the kernel would tell it. */
struct pf {
	uint32_t ifindex;
	const char *name;
	uint32_t flags;
	uint32_t master;
	const char *kind;		/* NULL: a NIC */
	const char *slave_kind;		/* NULL: no master */
	uint8_t operstate;
	uint8_t slave_state;
	bool no_aggregator;		/* leave out the AD attributes */
	uint16_t aggregator_id;
	uint8_t actor;
	uint8_t partner;
	uint32_t n_vf;			/* VFs that exist; IFLA_NUM_VF */
	bool statistics;
	bool backwards;			/* VF ids out of order */
	uint8_t link_state[PF_VFS];
	bool left_out[PF_VFS];		/* the driver could not answer for this one */
	/* Of a bond. */
	uint8_t mode;
	bool no_ad_info;
};

/* An 802.3ad port that is up, with @n_vf VFs whose states differ. */
void pf_init(struct pf *pf, uint32_t n_vf);
void pf_bond_init(struct pf *pf);
/* The whole message. @vfs: what RTEXT_FILTER_VF asks for. */
void message_pf(struct message *msg, uint16_t type, uint32_t seq, const struct pf *pf, bool vfs);
/* Its parts, for messages that lie. */
void message_pf_head(struct message *msg, const struct pf *pf);
void message_pf_vfs(struct message *msg, const struct pf *pf);
void message_pf_tail(struct message *msg, const struct pf *pf);
void message_vf(struct message *msg, uint32_t vf, uint32_t link_state, bool statistics);

#endif
