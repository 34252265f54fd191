// SPDX-License-Identifier: Apache-2.0
/* Sending and receiving on a plain descriptor: nl_recv() would allocate. */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "internal.h"

int64_t pfs_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int pfs_filter_attach(const struct pfs_socket *sock, struct sock_filter *insns, int n)
{
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = insns };

	if (setsockopt(sock->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	return 0;
}

int pfs_filter_detach(const struct pfs_socket *sock)
{
	const int unused = 0;

	if (setsockopt(sock->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)) < 0 &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

/* A signal does not end the wait: a request that was sent must be answered. */
static int wait_for(int fd, short events, struct pfs_patience *patience)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t now = pfs_now_ns();
	int64_t left_ms;

	if (!patience->until)
		patience->until = now + (int64_t)patience->ms * 1000000;
	left_ms = (patience->until - now + 999999) / 1000000;
	if (left_ms <= 0)
		return -ETIMEDOUT;
	if (poll(&pfd, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* The other end of a socketpair is gone; which errno says so depends on its type. */
static bool closed(int error)
{
	return error == EPIPE || error == ECONNREFUSED || error == ECONNRESET || error == ENOTCONN;
}

/*
 * One datagram out. The kernel takes it at once; the other end of a socketpair
 * may be long in reading.
 *
 * Returns 0; -ETIMEDOUT; -EPIPE; what send(2) says.
 */
int pfs_send(const struct pfs_socket *sock, const void *buf, size_t len,
	     struct pfs_patience *patience)
{
	for (;;) {
		int ret;

		if (send(sock->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return closed(errno) ? -EPIPE : -errno;
		ret = wait_for(sock->fd, POLLOUT, patience);
		if (ret < 0)
			return ret;
	}
}

/*
 * One datagram in. @patience: NULL means do not wait.
 *
 * Returns the length; -EAGAIN, -ETIMEDOUT, -ENOBUFS, -EMSGSIZE when the
 * datagram is larger than @capacity, -EPIPE.
 */
ssize_t pfs_recv(const struct pfs_socket *sock, void *buf, size_t capacity,
		 struct pfs_patience *patience)
{
	for (;;) {
		struct sockaddr_nl from = { 0 };
		struct iovec iov = { .iov_base = buf, .iov_len = capacity };
		struct msghdr msg = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
		};
		ssize_t len = recvmsg(sock->fd, &msg, MSG_DONTWAIT);

		if (len < 0) {
			int ret;

			if (errno == EINTR)
				continue;
			if (errno != EAGAIN || !patience)
				return closed(errno) ? -EPIPE : -errno;
			ret = wait_for(sock->fd, POLLIN, patience);
			if (ret < 0)
				return ret;
			continue;
		}
		/* Whoever has CAP_NET_ADMIN may send to us; only port 0 is the kernel. */
		if (sock->netlink && from.nl_pid)
			continue;
		if (msg.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		if (!len)
			return -EPIPE;
		return len;
	}
}
