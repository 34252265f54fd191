// SPDX-License-Identifier: Apache-2.0
/*
 * What the system refuses once in a blue moon. The linker wraps the calls that
 * the core makes (--wrap, see CMakeLists.txt); one of them fails at a time.
 */

#include "fake_kernel.h"
#include "harness.h"
#include "netns.h"
#include "pfstatus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/socket.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum call {
	CALLOC, ALLOC, CONNECT, BUFFERS, JOIN, THREAD, FORCE, ATTACH, DETACH, SOCKET, STAMPS, NAME, CLOCK,
	SEND, RECV, POLL, CALLS
};

static struct {
	enum call call;
	int after;	/* succeeds so many times before */
	int error;
} fault;

static bool fails(enum call call)
{
	if (fault.call != call || fault.after-- != 0)
		return false;
	errno = fault.error;
	return true;
}

#define WRAP(type, name, params, args, call, failure)                                        \
	type __real_##name params;                                                           \
	type __wrap_##name params;                                                           \
	type __wrap_##name params                                                            \
	{                                                                                    \
		return fails(call) ? (failure) : __real_##name args;                         \
	}

WRAP(void *, calloc, (size_t n, size_t size), (n, size), CALLOC, NULL)
WRAP(struct nl_sock *, nl_socket_alloc, (void), (), ALLOC, NULL)
WRAP(int, nl_connect, (struct nl_sock *sock, int protocol), (sock, protocol), CONNECT, -NLE_NOMEM)
WRAP(int, nl_socket_set_buffer_size, (struct nl_sock *sock, int rx, int tx), (sock, rx, tx), BUFFERS,
     -NLE_BAD_SOCK)
WRAP(int, nl_socket_add_membership, (struct nl_sock *sock, int group), (sock, group), JOIN, -NLE_PERM)
WRAP(int, pthread_create,
     (pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg),
     (thread, attr, start, arg), THREAD, fault.error)
WRAP(ssize_t, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags), SEND, -1)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags), RECV, -1)
WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol), SOCKET, -1)
WRAP(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len), NAME, -1)
WRAP(int, poll, (struct pollfd *fds, nfds_t n, int timeout), (fds, n, timeout), POLL, -1)

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && ((name == SO_RCVBUFFORCE && fails(FORCE)) ||
				    (name == SO_ATTACH_FILTER && fails(ATTACH)) ||
				    (name == SO_DETACH_FILTER && fails(DETACH)) ||
				    (name == SO_TIMESTAMPNS && fails(STAMPS))))
		return -1;
	return __real_setsockopt(fd, level, name, value, len);
}

/* What CLOCK_MONOTONIC says instead, once. */
static struct timespec other_time;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (clock != CLOCK_MONOTONIC || !fails(CLOCK))
		return __real_clock_gettime(clock, now);
	*now = other_time;
	return 0;
}

static struct fake_kernel fake;

static void fail(enum call call, int after, int error)
{
	fault.call = call;
	fault.after = after;
	fault.error = error;
}

static int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

TEST(open_that_fails_says_why_and_leaves_nothing_open)
{
	static const struct {
		enum call call;
		int after, error, want;
	} rows[] = {
		{ CALLOC, 0, ENOMEM, -ENOMEM },
		{ ALLOC, 0, ENOMEM, -ENOMEM },
		{ ALLOC, 1, ENOMEM, -ENOMEM },
		{ CONNECT, 0, EMFILE, -EMFILE },
		{ CONNECT, 1, ENFILE, -ENFILE },
		/* libnl alone knows why. */
		{ CONNECT, 0, 0, -EPROTO },
		{ BUFFERS, 0, ENOBUFS, -ENOBUFS },
		{ JOIN, 0, EPERM, -EPERM },
	};
	int before = descriptors();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pfs *pfs = NULL;

		fail(rows[i].call, rows[i].after, rows[i].error);
		CHECK_EQ(pfs_open(&pfs, NULL), rows[i].want);
		CHECK(!pfs);
		CHECK_EQ(descriptors(), before);
	}
}

TEST(open_in_a_namespace_says_that_there_is_no_thread)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs *pfs = NULL;

	options.flags = PFS_OPEN_NETNS;
	options.netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	fail(THREAD, 0, EAGAIN);
	CHECK_EQ(pfs_open(&pfs, &options), -EAGAIN);
	CHECK(!pfs);
	close(options.netns_fd);
}

TEST(open_fds_without_memory_leaves_the_descriptors_to_the_caller)
{
	struct pfs *pfs = NULL;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	fail(CALLOC, 0, ENOMEM);
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, NULL), -ENOMEM);
	CHECK_EQ(close(fds[0]) | close(fds[1]), 0);
}

TEST(open_without_privileges_takes_the_event_buffer_it_gets)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs *pfs;

	options.event_buffer = 0xffffffff;
	fail(FORCE, 0, EPERM);
	CHECK_EQ(pfs_open(&pfs, &options), 0);
	pfs_close(pfs);
}

TEST(watch_hears_all_links_where_the_kernel_has_no_room_for_the_filter)
{
	static const uint32_t indexes[] = { 1 };
	static struct message msg;
	struct pf pf;
	struct pfs *pfs;

	fake_kernel_init(&fake, 0);
	pfs = fake_kernel_open(&fake, 20000);
	CHECK_EQ(pfs_watch(pfs, indexes, 1, NULL, 0), 0);
	fail(ATTACH, 0, ENOMEM);
	CHECK_EQ(pfs_watch(pfs, indexes, 1, NULL, 0), 0);
	pf_init(&pf, 0);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 0, &pf, false);
	fake_kernel_event(&fake, msg.buf, msg.len);
	CHECK_EQ(pfs_event_next(pfs, NULL), RTM_NEWLINK);
	fake_kernel_close(&fake, pfs);
}

TEST(watch_says_that_the_kernel_refused_the_filter)
{
	static const uint32_t indexes[] = { 1 };
	struct pfs *pfs;

	CHECK_EQ(pfs_open(&pfs, NULL), 0);
	fail(ATTACH, 0, EPERM);
	CHECK_EQ(pfs_watch(pfs, indexes, 1, NULL, 0), -EPERM);
	fail(DETACH, 0, EPERM);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, NULL, 0), -EPERM);
	fail(DETACH, 0, ENOENT);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, NULL, 0), 0);
	pfs_close(pfs);
}

TEST(signals_interrupt_nothing_and_errors_of_the_socket_are_passed_on)
{
	static const struct {
		enum call call;
		int error, want;
	} rows[] = {
		{ SEND, EINTR, 0 }, { RECV, EINTR, 0 }, { POLL, EINTR, 0 },
		{ SEND, ENOBUFS, -ENOBUFS }, { RECV, ENOBUFS, -ENOBUFS }, { POLL, ENOMEM, -ENOMEM },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pfs *pfs;
		int ret = 0;

		fake_kernel_init(&fake, 1);
		pfs = fake_kernel_open(&fake, 20000);
		fail(rows[i].call, 0, rows[i].error);
		/* A fast fake may answer before there is anything to wait for. */
		for (int n = 0; n < 10000 && !ret && fault.after >= 0; n++)
			ret = pfs_link_get(pfs, 7, NULL, NULL, NULL, 0);
		CHECK_EQ(ret, rows[i].want);
		CHECK(fault.after < 0);
		fake_kernel_close(&fake, pfs);
	}
}

TEST(events_that_were_lost_are_said_to_be)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	pfs = fake_kernel_open(&fake, 20000);
	fail(RECV, 0, ENOBUFS);
	CHECK_EQ(pfs_event_next(pfs, NULL), -ENOBUFS);
	CHECK_EQ(pfs_event_next(pfs, NULL), -EAGAIN);
	fake_kernel_close(&fake, pfs);
}

/* The kernel queues nothing new before what waits is taken, and what waits is older. */
TEST(after_lost_events_no_older_one_is_told)
{
	static struct message msg;
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	pfs = fake_kernel_open(&fake, 20000);
	for (uint32_t ifindex = 1; ifindex <= 4; ifindex++) {
		fake.pf.ifindex = ifindex;
		message_clear(&msg);
		/* Two in a datagram: what is left of one is old, too. */
		message_pf(&msg, RTM_NEWLINK, 0, &fake.pf, false);
		message_pf(&msg, RTM_NEWLINK, 0, &fake.pf, false);
		fake_kernel_event(&fake, msg.buf, msg.len);
	}
	fail(RECV, 1, ENOBUFS);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(pfs_event_next(pfs, &link), RTM_NEWLINK);
		CHECK_EQ(link.ifindex, 1);
	}
	CHECK_EQ(pfs_event_next(pfs, &link), -ENOBUFS);
	CHECK_EQ(pfs_event_next(pfs, &link), -EAGAIN);
	fake_kernel_event(&fake, msg.buf, msg.len);
	CHECK_EQ(pfs_event_next(pfs, &link), RTM_NEWLINK);
	fake_kernel_close(&fake, pfs);
}

TEST(port_that_cannot_be_opened_says_why_and_leaves_nothing_open)
{
	static const struct {
		enum call call;
		int error, want;
	} rows[] = {
		{ CALLOC, ENOMEM, -ENOMEM }, { SOCKET, EMFILE, -EMFILE }, { ATTACH, ENOMEM, -ENOMEM },
		{ STAMPS, EPERM, -EPERM }, { NAME, ENOBUFS, -ENOBUFS },
	};
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_port *port = NULL;
	struct pfs_lacpdu pdu;
	struct pfs *pfs;
	int before, fds[2];
	int64_t ns;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	fail(CALLOC, 0, ENOMEM);
	CHECK_EQ(pfs_port_open_fd(&port, fds[0]), -ENOMEM);
	CHECK_EQ(close(fds[0]) | close(fds[1]), 0);
	if (!netns_fresh() || !netns_nic("pf0"))
		return;
	CHECK_EQ(pfs_open(&pfs, NULL), 0);
	CHECK_EQ(pfs_link_get(pfs, 0, "pf0", &link, NULL, 0), 0);
	pfs_close(pfs);
	before = descriptors();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fail(rows[i].call, 0, rows[i].error);
		CHECK_EQ(pfs_port_open(&port, link.ifindex, -1), rows[i].want);
		CHECK(!port);
		CHECK_EQ(descriptors(), before);
	}
	fail(CALLS, 0, 0);
	CHECK_EQ(pfs_port_open(&port, link.ifindex, -1), 0);
	/* Its interface is down, which is said first. */
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -ENETDOWN);
	fail(NAME, 0, ENOBUFS);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENOBUFS);
	pfs_port_close(port);
}

/* A LACPDU of the PF, as it lies on the wire of a socketpair. */
static size_t frame_of_ours(uint8_t *buf, size_t size)
{
	struct sockaddr_ll how = { .sll_pkttype = PACKET_OUTGOING };
	struct pfs_lacpdu pdu = { .version = 1 };

	memcpy(buf, &how, sizeof(how));
	return sizeof(how) + (size_t)pfs_lacpdu_encode(buf + sizeof(how), size - sizeof(how), &pdu);
}

TEST(port_takes_a_clock_that_went_back_and_a_full_queue_for_what_they_are)
{
	uint8_t buf[4096];
	size_t len = frame_of_ours(buf, sizeof(buf));
	struct pfs_lacpdu pdu;
	struct pfs_port *port;
	int64_t first, ns;
	const int on = 1;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	/* The mark of the first frame is then 0, which would be none. */
	other_time = (struct timespec){ 4, 294967295 };
	fail(CLOCK, 0, 0);
	CHECK_EQ(pfs_port_open_fd(&port, fds[0]), 0);
	/* More than the stamp comes along. */
	CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	CHECK_EQ(send(fds[1], buf, len, 0), (long long)len);
	CHECK_EQ(pfs_port_next(port, &pdu, &first), PFS_PORT_SENT);
	CHECK_EQ(send(fds[1], buf, len, 0), (long long)len);
	fail(CLOCK, 0, 0);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_SENT);
	CHECK_EQ(ns, first);

	fail(SEND, 0, EAGAIN);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENOBUFS);
	fail(CALLS, 0, 0);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), 0);
	CHECK(recv(fds[1], buf, sizeof(buf), 0) > 0);
	CHECK_EQ(pfs_lacpdu_decode(buf, PFS_LACPDU_BYTES, &pdu), 0);
	CHECK(pdu.mark != 0);

	memset(buf, 0, sizeof(buf));
	CHECK_EQ(send(fds[1], buf, sizeof(buf), 0), (long long)sizeof(buf));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EBADMSG);
	close(fds[1]);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EPIPE);
	pfs_port_close(port);
}
