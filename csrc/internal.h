/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the core share; nothing here is for callers. */
#ifndef PFSTATUS_INTERNAL_H
#define PFSTATUS_INTERNAL_H

#include <linux/filter.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <sys/types.h>

#include "pfstatus.h"

#define PFS_HIDDEN __attribute__((visibility("hidden")))

/*
 * uapi numbers by value where an older build machine's headers may lack them:
 * what we can read must not depend on where we were compiled.
 */
#define PFS_NLM_F_CAPPED 0x100
#define PFS_NLM_F_ACK_TLVS 0x200
#define PFS_NLMSGERR_ATTR_MSG 1
#define PFS_NETLINK_EXT_ACK 11
#define PFS_NETLINK_CAP_ACK 10
#define PFS_NETLINK_GET_STRICT_CHK 12
#define PFS_IFLA_ALT_IFNAME 53
#define PFS_IFLA_PARENT_DEV_NAME 56
#define PFS_RTEXT_FILTER_VF (1u << 0)
#define PFS_RTEXT_FILTER_SKIP_STATS (1u << 3)
#define PFS_LOOPBACK_IFINDEX 1

#define PFS_IFNAMSIZ 16
#define PFS_ALTIFNAMSIZ 128

/* The first release's structs end here; a caller cannot know less. */
#define PFS_LINK_SIZE_MIN 116u
#define PFS_BOND_SIZE_MIN 52u
#define PFS_OPTIONS_SIZE_MIN 20u

/* A VF list in a request: nla_len is 16 bits wide, and it must not wrap. */
#define PFS_VF_SET_MAX 4094u
#define PFS_VF_SET_BYTES(n) (36u + 16u * (n))

/* An answer with 512 VFs and their statistics is 160 KB. */
#define PFS_RX_BYTES (256u * 1024)
/* The kernel makes no notification larger than a page or two. */
#define PFS_EVENT_BYTES (64u * 1024)
#define PFS_TX_BYTES PFS_VF_SET_BYTES(PFS_VF_SET_MAX)

/* Instructions of the largest filter, see filter.c; the kernel takes 4,096. */
#define PFS_FILTER_MAX (32 + 10 * PFS_WATCH_MAX)

struct nl_sock;

struct pfs_socket {
	struct nl_sock *nl;	/* NULL where the descriptor was given to us */
	int fd;			/* -1: none */
	uint32_t port;		/* our nl_pid, 0 on a socketpair */
	bool netlink;		/* false: a socketpair, which has no sender address */
};

/* How long to wait, all told; reckoned from the first time that there is something to wait for. */
struct pfs_patience {
	uint32_t ms;
	int64_t until;		/* on CLOCK_MONOTONIC, ns; 0: nothing was waited for yet */
};

/* The datagram that a buffer holds, and how far it was read. */
struct pfs_inbox {
	size_t len;
	size_t pos;
};

struct pfs {
	struct pfs_socket request;
	struct pfs_socket event;
	struct pfs_inbox answers;	/* of rx */
	struct pfs_inbox notices;	/* of events */
	uint32_t seq;
	struct pfs_patience patience;	/* with the question under way */
	bool filter;
	bool dumping;		/* a dump was begun and not read to its end */
	pfs_tap_fn tap;		/* NULL: none */
	void *tap_arg;
	char extack[128];
	uint8_t tx[PFS_TX_BYTES] __attribute__((aligned(8)));
	uint8_t rx[PFS_RX_BYTES] __attribute__((aligned(8)));
	uint8_t events[PFS_EVENT_BYTES] __attribute__((aligned(8)));
};

/* decode.c */

/* One NLMSG_ERROR or NLMSG_DONE: how a request ended. */
struct pfs_ack {
	int error;		/* 0 or a negative errno */
	char message[128];	/* extended ack, "" where there is none */
};

PFS_HIDDEN bool pfs_size_ok(uint32_t size, uint32_t min);
PFS_HIDDEN void pfs_give(void *to, const void *from);
PFS_HIDDEN int pfs_ack_decode(const struct nlmsghdr *nlh, struct pfs_ack *ack);

/* encode.c */
PFS_HIDDEN int pfs_link_get_encode(void *buf, size_t capacity, uint32_t seq, uint32_t ifindex,
				   const char *name, bool vfs);
PFS_HIDDEN int pfs_link_dump_encode(void *buf, size_t capacity, uint32_t seq);

/* filter.c */
PFS_HIDDEN int pfs_filter_build(struct sock_filter *insns, size_t capacity,
				const uint32_t *ifindexes, size_t n_index,
				const char *const *names, size_t n_name);

/* lacpdu.c */
PFS_HIDDEN uint32_t pfs_lacpdu_mark(const uint8_t *frame, size_t len);
PFS_HIDDEN bool pfs_lacpdu_set_mark(uint8_t *frame, size_t len, uint32_t mark);
PFS_HIDDEN void pfs_lacpdu_set_partner(uint8_t *frame, const struct pfs_lacpdu_end *partner,
				       uint8_t flip);

/* socket.c */
PFS_HIDDEN int64_t pfs_now_ns(void);
PFS_HIDDEN int pfs_send(const struct pfs_socket *sock, const void *buf, size_t len,
			struct pfs_patience *patience);
PFS_HIDDEN ssize_t pfs_recv(const struct pfs_socket *sock, void *buf, size_t capacity,
			    struct pfs_patience *patience);
PFS_HIDDEN int pfs_filter_attach(const struct pfs_socket *sock, struct sock_filter *insns, int n);
PFS_HIDDEN int pfs_filter_detach(const struct pfs_socket *sock);

/* open.c */
PFS_HIDDEN int pfs_in_netns(int netns_fd, int (*run)(void *arg), void *arg);

/* exchange.c */
PFS_HIDDEN void pfs_begin(struct pfs *pfs);
PFS_HIDDEN void pfs_show(const struct pfs *pfs, int direction, const void *buf, size_t len);
PFS_HIDDEN void pfs_inbox_fill(struct pfs_inbox *in, ssize_t len);
PFS_HIDDEN int pfs_inbox_next(const uint8_t *buf, struct pfs_inbox *in,
			      const struct nlmsghdr **message);
PFS_HIDDEN int pfs_ask(struct pfs *pfs, int len);
PFS_HIDDEN int pfs_answer(struct pfs *pfs, uint32_t seq, const struct nlmsghdr **answer);
PFS_HIDDEN int pfs_acked(struct pfs *pfs, const struct nlmsghdr *nlh, struct pfs_ack *ack);

/* query.c */
PFS_HIDDEN int pfs_link_query(struct pfs *pfs, uint32_t ifindex, const char *name, bool vfs,
			      const struct nlmsghdr **answer);

#endif /* PFSTATUS_INTERNAL_H */
