/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pfstatus.h - LACP state of SR-IOV physical functions (PFs), link state of
 * their virtual functions (VFs), over rtnetlink.
 *
 *	struct pfs *pfs;
 *	struct pfs_link link = PFS_LINK_INIT;
 *	struct pfs_bond bond = PFS_BOND_INIT;
 *
 *	pfs_open(&pfs, NULL);
 *	puts(pfs_lacp_sentence(pfs_pf_get(pfs, 0, "ens5f0", &link, &bond, NULL, 0)));
 *	pfs_close(pfs);
 *
 * RETURN VALUES. Functions that can fail return 0 or a count on success and a
 * negative errno on failure; errno itself is never an output. An error of the
 * kernel passes unchanged. Our own:
 *
 *	-E2BIG      an option or a flag that this release does not know is not 0
 *	-EAGAIN     no event is waiting; a dump found no quiet moment
 *	-EBADF      the context was opened without events
 *	-EBADMSG    a message is malformed, or answers another question
 *	-EBUSY      a dump that somebody else began is under way on the descriptor
 *	            given to us
 *	-ECANCELED  a VF was not tried (an earlier failure made it pointless)
 *	-EINVAL     an argument is out of its range or not aligned, or .size is not
 *	            filled in
 *	-EMEDIUMTYPE  pfs_bond_get(): the interface is not a bond
 *	-EMSGSIZE   a message exceeds the buffer that it must fit
 *	-ENOBUFS    events were lost: ask for everything again
 *	-ENOMSG     the message is well-formed but tells nothing of a link
 *	-EPIPE      the other end of the descriptor given to us is closed
 *	-ETIMEDOUT  the kernel did not answer in time, or the other end of the
 *	            descriptor given to us does not read
 *
 * THREADS. A struct pfs is used by one thread at a time; any number of them
 * exist side by side. Functions that take no struct pfs may be called from
 * any thread. Nothing is shared between contexts and there are no globals.
 * A context does not survive fork(): the child closes it and opens its own.
 *
 * MEMORY. pfs_open() and pfs_open_fds() allocate; pfs_close() frees; nothing
 * else does either. Every output goes to memory of the caller.
 *
 * GROWTH. A struct that starts with .size is filled and read as far as the
 * caller knows it: initialise it with the PFS_..._INIT of the header that you
 * compile with. Fields are only ever added at the end. A caller may be older
 * than the library (what it does not know is left out) or newer (what the
 * library does not know reads 0, and must be 0 in pfs_options). Before 1.0 a
 * minor release may break all of this; the soname and the package's version tell.
 *
 * Names are the kernel's (uapi/linux/if_link.h, if_bonding.h) and IEEE
 * 802.1AX-2014's. A link is rtnetlink's, a port is 802.1AX's.
 */
#ifndef PFSTATUS_H
#define PFSTATUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PFS_API __attribute__((visibility("default")))
#else
#define PFS_API
#endif

/* ---- Version ------------------------------------------------------------- */

/* Of this header: what is public changes with this one, */
#define PFS_VERSION_MAJOR 0
/* and before 1.0 with this one. */
#define PFS_VERSION_MINOR 1

/**
 * pfs_version - of the library that runs
 *
 * Return: "0.1": that of its header. Static. Threads: any.
 */
PFS_API const char *pfs_version(void);

/* ---- Values -------------------------------------------------------------- */

/* IFLA_VF_LINK_STATE_*: what a VF is told about the cable. */
enum pfs_vf_link_state {
	PFS_VF_AUTO = 0,	/* the VF's link follows the PF's cable */
	PFS_VF_ENABLE = 1,	/* always up */
	PFS_VF_DISABLE = 2,	/* always down */
};

/* One VF of a PF. This struct will not grow: arrays of it are passed. */
struct pfs_vf {
	uint32_t vf;		/* number of the VF, from 0; lists may have gaps */
	uint32_t link_state;	/* enum pfs_vf_link_state */
};

/* LACP_STATE_*: bits of a port state, IEEE 802.1AX-2014 6.4.2.3. */
enum pfs_lacp_state {
	PFS_LACP_STATE_ACTIVITY = 0x01,
	PFS_LACP_STATE_TIMEOUT = 0x02,	/* set: short (fast rate) */
	PFS_LACP_STATE_AGGREGATION = 0x04,
	PFS_LACP_STATE_SYNCHRONIZATION = 0x08,
	PFS_LACP_STATE_COLLECTING = 0x10,
	PFS_LACP_STATE_DISTRIBUTING = 0x20,
	PFS_LACP_STATE_DEFAULTED = 0x40,
	PFS_LACP_STATE_EXPIRED = 0x80,
};

/* Bits of pfs_link.known: what the kernel sent. Absent is unknown, never 0. */
enum pfs_link_known {
	PFS_LINK_OPERSTATE = 1 << 0,
	PFS_LINK_NUM_VF = 1 << 1,
	PFS_LINK_VFS = 1 << 2,		/* the message held a VF list */
	PFS_LINK_SLAVE_STATE = 1 << 3,
	PFS_LINK_AGGREGATOR_ID = 1 << 4,
	PFS_LINK_ACTOR_STATE = 1 << 5,
	PFS_LINK_PARTNER_STATE = 1 << 6,
};

/* A link: what one RTM_NEWLINK says of a PF. */
struct pfs_link {
	uint32_t size;			/* in: sizeof(struct pfs_link) */
	uint32_t known;			/* enum pfs_link_known */
	uint32_t ifindex;
	uint32_t flags;			/* IFF_* */
	uint32_t master_ifindex;	/* IFLA_MASTER; 0: none */
	uint32_t num_vf;		/* IFLA_NUM_VF: VFs that exist */
	uint32_t vf_count;		/* VFs listed; may exceed the capacity given */
	uint16_t aggregator_id;		/* IFLA_BOND_SLAVE_AD_AGGREGATOR_ID */
	uint8_t actor_oper_port_state;	/* enum pfs_lacp_state */
	uint8_t partner_oper_port_state;	/* likewise; u16 on the wire */
	uint8_t operstate;		/* IF_OPER_* */
	uint8_t slave_state;		/* BOND_STATE_ACTIVE 0, BOND_STATE_BACKUP 1 */
	char name[16];			/* IFLA_IFNAME */
	char kind[16];			/* IFLA_INFO_KIND, "" where the link has none */
	char slave_kind[16];		/* IFLA_INFO_SLAVE_KIND: what the master is */
	char parent[32];		/* IFLA_PARENT_DEV_NAME: a PCI device's address,
					   "0000:3b:00.0"; "" before Linux 5.14 */
	uint8_t reserved[2];		/* 0; no hole that a later field could fall into */
};

/* Bits of pfs_bond.known. */
enum pfs_bond_known {
	PFS_BOND_MODE = 1 << 0,
	PFS_BOND_MIIMON = 1 << 1,
	PFS_BOND_MIN_LINKS = 1 << 2,
	PFS_BOND_AD_LACP_RATE = 1 << 3,
	PFS_BOND_AD_INFO = 1 << 4,	/* an aggregator is active */
};

/* A bond: what one RTM_NEWLINK says of a PF's master. */
struct pfs_bond {
	uint32_t size;			/* in: sizeof(struct pfs_bond) */
	uint32_t known;			/* enum pfs_bond_known */
	uint32_t ifindex;
	uint32_t miimon;		/* ms */
	uint32_t min_links;
	uint16_t ad_aggregator;		/* IFLA_BOND_AD_INFO_AGGREGATOR */
	uint16_t ad_num_ports;		/* ports in the active aggregator */
	uint16_t ad_actor_key;
	uint16_t ad_partner_key;
	uint8_t ad_partner_mac[6];
	uint8_t mode;			/* BOND_MODE_*; 802.3ad is 4 */
	uint8_t ad_lacp_rate;		/* AD_LACP_SLOW 0, AD_LACP_FAST 1 */
	char name[16];
};

/* Every field by position: C++17 has no designators, and warns of a rest left out. */
#define PFS_LINK_INIT \
	{ sizeof(struct pfs_link), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, { 0 }, { 0 }, { 0 }, \
	  { 0 } }
#define PFS_BOND_INIT \
	{ sizeof(struct pfs_bond), 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, 0, 0, { 0 } }

/* ---- The LACP rule ------------------------------------------------------- */

/*
 * One answer per PF, tested in this order: the unknown ones, then the three
 * ways to be down, then up. What is unknown must not be acted upon.
 */
enum pfs_lacp {
	PFS_LACP_UP = 0,
	/* down */
	PFS_LACP_EXPIRED = 1,		/* LACPDUs stopped */
	PFS_LACP_DEFAULTED = 2,		/* no partner */
	PFS_LACP_NEGOTIATING = 3,	/* not (yet) in sync, collecting, distributing */
	/* unknown */
	PFS_LACP_ABSENT = 16,		/* no such link */
	PFS_LACP_NO_BOND = 17,		/* no master */
	PFS_LACP_NOT_A_BOND = 18,	/* the master is a bridge, a team, a VRF... */
	PFS_LACP_WRONG_MODE = 19,	/* the bond is not 802.3ad */
	PFS_LACP_NO_AGGREGATOR = 20,	/* the port has no aggregator yet */
	PFS_LACP_LINK_DOWN = 21,	/* no cable, or set down */
};

/**
 * pfs_lacp_status - judge a PF
 * @link: the PF, or NULL where there is none (PFS_LACP_ABSENT)
 * @bond: its master, or NULL where that was not asked for; then the mode is
 *        taken from the port alone, which has LACP attributes in 802.3ad only
 *
 * Up means: on both ends Synchronization, Collecting and Distributing set,
 * Defaulted and Expired clear; the slave active; operstate up, or unknown (a
 * driver that sets none) with a carrier. No single one of them is enough
 * (docs/kernel.md). Aggregation says nothing: a LAG of one port may send it
 * clear.
 *
 * Return: enum pfs_lacp; -EINVAL a .size is not filled in. Threads: any. Pure.
 * Source: IEEE 802.1AX-2014 6.4.2.3; drivers/net/bonding/bond_3ad.c;
 * Documentation/networking/operstates.rst.
 */
PFS_API int pfs_lacp_status(const struct pfs_link *link, const struct pfs_bond *bond);

/* What is to be done about it. */
enum pfs_verdict {
	PFS_UP = 0,		/* frames reach the switch */
	PFS_DOWN = 1,		/* they do not: VFs should not follow the cable */
	PFS_UNKNOWN = 2,	/* nothing can be said, and nothing should be done */
};

/** pfs_lacp_verdict - enum pfs_verdict of an enum pfs_lacp; PFS_UNKNOWN of what is none. */
PFS_API int pfs_lacp_verdict(int lacp);

/** pfs_lacp_name - "up", "expired", "no-bond"...; "?" for what is no enum pfs_lacp. Static. */
PFS_API const char *pfs_lacp_name(int lacp);

/** pfs_lacp_sentence - one English sentence that says why. Static. */
PFS_API const char *pfs_lacp_sentence(int lacp);

/* ---- A context ----------------------------------------------------------- */

struct pfs;

/* Bits of pfs_options.flags. */
enum pfs_open_flags {
	PFS_OPEN_NO_EVENTS = 1 << 0,	/* requests only: one socket less */
	PFS_OPEN_NO_FILTER = 1 << 1,	/* pfs_watch() filters nothing in the kernel */
	PFS_OPEN_NETNS = 1 << 2,	/* in the namespace that netns_fd is open on */
};

struct pfs_options {
	uint32_t size;			/* in: sizeof(struct pfs_options) */
	uint32_t flags;			/* enum pfs_open_flags */
	int32_t netns_fd;		/* with PFS_OPEN_NETNS; else 0 or -1 */
	uint32_t timeout_ms;		/* to wait for an answer; 0: 5000. See below */
	uint32_t event_buffer;		/* SO_RCVBUF for events, bytes; 0: 1 MiB */
};

#define PFS_OPTIONS_INIT { sizeof(struct pfs_options), 0, 0, 0, 0 }

/**
 * pfs_open - open the request socket and the event socket
 * @pfs:     set on success; to be closed by pfs_close()
 * @options: NULL for the defaults
 *
 * Events are joined before this returns: a change after pfs_open() is either
 * seen by a later question or waits as an event.
 *
 * Another network namespace is entered by a thread of our own that lives no
 * longer than this call; the caller's thread stays where it is. It takes
 * CAP_SYS_ADMIN (-EPERM without); the own namespace takes nothing.
 *
 * The kernel works while we send, and its wait for the RTNL lock is part of
 * that: timeout_ms begins afterwards and does not bound it.
 *
 * Return: 0; -EINVAL; -E2BIG; -ENOMEM; what socket(2) or setns(2) say.
 * Threads: any. Allocates: the context, about 400 KiB.
 */
PFS_API int pfs_open(struct pfs **pfs, const struct pfs_options *options);

/**
 * pfs_open_fds - a context on descriptors that somebody else opened
 * @pfs:        set on success
 * @request_fd: a bound NETLINK_ROUTE socket, or one end of a SOCK_SEQPACKET
 *              socketpair whose other end plays the kernel
 * @event_fd:   likewise, in RTNLGRP_LINK; or -1 for requests only
 * @options:    NULL for the defaults; netns_fd and event_buffer are not used
 *
 * For sockets that another process opened in its network namespace, and for
 * tests. It lends no privilege: the kernel wants CAP_NET_ADMIN of who opened
 * the socket and of who sends. A SOCK_DGRAM pair does as well, but has no end:
 * that the other side is closed shows when something is sent.
 *
 * On success both descriptors belong to the context; on failure they stay the
 * caller's. No unread answer may wait on @request_fd: it could be taken for
 * ours.
 *
 * Return: 0; -EINVAL a netlink socket is not bound or of another protocol, both
 * are one, or @event_fd is there with PFS_OPEN_NO_EVENTS; -E2BIG; -ENOMEM;
 * -EBADF, -ENOTSOCK. Threads: any. Allocates: the context.
 */
PFS_API int pfs_open_fds(struct pfs **pfs, int request_fd, int event_fd,
			 const struct pfs_options *options);

/**
 * pfs_close - close the sockets and free the context
 * @pfs: NULL is ignored
 *
 * Not in the midst of a call: neither from a tap nor from a signal handler.
 */
PFS_API void pfs_close(struct pfs *pfs);

/**
 * pfs_extack - what the kernel said to the last request that failed
 *
 * Of pfs_vf_set(), which makes many: the last that it had words for; each
 * result has its own.
 *
 * Return: its text (NETLINK_EXT_ACK), "" where it gave none. Valid until the
 * next call of a function that asks or sets on this context.
 */
PFS_API const char *pfs_extack(const struct pfs *pfs);

/* ---- Reading ------------------------------------------------------------- */

/**
 * pfs_link_get - ask for one link
 * @pfs:      the context
 * @ifindex:  of the link, or 0 to go by @name
 * @name:     its name or one of its alternative names; not used with @ifindex
 * @link:     filled on success, untouched on error
 * @vfs:      array for the VFs, in the kernel's order; NULL: VFs are not asked
 *            for, which spares the driver a call for each under the RTNL lock
 * @capacity: of @vfs, in elements; link->vf_count says how many there were
 *
 * A list may be sparse: a VF whose driver could not answer is left out.
 *
 * Return: 0; -ENODEV no such link; -EINVAL; -EMSGSIZE the kernel could not fit
 * its answer (seen with InfiniBand VFs): ask without VFs; -EBADMSG; -ETIMEDOUT.
 * System calls: 2. Source: RTM_GETLINK, rtnetlink(7); RTEXT_FILTER_VF.
 */
PFS_API int pfs_link_get(struct pfs *pfs, uint32_t ifindex, const char *name,
			 struct pfs_link *link, struct pfs_vf *vfs, size_t capacity);

/**
 * pfs_pf_get - ask for a PF and its bond, and judge it
 * @pfs:      the context
 * @ifindex:  of the PF, or 0 to go by @name
 * @name:     its name or one of its alternative names; not used with @ifindex
 * @link:     filled; all 0 where the link does not exist
 * @bond:     filled; all 0 where its master is none
 * @vfs:      as for pfs_link_get(): an array for the VFs, or NULL
 * @capacity: of @vfs, in elements
 *
 * Return: enum pfs_lacp, PFS_LACP_ABSENT where there is no such link; on any
 * other failure what pfs_link_get() says, and both untouched.
 * System calls: 2, and 2 for the bond.
 */
PFS_API int pfs_pf_get(struct pfs *pfs, uint32_t ifindex, const char *name,
		       struct pfs_link *link, struct pfs_bond *bond, struct pfs_vf *vfs,
		       size_t capacity);

/**
 * pfs_bond_get - ask for one bond
 * @pfs:     the context
 * @ifindex: of the bond: pfs_link.master_ifindex of its port
 * @bond:    filled on success, untouched on error
 *
 * Return: 0; -EMEDIUMTYPE the link is not a bond; -ENODEV; -EBADMSG;
 * -ETIMEDOUT. System calls: 2. Source: IFLA_INFO_DATA, IFLA_BOND_AD_INFO.
 */
PFS_API int pfs_bond_get(struct pfs *pfs, uint32_t ifindex, struct pfs_bond *bond);

/**
 * pfs_link_dump - ask for all links, without their VFs
 * @pfs:      the context
 * @links:    array to fill; only links[0].size need be set
 * @capacity: of @links, in elements
 *
 * Return: how many links there are, which may exceed @capacity (the first
 * @capacity are filled; ask again with more); -EAGAIN the set of links kept
 * changing while it was read, five times; -EBUSY; -EINVAL; -EBADMSG;
 * -ETIMEDOUT.
 */
PFS_API int pfs_link_dump(struct pfs *pfs, struct pfs_link *links, size_t capacity);

/* ---- Setting ------------------------------------------------------------- */

/* Whom an error concerns. */
enum pfs_scope {
	PFS_SCOPE_VF = 0,	/* this VF: what its driver answered, in the driver's meaning */
	PFS_SCOPE_PF = 1,	/* whatever is set on this PF: no privilege (-EPERM), the PF is
				   gone (-ENODEV), nobody answers (-ETIMEDOUT, -EPIPE...), not
				   tried (-ECANCELED) */
};

/* What became of one VF's setting. This struct will not grow: arrays of it are passed. */
struct pfs_vf_result {
	int32_t error;		/* 0 or a negative errno */
	uint32_t scope;		/* enum pfs_scope */
	char extack[120];	/* the kernel's words for it, "" where it gave none */
};

/**
 * pfs_vf_set - set the link state of VFs of one PF
 * @pfs:     the context
 * @ifindex: of the PF
 * @vfs:     (vf, link_state) pairs, in the order to be set; each VF once, and
 *           below 65,536
 * @n:       how many
 * @chunk:   most VFs in one message; 0: as many as fit (4,094). The kernel
 *           holds the RTNL lock for a whole message, so a slow NIC wants less.
 * @results: n of them, one for each pair; written in any case
 *
 * The kernel stops at the first VF that fails and does not say which. So after
 * an error the VFs are read again and those that still differ are set one by
 * one. A PF that is gone, a privilege that is missing (which we ask the kernel
 * for: a driver's -EPERM or -ENODEV may mean one VF) and an answer that does
 * not come end the matter: the rest is -ECANCELED.
 *
 * A result of 0 says that the driver accepted. Some accept and do nothing
 * (ixgbe: enable): only reading again tells.
 *
 * Return: how many failed; -EINVAL nothing was tried, and every result is
 * -ECANCELED. Needs CAP_NET_ADMIN in the user namespace that owns the network
 * namespace.
 * System calls: 2 for each chunk without errors. Source: RTM_SETLINK,
 * IFLA_VFINFO_LIST, IFLA_VF_LINK_STATE; do_setlink() in net/core/rtnetlink.c.
 */
PFS_API int pfs_vf_set(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs,
		       size_t n, size_t chunk, struct pfs_vf_result *results);

/**
 * pfs_vf_choose - what to set: VFs that are in one state, to become another
 * @vfs:      as read
 * @n:        how many
 * @from:     enum pfs_vf_link_state that they are in...
 * @to:       ...and are to be in
 * @chosen:   filled with (vf, @to) pairs, in the order of @vfs; may be @vfs
 * @capacity: of @chosen, in elements: no more are chosen
 *
 * Return: how many were chosen. Pure.
 */
PFS_API size_t pfs_vf_choose(const struct pfs_vf *vfs, size_t n, uint32_t from, uint32_t to,
			     struct pfs_vf *chosen, size_t capacity);

/**
 * pfs_vf_set_permitted - would the kernel let us set VFs?
 *
 * Sends an RTM_SETLINK for the loopback device that changes nothing.
 *
 * Return: 0; -EPERM; -ETIMEDOUT.
 */
PFS_API int pfs_vf_set_permitted(struct pfs *pfs);

/* ---- Events -------------------------------------------------------------- */

/**
 * pfs_fd - descriptor that is readable when an event waits
 *
 * For poll(2) and its kin. It stays the context's. -EBADF: opened without
 * events.
 */
PFS_API int pfs_fd(const struct pfs *pfs);

/* Most interfaces that one context can watch. */
#define PFS_WATCH_MAX 128

/**
 * pfs_watch - let only some links wake us
 * @pfs:       the context
 * @ifindexes: links to hear of, by index
 * @n_index:   how many
 * @names:     links to hear of, by IFLA_IFNAME, whatever index they come with
 * @n_name:    how many; none of both: hear of all links again
 *
 * A classic BPF program on the event socket drops the rest in the kernel, so
 * that a busy node does not wake us. In doubt it lets pass: the caller still
 * compares. Alternative names are not in its reach. Where the kernel has no
 * room for the program (net.core.optmem_max), all links are heard of. The
 * largest one fits the 20 KiB that this was before Linux 6.8.
 *
 * Return: 0; -EINVAL more than PFS_WATCH_MAX, or a name too long; -EBADF
 * opened without events.
 */
PFS_API int pfs_watch(struct pfs *pfs, const uint32_t *ifindexes, size_t n_index,
		      const char *const *names, size_t n_name);

/**
 * pfs_event_next - the next link event; never waits
 * @pfs:  the context
 * @link: filled on success; events never list VFs
 *
 * Messages of bridge ports and other families are passed over.
 *
 * After it had to drop an event the kernel queues none before all that wait are
 * taken. So on -ENOBUFS what waited is thrown away: it is older than the loss,
 * and to be asked for in any case. The next event is a new one.
 *
 * Return: RTM_NEWLINK (16) or RTM_DELLINK (17); -EAGAIN none waits; -ENOBUFS
 * events were lost; -EBADMSG, -EMSGSIZE: one could not be read, treat it as
 * lost; -EPIPE; -EINVAL, -EBADF.
 */
PFS_API int pfs_event_next(struct pfs *pfs, struct pfs_link *link);

/* ---- Watching the messages ----------------------------------------------- */

/* What a tap is shown. */
enum pfs_tap_direction {
	PFS_TAP_REQUEST = 0,	/* about to be sent */
	PFS_TAP_ANSWER = 1,	/* received on the request socket */
	PFS_TAP_EVENT = 2,	/* received on the event socket; no bytes: some were lost */
};

typedef void (*pfs_tap_fn)(void *arg, int direction, const void *buf, size_t len);

/**
 * pfs_tap - have each datagram shown as it passes, for captures and traces
 * @pfs: the context
 * @tap: called with @arg, an enum pfs_tap_direction and the datagram, which may
 *       hold several messages and is valid until it returns; NULL: no more
 * @arg: not looked at
 *
 * It is called by the thread that uses the context, and must not use the context
 * itself. A request is shown before it is sent: the time until its answer is the
 * kernel's. What others than the kernel sent to us is not shown.
 *
 * Allocates: never.
 */
PFS_API void pfs_tap(struct pfs *pfs, pfs_tap_fn tap, void *arg);

/* ---- Bytes: no socket ---------------------------------------------------- */

/**
 * pfs_link_decode - read one RTM_NEWLINK or RTM_DELLINK message
 * @buf:      the message from its nlmsghdr on, aligned to 4; not kept
 * @len:      bytes in @buf
 * @link:     NULL, or filled on success
 * @bond:     NULL, or filled on success; known is 0 if the link is no bond
 * @vfs:      NULL, or array for the VFs
 * @capacity: of @vfs, in elements
 *
 * An unknown attribute is skipped: newer kernels add them. A known one that is
 * too short is an error; a longer one is read as far as it is known. A VF list
 * whose 16-bit length wrapped (above 221 VFs with statistics, 334 without) is
 * walked by its entries. All outputs are untouched on error, but @vfs.
 *
 * Return: RTM_NEWLINK or RTM_DELLINK; -ENOMSG another type or family; -EBADMSG
 * malformed; -EINVAL. Threads: any.
 * Source: uapi/linux/if_link.h; rtnl_fill_ifinfo() in net/core/rtnetlink.c.
 */
PFS_API int pfs_link_decode(const void *buf, size_t len, struct pfs_link *link,
			    struct pfs_bond *bond, struct pfs_vf *vfs, size_t capacity);

/**
 * pfs_vf_set_encode - write one RTM_SETLINK that sets VF link states
 * @buf:      for the message, aligned to 4
 * @capacity: bytes in @buf; 36 + 16 * @n are needed
 * @ifindex:  of the PF
 * @seq:      nlmsg_seq
 * @vfs:      what to set
 * @n:        how many, at most 4,094; 0: a message that changes nothing
 *
 * Return: bytes written; -EMSGSIZE does not fit; -EINVAL not aligned.
 * Threads: any. Source: do_setvfinfo() in net/core/rtnetlink.c.
 */
PFS_API int pfs_vf_set_encode(void *buf, size_t capacity, uint32_t ifindex, uint32_t seq,
			      const struct pfs_vf *vfs, size_t n);

/* ---- LACPDUs: no socket -------------------------------------------------- */

/* Octets of a LACPDU of version 1 with its Ethernet header, without its FCS. */
#define PFS_LACPDU_BYTES 124

/* One end, as a LACPDU tells of it. This struct will not grow. */
struct pfs_lacpdu_end {
	uint16_t system_priority;
	uint8_t system[6];
	uint16_t key;
	uint16_t port_priority;
	uint16_t port;
	uint8_t state;			/* enum pfs_lacp_state */
	uint8_t reserved;		/* 0 */
};

/* A LACPDU: what the standard's version 1 holds. This struct will not grow. */
struct pfs_lacpdu {
	uint8_t source[6];		/* MAC address of the port that sent it */
	uint8_t version;
	uint8_t reserved;		/* 0 */
	struct pfs_lacpdu_end actor;	/* its sender */
	struct pfs_lacpdu_end partner;	/* whom the sender takes us for */
	uint16_t collector_max_delay;	/* tens of microseconds */
	uint16_t reserved_2;		/* 0 */
	uint32_t mark;			/* the last 4 reserved octets: 0 but in pfs_port_send()'s */
};

/**
 * pfs_lacpdu_decode - read one LACPDU
 * @buf: the frame from its Ethernet header on; any alignment; not kept
 * @len: octets in @buf
 * @pdu: filled on success, untouched on error
 *
 * What a later version appends is skipped.
 *
 * Return: 0; -ENOMSG no LACPDU: markers, OAM, other frames; -EBADMSG one that
 * is too short, or whose actor and partner are not where they belong.
 * Threads: any. Allocates: never. Source: IEEE 802.1AX-2014 6.4.2.3.
 */
PFS_API int pfs_lacpdu_decode(const void *buf, size_t len, struct pfs_lacpdu *pdu);

/**
 * pfs_lacpdu_encode - write one LACPDU
 * @buf:      for the frame; any alignment
 * @capacity: octets in @buf; PFS_LACPDU_BYTES are needed
 * @pdu:      what to write; to the multicast address of slow protocols
 *
 * Return: octets written; -EMSGSIZE does not fit. Threads: any.
 * Allocates: never.
 */
PFS_API int pfs_lacpdu_encode(void *buf, size_t capacity, const struct pfs_lacpdu *pdu);

/* ---- LACPDUs of a port --------------------------------------------------- */

/*
 * A packet socket on one PF that sees its LACPDUs both ways, and asks: our
 * kernel's own last LACPDU, sent once more with the Timeout bit of its Partner
 * state flipped, has to be answered at once (IEEE 802.1AX-2014 6.4.9,
 * update_NTT), and changes nothing at either end.
 *
 * Its filter runs for each frame that passes the PF's netdev, and what that
 * sends is cloned for it: keep it off PFs that need no watching.
 *
 * A struct pfs_port is used by one thread at a time and does not survive
 * fork(), as a struct pfs.
 */
struct pfs_port;

/* LACPDUs in any second that end with one of ours: 802.1AX-2014 6.4.16's limit. */
#define PFS_PORT_PER_SECOND 3

/**
 * pfs_port_open - see the LACPDUs of one PF
 * @port:     set on success; to be closed by pfs_port_close()
 * @ifindex:  of the PF; the socket stays with this one, and ends with it
 * @netns_fd: fd of a network namespace, entered as by pfs_open(); -1: the
 *            caller's own
 *
 * Return: 0; -EPERM without CAP_NET_RAW in the user namespace that owns the
 * network namespace; -ENODEV; -EMEDIUMTYPE no Ethernet; -EINVAL; -ENOMEM; what
 * socket(2), setsockopt(2), bind(2) or setns(2) say. A PF may be down.
 * Threads: any. Allocates: the port, about 4 KiB.
 */
PFS_API int pfs_port_open(struct pfs_port **port, uint32_t ifindex, int netns_fd);

/**
 * pfs_port_open_fd - a port on a descriptor that somebody else opened
 * @port: set on success, when @fd becomes the port's
 * @fd:   a packet socket of type SOCK_RAW, bound to one interface with
 *        ETH_P_ALL; or one end of a datagram socketpair whose other end plays
 *        the wire: there each frame for us lies behind a struct sockaddr_ll
 *        that says by its sll_pkttype which way it went
 *
 * Return: 0; -ENOMEM; -EBADF, -ENOTSOCK. Threads: any. Allocates: the port.
 */
PFS_API int pfs_port_open_fd(struct pfs_port **port, int fd);

/** pfs_port_close - close the socket and free the port; NULL is ignored. */
PFS_API void pfs_port_close(struct pfs_port *port);

/** pfs_port_fd - descriptor that is readable when a LACPDU waits. It stays the port's. */
PFS_API int pfs_port_fd(const struct pfs_port *port);

/* Which way a LACPDU went. */
enum pfs_port_direction {
	PFS_PORT_RECEIVED = 0,
	PFS_PORT_SENT = 1,	/* by the kernel; or, if it is marked, by another program */
};

/**
 * pfs_port_next - the next LACPDU that passed; never waits
 * @port:    the port
 * @pdu:     filled on success
 * @time_ns: when it passed, CLOCK_MONOTONIC: the kernel's stamp, however late
 *           it is read
 *
 * What the port itself sent is not seen. Each LACPDU that the kernel sends
 * becomes the template of what the port sends from then on.
 *
 * Return: enum pfs_port_direction; -EAGAIN none waits; -EBADMSG one could not
 * be read; -ENOMSG some other frame; -ENETDOWN, once, the PF was set down: the
 * template is dropped and the port goes on; -EPIPE. Allocates: never.
 */
PFS_API int pfs_port_next(struct pfs_port *port, struct pfs_lacpdu *pdu, int64_t *time_ns);

/* What to send. Each is marked in octets that receivers ignore: no two are equal. */
enum pfs_port_say {
	/* The template, which tells the partner what it said of itself last, but for Timeout. */
	PFS_PORT_ASK = 0,
	/* The same without the change: nothing in it asks for an answer. */
	PFS_PORT_COPY = 1,
	/* The template as the kernel sent it: what revives a partner that is DEFAULTED. */
	PFS_PORT_REPEAT = 2,
};

/**
 * pfs_port_send - ask, or say again what the kernel said last
 * @port:    the port
 * @what:    enum pfs_port_say
 * @time_ns: when it was sent, CLOCK_MONOTONIC
 *
 * Any LACPDU restarts the partner's receive timer. Whoever asks for a port that
 * the kernel no longer speaks for keeps a dead end alive: do not.
 *
 * Return: 0; -ENODATA there is no template: the kernel has sent nothing since
 * the port was opened, told to forget, or changed its MAC, or (but for
 * PFS_PORT_REPEAT) nothing was received since; -EBUSY it would be one too many
 * in a second, see pfs_port_free_ns(); -EAGAIN a LACPDU waits: read it first;
 * -ENODEV the PF is gone; -ENETDOWN; -ENOBUFS; -EPROTONOSUPPORT the template is
 * of another version than 1; -EINVAL. Allocates: never.
 */
PFS_API int pfs_port_send(struct pfs_port *port, int what, int64_t *time_ns);

/** pfs_port_free_ns - when the limit lets the next one through, CLOCK_MONOTONIC; may be past. */
PFS_API int64_t pfs_port_free_ns(const struct pfs_port *port);

/**
 * pfs_port_forget - drop the template and what was heard of the partner
 *
 * To be called when the PF changes its bond: what the kernel said for the old
 * one must not be said again.
 */
PFS_API void pfs_port_forget(struct pfs_port *port);

#ifdef __cplusplus
}
#endif

#endif /* PFSTATUS_H */
