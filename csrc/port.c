// SPDX-License-Identifier: Apache-2.0
/*
 * A packet socket on a PF for its LACPDUs: which came, which went, and asking.
 *
 * ETH_P_ALL and not ETH_P_SLOW: bonding's receive handler consumes LACPDUs
 * before handlers of one protocol see them, and only taps see what goes out.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define SECOND_NS 1000000000
/* TC_PRIO_CONTROL, as bonding's own have: they do not wait behind bulk traffic. */
#define PRIORITY_CONTROL 7
/* The largest frame of a slow protocol (IEEE 802.3 57A.3). */
#define FRAME_MAX 1518

struct pfs_port {
	int fd;
	bool packet;			/* false: a socketpair */
	uint32_t mark;			/* of our next frame */
	int64_t last_ns;		/* of what was read last */
	int64_t sent_ns[PFS_PORT_PER_SECOND];	/* a ring */
	size_t sent;			/* how many ever */
	struct pfs_lacpdu_end heard;	/* the partner, in its own latest words */
	size_t template_len;		/* 0: none */
	bool has_heard;
	uint8_t mac[ETH_ALEN];		/* the PF's when the template was taken */
	uint8_t template[FRAME_MAX];
	uint8_t frame[sizeof(struct sockaddr_ll) + FRAME_MAX];
};

/* LACPDUs of either direction; a load beyond the end drops, too. */
static int filter_attach(int fd)
{
	struct sock_filter insns[] = {
		{ BPF_LD | BPF_H | BPF_ABS, 0, 0, 12 },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 3, ETH_P_SLOW },
		{ BPF_LD | BPF_B | BPF_ABS, 0, 0, 14 },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 1 },
		{ BPF_RET | BPF_K, 0, 0, 0xffff },
		{ BPF_RET | BPF_K, 0, 0, 0 },
	};
	struct sock_fprog prog = { .len = sizeof(insns) / sizeof(insns[0]), .filter = insns };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

/* The interface as the socket is bound to it now. */
static int bound_to(const struct pfs_port *port, struct sockaddr_ll *addr)
{
	socklen_t len = sizeof(*addr);

	memset(addr, 0, sizeof(*addr));
	if (getsockname(port->fd, (struct sockaddr *)addr, &len) < 0)
		return -errno;
	return 0;
}

static int port_new(struct pfs_port **out)
{
	struct pfs_port *port = calloc(1, sizeof(*port));

	if (!port)
		return -ENOMEM;
	port->fd = -1;
	/* Another one than that of whoever asked before us. */
	port->mark = (uint32_t)pfs_now_ns();
	*out = port;
	return 0;
}

struct opening {
	struct pfs_port *port;
	uint32_t ifindex;
};

static int socket_open(void *arg)
{
	const struct opening *opening = arg;
	struct pfs_port *port = opening->port;
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)opening->ifindex,
	};
	const int on = 1, priority = PRIORITY_CONTROL;
	int ret;

	/* Protocol 0 hears nothing: no frame comes before the filter is there. */
	port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->fd < 0)
		return -errno;
	ret = filter_attach(port->fd);
	if (ret < 0)
		return ret;
	if (setsockopt(port->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		return -errno;
	/* Above 6 it takes a capability that we may do without. */
	setsockopt(port->fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	if (bind(port->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	ret = bound_to(port, &addr);
	if (ret < 0)
		return ret;
	return addr.sll_hatype == ARPHRD_ETHER ? 0 : -EMEDIUMTYPE;
}

int pfs_port_open(struct pfs_port **out, uint32_t ifindex, int netns_fd)
{
	struct opening opening = { .ifindex = ifindex };
	int ret;

	/* 0 would be all interfaces. */
	if (!ifindex || ifindex > INT32_MAX)
		return -EINVAL;
	ret = port_new(&opening.port);
	if (ret < 0)
		return ret;
	opening.port->packet = true;
	ret = pfs_in_netns(netns_fd, socket_open, &opening);
	if (ret < 0) {
		pfs_port_close(opening.port);
		return ret;
	}
	*out = opening.port;
	return 0;
}

int pfs_port_open_fd(struct pfs_port **out, int fd)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	struct pfs_port *port;
	int ret;

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	ret = port_new(&port);
	if (ret < 0)
		return ret;
	port->fd = fd;
	port->packet = addr.ss_family == AF_PACKET;
	*out = port;
	return 0;
}

void pfs_port_close(struct pfs_port *port)
{
	if (!port)
		return;
	if (port->fd >= 0)
		close(port->fd);
	free(port);
}

int pfs_port_fd(const struct pfs_port *port)
{
	return port->fd;
}

void pfs_port_forget(struct pfs_port *port)
{
	port->template_len = 0;
	port->has_heard = false;
}

/* The kernel's stamp, which is on CLOCK_REALTIME, on CLOCK_MONOTONIC. */
static int64_t stamp_ns(struct msghdr *msg)
{
	int64_t now = pfs_now_ns();

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		struct timespec real, stamp;
		int64_t age;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&stamp, CMSG_DATA(cmsg), sizeof(stamp));
		clock_gettime(CLOCK_REALTIME, &real);
		age = (int64_t)(real.tv_sec - stamp.tv_sec) * SECOND_NS +
		      (real.tv_nsec - stamp.tv_nsec);
		/* Negative, or beyond all reason: the clock was set meanwhile. */
		if (age > 0 && age < now)
			return now - age;
	}
	return now;
}

static void count_sent(struct pfs_port *port, int64_t ns)
{
	port->sent_ns[port->sent++ % PFS_PORT_PER_SECOND] = ns;
}

int64_t pfs_port_free_ns(const struct pfs_port *port)
{
	if (port->sent < PFS_PORT_PER_SECOND)
		return 0;
	return port->sent_ns[port->sent % PFS_PORT_PER_SECOND] + SECOND_NS;
}

/* The kernel's own become the template; another program's, which are marked as ours are, do not. */
static void take_sent(struct pfs_port *port, const struct pfs_lacpdu *pdu, const uint8_t *frame,
		      size_t len)
{
	struct sockaddr_ll addr;

	if (pdu->mark)
		return;
	memcpy(port->template, frame, len);
	port->template_len = len;
	if (port->packet && !bound_to(port, &addr))
		memcpy(port->mac, addr.sll_addr, ETH_ALEN);
}

int pfs_port_next(struct pfs_port *port, struct pfs_lacpdu *pdu, int64_t *time_ns)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct timespec)) + 64];
	} control;
	struct sockaddr_ll from = { 0 };
	struct iovec iov = { .iov_base = port->frame, .iov_len = sizeof(port->frame) };
	struct msghdr msg = {
		.msg_name = port->packet ? &from : NULL,
		.msg_namelen = port->packet ? sizeof(from) : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	const uint8_t *frame = port->frame;
	struct pfs_lacpdu got;
	ssize_t len;
	int64_t ns;
	int ret;

	do {
		len = recvmsg(port->fd, &msg, MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	if (len < 0) {
		ret = -errno;
		/* Whatever comes after it may have another MAC, bond or partner. */
		if (ret == -ENETDOWN)
			pfs_port_forget(port);
		return ret;
	}
	if (!port->packet) {
		if (!len)
			return -EPIPE;
		if ((size_t)len < sizeof(from))
			return -EBADMSG;
		memcpy(&from, frame, sizeof(from));
		frame += sizeof(from);
		len -= (ssize_t)sizeof(from);
	}
	if (msg.msg_flags & MSG_TRUNC || len > FRAME_MAX)
		return -EBADMSG;
	ret = pfs_lacpdu_decode(frame, (size_t)len, &got);
	if (ret < 0)
		return ret;
	ns = stamp_ns(&msg);
	if (ns < port->last_ns)
		ns = port->last_ns;
	port->last_ns = ns;
	*pdu = got;
	*time_ns = ns;
	if (from.sll_pkttype == PACKET_OUTGOING) {
		count_sent(port, ns);
		take_sent(port, &got, frame, (size_t)len);
		return PFS_PORT_SENT;
	}
	port->heard = got.actor;
	port->has_heard = true;
	return PFS_PORT_RECEIVED;
}

/* Whether the template is still what the PF would send. */
static int template_check(struct pfs_port *port, int what)
{
	struct sockaddr_ll addr;
	int ret;

	if (port->packet) {
		ret = bound_to(port, &addr);
		if (ret < 0)
			return ret;
		/* An interface that is gone has no type. */
		if (addr.sll_hatype != ARPHRD_ETHER)
			return -ENODEV;
		if (memcmp(addr.sll_addr, port->mac, ETH_ALEN))
			pfs_port_forget(port);
	}
	if (!port->template_len || (what != PFS_PORT_REPEAT && !port->has_heard))
		return -ENODATA;
	return 0;
}

/* What was not read yet may be an answer, or one more that the limit counts. */
static bool something_waits(const struct pfs_port *port)
{
	struct pollfd pfd = { .fd = port->fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

int pfs_port_send(struct pfs_port *port, int what, int64_t *time_ns)
{
	size_t len;
	int64_t now;
	int ret;

	if (what < PFS_PORT_ASK || what > PFS_PORT_REPEAT)
		return -EINVAL;
	if (something_waits(port))
		return -EAGAIN;
	ret = template_check(port, what);
	if (ret < 0)
		return ret;
	now = pfs_now_ns();
	if (pfs_port_free_ns(port) > now)
		return -EBUSY;
	len = port->template_len;
	memcpy(port->frame, port->template, len);
	if (what != PFS_PORT_REPEAT)
		pfs_lacpdu_set_partner(port->frame, &port->heard,
				       what == PFS_PORT_ASK ? PFS_LACP_STATE_TIMEOUT : 0);
	if (!++port->mark)
		port->mark = 1;
	if (!pfs_lacpdu_set_mark(port->frame, len, port->mark))
		return -EPROTONOSUPPORT;
	if (send(port->fd, port->frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == EAGAIN ? -ENOBUFS : -errno;
	count_sent(port, now);
	*time_ns = now;
	return 0;
}
