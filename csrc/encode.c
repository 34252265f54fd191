// SPDX-License-Identifier: Apache-2.0
/* Requests to bytes, into the caller's buffer. */

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

/* The message under construction; `full` is sticky, so adders need no checks. */
struct message {
	uint8_t *buf;
	size_t capacity;
	size_t len;
	int full;
};

/* Reserves zeroed, padded room. NULL if there is none. */
static void *reserve(struct message *msg, size_t len)
{
	size_t padded = NLMSG_ALIGN(len);
	uint8_t *at;

	if (msg->full || msg->capacity - msg->len < padded) {
		msg->full = 1;
		return NULL;
	}
	at = msg->buf + msg->len;
	memset(at, 0, padded);
	msg->len += padded;
	return at;
}

static struct nlattr *put(struct message *msg, uint16_t type, const void *data, size_t len)
{
	struct nlattr *nla = reserve(msg, NLA_HDRLEN + len);

	if (!nla)
		return NULL;
	nla->nla_type = type;
	nla->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy((uint8_t *)nla + NLA_HDRLEN, data, len);
	return nla;
}

static void nest_end(struct message *msg, struct nlattr *nest)
{
	if (!msg->full)
		nest->nla_len = (uint16_t)(msg->buf + msg->len - (uint8_t *)nest);
}

static void start(struct message *msg, uint16_t type, uint16_t flags, uint32_t seq,
		  uint32_t ifindex)
{
	struct nlmsghdr *nlh = reserve(msg, NLMSG_HDRLEN);
	struct ifinfomsg *ifi = reserve(msg, sizeof(*ifi));

	if (!nlh || !ifi)
		return;
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
}

static int finish(struct message *msg)
{
	uint32_t len = (uint32_t)msg->len;

	if (msg->full)
		return -EMSGSIZE;
	memcpy(msg->buf, &len, sizeof(len));
	return (int)len;
}

int pfs_link_get_encode(void *buf, size_t capacity, uint32_t seq, uint32_t ifindex,
			const char *name, bool vfs)
{
	struct message msg = { .buf = buf, .capacity = capacity };
	/* Statistics cost the driver a call for each VF, and a third of the answer. */
	uint32_t mask = PFS_RTEXT_FILTER_SKIP_STATS | (vfs ? PFS_RTEXT_FILTER_VF : 0);

	start(&msg, RTM_GETLINK, 0, seq, ifindex);
	put(&msg, IFLA_EXT_MASK, &mask, sizeof(mask));
	if (!ifindex) {
		size_t size = strlen(name) + 1;

		if (size == 1 || size > PFS_ALTIFNAMSIZ)
			return -EINVAL;
		/* IFLA_IFNAME finds alternative names too, but only short ones fit it. */
		put(&msg, size <= PFS_IFNAMSIZ ? IFLA_IFNAME : PFS_IFLA_ALT_IFNAME, name, size);
	}
	return finish(&msg);
}

int pfs_link_dump_encode(void *buf, size_t capacity, uint32_t seq)
{
	struct message msg = { .buf = buf, .capacity = capacity };
	uint32_t mask = PFS_RTEXT_FILTER_SKIP_STATS;

	start(&msg, RTM_GETLINK, NLM_F_DUMP, seq, 0);
	put(&msg, IFLA_EXT_MASK, &mask, sizeof(mask));
	return finish(&msg);
}

int pfs_vf_set_encode(void *buf, size_t capacity, uint32_t ifindex, uint32_t seq,
		      const struct pfs_vf *vfs, size_t n)
{
	struct message msg = { .buf = buf, .capacity = capacity };
	struct nlattr *list, *info;

	if ((uintptr_t)buf % NLMSG_ALIGNTO)
		return -EINVAL;
	if (n > PFS_VF_SET_MAX)
		return -EMSGSIZE;
	start(&msg, RTM_SETLINK, NLM_F_ACK, seq, ifindex);
	/* With no VFs the message changes nothing: pfs_vf_set_permitted(). */
	if (!n)
		return finish(&msg);
	list = put(&msg, IFLA_VFINFO_LIST | NLA_F_NESTED, NULL, 0);
	for (size_t i = 0; i < n; i++) {
		info = put(&msg, IFLA_VF_INFO | NLA_F_NESTED, NULL, 0);
		/* struct ifla_vf_link_state has the layout of struct pfs_vf. */
		put(&msg, IFLA_VF_LINK_STATE, &vfs[i], sizeof(vfs[i]));
		nest_end(&msg, info);
	}
	nest_end(&msg, list);
	return finish(&msg);
}
