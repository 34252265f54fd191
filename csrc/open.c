// SPDX-License-Identifier: Apache-2.0
/* A context: its sockets, by libnl or from the caller, and its end. */

/* setns(2) */
#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

#define DEFAULT_TIMEOUT_MS 5000u
#define DEFAULT_EVENT_BUFFER (1024u * 1024)
#define FLAGS_KNOWN ((uint32_t)(PFS_OPEN_NO_EVENTS | PFS_OPEN_NO_FILTER | PFS_OPEN_NETNS))

_Static_assert(offsetof(struct pfs_options, event_buffer) + 4 == PFS_OPTIONS_SIZE_MIN,
	       "the first release's options");

/* A newer caller may know fields and flags that we do not: we refuse what they ask. */
static int take_options(struct pfs_options *to, const struct pfs_options *from)
{
	static const struct pfs_options defaults = PFS_OPTIONS_INIT;

	*to = defaults;
	if (from) {
		if (!pfs_size_ok(from->size, PFS_OPTIONS_SIZE_MIN))
			return -EINVAL;
		if (from->flags & ~FLAGS_KNOWN)
			return -E2BIG;
		for (size_t i = sizeof(*to); i < from->size; i++)
			if (((const uint8_t *)from)[i])
				return -E2BIG;
		memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	}
	if (to->flags & PFS_OPEN_NETNS ? to->netns_fd < 0 : to->netns_fd > 0)
		return -EINVAL;
	if (!(to->flags & PFS_OPEN_NETNS))
		to->netns_fd = -1;
	if (!to->timeout_ms)
		to->timeout_ms = DEFAULT_TIMEOUT_MS;
	if (!to->event_buffer)
		to->event_buffer = DEFAULT_EVENT_BUFFER;
	return 0;
}

/*
 * libnl folds ENOBUFS and ENOMEM into one code and loses others, but leaves
 * errno as the failing system call set it.
 */
static int nl_errno(int error)
{
	int saved = errno;

	if (error >= 0)
		return 0;
	return saved ? -saved : -EPROTO;
}

/*
 * Kernels before 4.20 do not know all of these and answer well without: no
 * strict check of what we ask, no error text, errors with the request.
 */
static void socket_tune(int fd)
{
	const int on = 1;

	setsockopt(fd, SOL_NETLINK, PFS_NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, PFS_NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, PFS_NETLINK_CAP_ACK, &on, sizeof(on));
}

static int socket_open(struct pfs_socket *sock)
{
	int ret;

	sock->nl = nl_socket_alloc();
	if (!sock->nl)
		return -ENOMEM;
	errno = 0;
	ret = nl_errno(nl_connect(sock->nl, NETLINK_ROUTE));
	if (ret < 0)
		return ret;
	/* libnl's own 32 KiB would refuse our largest request. */
	ret = nl_errno(nl_socket_set_buffer_size(sock->nl, PFS_RX_BYTES, 2 * (int)PFS_TX_BYTES));
	if (ret < 0)
		return ret;
	sock->fd = nl_socket_get_fd(sock->nl);
	sock->port = nl_socket_get_local_port(sock->nl);
	sock->netlink = true;
	socket_tune(sock->fd);
	return 0;
}

struct opening {
	struct pfs *pfs;
	const struct pfs_options *options;
};

static int sockets_open(void *arg)
{
	const struct pfs_options *options = ((struct opening *)arg)->options;
	struct pfs *pfs = ((struct opening *)arg)->pfs;
	int bytes = options->event_buffer > INT_MAX ? INT_MAX : (int)options->event_buffer;
	int ret = socket_open(&pfs->request);

	if (ret < 0 || (options->flags & PFS_OPEN_NO_EVENTS))
		return ret;
	ret = socket_open(&pfs->event);
	if (ret < 0)
		return ret;
	/* With CAP_NET_ADMIN beyond net.core.rmem_max, else as far as that goes. */
	if (setsockopt(pfs->event.fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(pfs->event.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	errno = 0;
	return nl_errno(nl_socket_add_membership(pfs->event.nl, RTNLGRP_LINK));
}

struct in_netns {
	int netns_fd;
	int (*run)(void *arg);
	void *arg;
	int ret;
};

static void *run_in_netns(void *arg)
{
	struct in_netns *in = arg;

	in->ret = setns(in->netns_fd, CLONE_NEWNET) < 0 ? -errno : in->run(in->arg);
	return NULL;
}

/*
 * By a thread that dies there: it cannot leave the caller's behind there. It
 * takes no signals, which are for the caller's threads.
 */
int pfs_in_netns(int netns_fd, int (*run)(void *arg), void *arg)
{
	struct in_netns in = { .netns_fd = netns_fd, .run = run, .arg = arg };
	sigset_t all, before;
	pthread_t thread;
	int ret;

	if (netns_fd < 0)
		return run(arg);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&thread, NULL, run_in_netns, &in);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret < 0)
		return ret;
	pthread_join(thread, NULL);
	return in.ret;
}

/* An unbound netlink socket gets its port, by which we know answers, only later. */
static int socket_adopt(struct pfs_socket *sock, int fd)
{
	struct sockaddr_nl addr = { 0 };
	socklen_t len = sizeof(addr);
	int protocol = -1;

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	sock->netlink = addr.nl_family == AF_NETLINK;
	if (sock->netlink) {
		len = sizeof(protocol);
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
		if (!addr.nl_pid || protocol != NETLINK_ROUTE)
			return -EINVAL;
		sock->port = addr.nl_pid;
		socket_tune(fd);
	}
	sock->fd = fd;
	return 0;
}

static int sockets_adopt(struct pfs *pfs, int request_fd, int event_fd, uint32_t flags)
{
	int ret;

	if (request_fd == event_fd || (event_fd >= 0 && (flags & PFS_OPEN_NO_EVENTS)))
		return -EINVAL;
	ret = socket_adopt(&pfs->request, request_fd);
	if (ret < 0 || event_fd < 0)
		return ret;
	return socket_adopt(&pfs->event, event_fd);
}

static int context_open(struct pfs **out, const int *fds, const struct pfs_options *options)
{
	struct pfs_options opts;
	struct pfs *pfs;
	int ret = take_options(&opts, options);

	if (ret < 0)
		return ret;
	pfs = calloc(1, sizeof(*pfs));
	if (!pfs)
		return -ENOMEM;
	pfs->request.fd = -1;
	pfs->event.fd = -1;
	pfs->patience.ms = opts.timeout_ms;
	pfs->filter = !(opts.flags & PFS_OPEN_NO_FILTER);
	if (fds)
		ret = sockets_adopt(pfs, fds[0], fds[1], opts.flags);
	else
		ret = pfs_in_netns(opts.netns_fd, sockets_open,
				   &(struct opening){ .pfs = pfs, .options = &opts });
	if (ret < 0) {
		/* On failure they stay the caller's. */
		if (fds)
			pfs->request.fd = pfs->event.fd = -1;
		pfs_close(pfs);
		return ret;
	}
	*out = pfs;
	return 0;
}

int pfs_open(struct pfs **pfs, const struct pfs_options *options)
{
	return context_open(pfs, NULL, options);
}

int pfs_open_fds(struct pfs **pfs, int request_fd, int event_fd, const struct pfs_options *options)
{
	const int fds[] = { request_fd, event_fd };

	return context_open(pfs, fds, options);
}

static void socket_close(struct pfs_socket *sock)
{
	if (sock->nl)
		nl_socket_free(sock->nl);
	else if (sock->fd >= 0)
		close(sock->fd);
}

void pfs_close(struct pfs *pfs)
{
	if (!pfs)
		return;
	socket_close(&pfs->event);
	socket_close(&pfs->request);
	free(pfs);
}

int pfs_fd(const struct pfs *pfs)
{
	return pfs->event.fd >= 0 ? pfs->event.fd : -EBADF;
}

const char *pfs_extack(const struct pfs *pfs)
{
	return pfs->extack;
}

void pfs_tap(struct pfs *pfs, pfs_tap_fn tap, void *arg)
{
	pfs->tap = tap;
	pfs->tap_arg = arg;
}

#define TEXT(token) #token
#define VERSION(major, minor) TEXT(major) "." TEXT(minor)

const char *pfs_version(void)
{
	return VERSION(PFS_VERSION_MAJOR, PFS_VERSION_MINOR);
}
