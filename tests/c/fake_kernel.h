/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel at the other end of a socketpair, in a thread of its own: one PF
 * with VFs in one bond, and knobs for everything that goes wrong. Knobs are
 * set before the first request; what it holds is read after the last.
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

#include "message.h"
#include "pfstatus.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define VF_ALWAYS 0xffffffffu

struct fake_kernel {
	struct pf pf;
	struct pf bond;
	uint32_t links;			/* that a dump lists */

	/* Answers. */
	bool mute;
	bool stale_first;		/* an answer to an older question comes first */
	bool foreign_port_first;	/* one for another socket comes first */
	bool empty_ack;			/* to RTM_GETLINK: no error, and no link */
	bool no_link;			/* to RTM_GETLINK: RTM_NEWADDR */
	bool bridge_family;		/* to RTM_GETLINK: family AF_BRIDGE */
	bool bad_frame;			/* nlmsg_len beyond the datagram */
	bool half_header;		/* fewer bytes than a header */
	size_t oversize;		/* so many bytes instead of an answer */
	int get_error;			/* to RTM_GETLINK: this errno, negative */
	int get_errors_after;		/* ... but only after so many were answered */
	int positive_error;		/* an NLMSG_ERROR of this value, which no kernel sends */

	/* Dumps. */
	int dump_interrupted;		/* so many are marked NLM_F_DUMP_INTR */
	int dump_cut_short;		/* in so many a frame is malformed before the end */
	int dump_busy;			/* so many are refused, another one being under way */
	int dump_error;			/* in NLMSG_DONE */
	bool dump_refused;		/* NLMSG_ERROR instead */
	bool dump_malformed;		/* one of the links is */

	/* Settings. */
	int vf_error[PF_VFS];		/* the driver's answer, negative; 0: accept */
	uint32_t vf_error_times[PF_VFS];	/* how often; VF_ALWAYS */
	bool vf_ignored[PF_VFS];	/* 0, and nothing done */
	bool not_permitted;
	int drop_acks;			/* so many settings are applied without a word */
	bool double_acks;		/* each ack comes twice */
	bool split_acks;		/* each ack in a datagram of its own; else all in one */
	bool done_before_acks;		/* an NLMSG_DONE of the same number before them */
	bool bad_acks;			/* NLMSG_ERROR too short */
	int vanish_after;		/* the PF is gone after so many settings; 0: never */
	const char *text;		/* extended ack of errors */

	/* What happened. */
	unsigned int gets, vf_gets, sets, driver_calls, dumps, datagrams;
	uint32_t largest_set;		/* VFs in one message */
	struct fake_change {
		uint32_t vf;
		uint32_t link_state;
	} changes[4 * PF_VFS];		/* that reached the driver, in order */

	int request_fd, event_fd;	/* the kernel's ends */
	pthread_t thread;
	struct message in, out;
};

/* Fills the fake with a PF that is up in LACP and has @n_vf VFs, all "auto". */
void fake_kernel_init(struct fake_kernel *fake, uint32_t n_vf);
/* Starts it, and a context on its other end. Returns the context; aborts if it cannot. */
struct pfs *fake_kernel_open(struct fake_kernel *fake, uint32_t timeout_ms);
/* Closes the context and joins the thread. */
void fake_kernel_close(struct fake_kernel *fake, struct pfs *pfs);
/* Sends bytes as an event. */
void fake_kernel_event(struct fake_kernel *fake, const void *bytes, size_t len);

#endif
