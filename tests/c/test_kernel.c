// SPDX-License-Identifier: Apache-2.0
/* The kernel of this machine: what it answers, tells, filters. */

/* setns(2), gettid(2) */
#define _GNU_SOURCE

#include "harness.h"
#include "netns.h"
#include "pfstatus.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pfs_link got;

static struct pfs *open_with(uint32_t flags, uint32_t event_buffer)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs *pfs = NULL;

	options.flags = flags;
	options.event_buffer = event_buffer;
	CHECK_EQ(pfs_open(&pfs, &options), 0);
	return pfs;
}

static int get(struct pfs *pfs, const char *name)
{
	got = (struct pfs_link)PFS_LINK_INIT;
	return pfs_link_get(pfs, 0, name, &got, NULL, 0);
}

/* How many events wait, of links of this name where one is given. */
static int events(struct pfs *pfs, const char *name)
{
	int n = 0, ret;

	for (;;) {
		got = (struct pfs_link)PFS_LINK_INIT;
		ret = pfs_event_next(pfs, &got);
		if (ret < 0)
			break;
		n += !name || !strcmp(got.name, name);
	}
	CHECK_EQ(ret, -EAGAIN);
	return n;
}

static bool wakes(struct pfs *pfs)
{
	struct pollfd pfd = { .fd = pfs_fd(pfs), .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

TEST(kernel_answers_by_index_and_by_every_name)
{
	static const char longer[] = "an-alternative-name-longer-than-ifnamsiz";
	struct pfs_bond bond = PFS_BOND_INIT;
	struct pfs_link links[8];
	uint32_t ifindex;
	struct pfs *pfs;

	if (!netns_fresh() || !netns_nic("pf0"))
		return;
	ip("link property add dev pf0 altname %s altname short0", longer);
	pfs = open_with(0, 0);
	CHECK_EQ(get(pfs, "pf0"), 0);
	ifindex = got.ifindex;
	CHECK_STR(got.name, "pf0");
	CHECK_STR(got.kind, "veth");
	CHECK(got.known & PFS_LINK_OPERSTATE);
	CHECK_EQ(get(pfs, longer), 0);
	CHECK_EQ(got.ifindex, ifindex);
	CHECK_STR(got.name, "pf0");
	CHECK_EQ(get(pfs, "short0"), 0);
	CHECK_EQ(got.ifindex, ifindex);
	CHECK_EQ(get(pfs, "nobody"), -ENODEV);
	CHECK_EQ(pfs_link_get(pfs, 4711, NULL, &got, NULL, 0), -ENODEV);
	CHECK_EQ(pfs_bond_get(pfs, ifindex, &bond), -EMEDIUMTYPE);
	CHECK_EQ(pfs_lacp_status(&got, NULL), PFS_LACP_NO_BOND);

	links[0].size = sizeof(links[0]);
	CHECK_EQ(pfs_link_dump(pfs, links, 8), 3);
	CHECK_STR(links[0].name, "lo");
	pfs_close(pfs);
}

TEST(kernel_says_eopnotsupp_for_each_vf_of_a_nic_without_vfs)
{
	struct pfs_vf vfs[3] = { { 0, 2 }, { 1, 2 }, { 2, 2 } };
	struct pfs_vf_result results[3];
	struct pfs *pfs;

	if (!netns_fresh() || !netns_nic("pf0"))
		return;
	pfs = open_with(PFS_OPEN_NO_EVENTS, 0);
	CHECK_EQ(get(pfs, "pf0"), 0);
	CHECK_EQ(pfs_vf_set_permitted(pfs), 0);
	CHECK_EQ(pfs_vf_set(pfs, got.ifindex, vfs, 3, 0, results), 3);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(results[i].error, -EOPNOTSUPP);
	CHECK_EQ(pfs_vf_set(pfs, 4711, vfs, 3, 1, results), 3);
	CHECK_EQ(results[0].error, -ENODEV);
	CHECK_EQ(results[2].error, -ECANCELED);
	pfs_close(pfs);
}

/* A request of 4,094 VFs is taken by the socket; a dump of many links comes in parts. */
TEST(kernel_takes_the_largest_request_and_gives_the_longest_dump)
{
	static struct pfs_vf vfs[4094];
	static struct pfs_vf_result results[4094];
	static struct pfs_link links[400];
	struct pfs *pfs;
	int n;

	if (!netns_fresh() || !netns_nic("nic") ||
	    !ip_batch("link add d%d type veth peer name e%d", 150))
		return;
	for (uint32_t vf = 0; vf < 4094; vf++)
		vfs[vf] = (struct pfs_vf){ vf, PFS_VF_DISABLE };
	pfs = open_with(0, 0);
	CHECK_EQ(get(pfs, "nic"), 0);
	CHECK_EQ(pfs_vf_set(pfs, got.ifindex, vfs, 4094, 0, results), 4094);
	CHECK_EQ(results[4093].error, -EOPNOTSUPP);
	links[0].size = sizeof(links[0]);
	n = pfs_link_dump(pfs, links, 400);
	CHECK_EQ(n, 303);
	for (int i = 1; i < n && i < 400; i++)
		CHECK(!strcmp(links[i].kind, "veth") && links[i].size == sizeof(links[i]));
	pfs_close(pfs);
}

/* A socket whose owner left a dump unread before it was given to us. */
TEST(kernels_dump_that_somebody_else_began_is_no_obstacle)
{
	struct {
		struct nlmsghdr nlh;
		struct ifinfomsg ifi;
	} dump = {
		.nlh = { .nlmsg_len = sizeof(dump), .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
	};
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	struct pfs *pfs;
	int fd;

	if (!netns_fresh() || !ip_batch("link add d%d type veth peer name e%d", 150))
		return;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	CHECK_EQ(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	CHECK_EQ(send(fd, &dump, sizeof(dump), 0), sizeof(dump));
	CHECK_EQ(pfs_open_fds(&pfs, fd, -1, NULL), 0);
	CHECK_EQ(pfs_link_dump(pfs, NULL, 0), 301);
	CHECK_EQ(get(pfs, "d7"), 0);
	CHECK_EQ(pfs_link_dump(pfs, NULL, 0), 301);
	pfs_close(pfs);
}

TEST(kernel_tells_of_every_change_without_a_filter)
{
	for (int off = 0; off < 2; off++) {
		static const char *const names[] = { "pf0" };
		struct pfs *pfs;

		if (!netns_fresh())
			return;
		pfs = open_with(off ? PFS_OPEN_NO_FILTER : 0, 0);
		CHECK(!wakes(pfs));
		if (off)
			CHECK_EQ(pfs_watch(pfs, NULL, 0, names, 1), 0);
		netns_nic("v0");
		CHECK(wakes(pfs));
		CHECK(events(pfs, "v0") > 0);
		ip("link del v0");
		CHECK(events(pfs, "v0x") > 0);
		pfs_close(pfs);
	}
}

static const char *const pf0[] = { "pf0" };

static struct pfs *watcher(void)
{
	struct pfs *pfs = open_with(0, 0);

	CHECK_EQ(pfs_watch(pfs, NULL, 0, pf0, 1), 0);
	return pfs;
}

TEST(filter_sleeps_through_10000_events_and_is_awake_for_its_own)
{
	struct pfs *all, *ours;
	int seen = 0, ret;

	if (!netns_fresh() || !netns_nic("v0") ||
	    !netns_nic("pf0"))
		return;
	/* An alias is told of while the link is up. */
	ip("link set v0 up");
	all = open_with(0, 64u << 20);
	ours = watcher();
	for (int round = 0; round < 10; round++) {
		CHECK(ip_batch("link set dev v0 alias a%d", 1000));
		while ((ret = pfs_event_next(all, NULL)) != -EAGAIN)
			seen += ret > 0;
	}
	CHECK(ip_batch("link add w%d type veth peer name x%d", 10));
	CHECK(ip_batch("link del w%d", 10));
	while ((ret = pfs_event_next(all, NULL)) != -EAGAIN)
		seen += ret > 0;
	printf("# %d events, 0 for us\n", seen);
	CHECK(seen >= 10000);
	CHECK(!wakes(ours));
	CHECK_EQ(events(ours, NULL), 0);
	ip("link set pf0 up");
	CHECK(events(ours, "pf0") > 0);
	pfs_close(all);
	pfs_close(ours);
}

TEST(filter_sees_a_pf_that_comes_back_under_a_new_index)
{
	uint32_t before;
	struct pfs *pfs;

	if (!netns_fresh() || !netns_nic("pf0"))
		return;
	pfs = watcher();
	CHECK_EQ(get(pfs, "pf0"), 0);
	before = got.ifindex;
	ip("link del pf0");
	CHECK(events(pfs, "pf0") > 0);
	netns_nic("pf0");
	ip("link set pf0 up");
	while (pfs_event_next(pfs, &got) > 0)
		;
	CHECK_STR(got.name, "pf0");
	CHECK(got.ifindex != before);
	pfs_close(pfs);
}

TEST(filter_sees_renames_to_and_by_index_from_a_watched_name)
{
	struct pfs *pfs;
	uint32_t ifindex;

	if (!netns_fresh() || !netns_nic("other"))
		return;
	pfs = watcher();
	ip("link set other mtu 1400");
	CHECK_EQ(events(pfs, NULL), 0);
	ip("link set other name pf0");
	CHECK(events(pfs, "pf0") > 0);
	CHECK_EQ(get(pfs, "pf0"), 0);
	ifindex = got.ifindex;
	CHECK_EQ(pfs_watch(pfs, &ifindex, 1, pf0, 1), 0);
	ip("link set pf0 name gone");
	CHECK(events(pfs, "gone") > 0);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, NULL, 0), 0);
	ip("link set lo mtu 1400");
	CHECK(events(pfs, "lo") > 0);
	pfs_close(pfs);
}

TEST(filter_sees_a_pf_enslaved_and_released)
{
	struct pfs *pfs;

	if (!netns_fresh() || !netns_nic("pf0") || !ip("link add br0 type bridge"))
		return;
	pfs = watcher();
	ip("link set pf0 master br0");
	got = (struct pfs_link)PFS_LINK_INIT;
	while (pfs_event_next(pfs, &got) > 0)
		;
	CHECK(got.master_ifindex > 0);
	CHECK_STR(got.slave_kind, "bridge");
	CHECK_EQ(pfs_lacp_status(&got, NULL), PFS_LACP_NOT_A_BOND);
	/* The bridge's own RTM_DELLINK of the port, family AF_BRIDGE, is not the link's end. */
	ip("link set pf0 nomaster");
	for (int ret; (ret = pfs_event_next(pfs, &got)) > 0;)
		CHECK_EQ(ret, RTM_NEWLINK);
	CHECK_EQ(got.master_ifindex, 0);
	pfs_close(pfs);
}

TEST(kernel_takes_the_filter_for_the_most_watches)
{
	static char text[PFS_WATCH_MAX][16];
	const char *names[PFS_WATCH_MAX];
	uint32_t indexes[PFS_WATCH_MAX];
	struct pfs *pfs;

	if (!netns_fresh())
		return;
	pfs = open_with(0, 0);
	for (uint32_t i = 0; i < PFS_WATCH_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "fifteen-let%04u", (unsigned int)i);
		names[i] = text[i];
		indexes[i] = 1000 + i;
	}
	CHECK_EQ(pfs_watch(pfs, indexes, PFS_WATCH_MAX, NULL, 0), 0);
	CHECK_EQ(pfs_watch(pfs, indexes, PFS_WATCH_MAX / 2, names, PFS_WATCH_MAX / 2), 0);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, names, PFS_WATCH_MAX), 0);
	netns_nic("d0");
	CHECK_EQ(events(pfs, NULL), 0);
	CHECK(ip("link add %s type veth peer name d1", names[PFS_WATCH_MAX - 1]));
	CHECK(events(pfs, names[PFS_WATCH_MAX - 1]) > 0);
	pfs_close(pfs);
}

TEST(kernel_says_that_events_were_lost_and_no_answer_is)
{
	struct pfs *pfs;
	int ret;

	if (!netns_fresh() || !netns_nic("d0"))
		return;
	ip("link set d0 up");
	pfs = open_with(0, 1);
	ip_batch("link set d0 alias a%d", 200);
	/* Nothing was read of the events; a request is answered all the same. */
	CHECK_EQ(get(pfs, "d0"), 0);
	while ((ret = pfs_event_next(pfs, NULL)) > 0)
		;
	CHECK_EQ(ret, -ENOBUFS);
	/* At once: the kernel queues what is new, and nothing old is in its way. */
	ip("link set d0 down");
	CHECK(events(pfs, "d0") > 0);
	pfs_close(pfs);
}

/* What another process sends to our port, with our number on it, is not the kernel's. */
TEST(messages_of_other_processes_are_ignored)
{
	struct {
		struct nlmsghdr nlh;
		struct ifinfomsg ifi;
	} forged = {
		.nlh = { .nlmsg_len = sizeof(forged), .nlmsg_type = RTM_NEWLINK, .nlmsg_seq = 1 },
		.ifi = { .ifi_index = 666 },
	};
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(to);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct pfs *pfs;
	struct pfs_options options = PFS_OPTIONS_INIT;
	int request;

	if (!netns_fresh())
		return;
	close(fd);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	request = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	CHECK_EQ(bind(request, (struct sockaddr *)&to, sizeof(to)), 0);
	CHECK_EQ(getsockname(request, (struct sockaddr *)&to, &len), 0);
	options.timeout_ms = 1000;
	CHECK_EQ(pfs_open_fds(&pfs, request, -1, &options), 0);
	forged.nlh.nlmsg_pid = to.nl_pid;
	CHECK_EQ(sendto(fd, &forged, sizeof(forged), 0, (struct sockaddr *)&to, sizeof(to)),
		 sizeof(forged));
	CHECK_EQ(get(pfs, "lo"), 0);
	CHECK_EQ(got.ifindex, 1);
	close(fd);
	pfs_close(pfs);
}

static ino_t own_netns(void)
{
	struct stat st = { 0 };

	CHECK_EQ(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

TEST(another_network_namespace_is_opened_without_a_trace)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	sigset_t before, after;
	struct pfs *pfs;
	ino_t home;
	int fd;

	if (!netns_fresh() || !netns_nic("there"))
		return;
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	if (!netns_fresh())
		return;
	home = own_netns();
	sigemptyset(&before);
	sigprocmask(SIG_SETMASK, NULL, &before);
	options.flags = PFS_OPEN_NETNS;
	options.netns_fd = fd;
	CHECK_EQ(pfs_open(&pfs, &options), 0);
	sigprocmask(SIG_SETMASK, NULL, &after);
	CHECK(!memcmp(&before, &after, sizeof(sigset_t) < 8 ? sizeof(sigset_t) : 8));
	CHECK_EQ(own_netns(), home);
	CHECK_EQ(get(pfs, "there"), 0);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, NULL, 0), 0);
	pfs_close(pfs);
	CHECK_EQ(pfs_open(&pfs, NULL), 0);
	CHECK_EQ(get(pfs, "there"), -ENODEV);
	pfs_close(pfs);
	options.netns_fd = 9999;
	CHECK_EQ(pfs_open(&pfs, &options), -EBADF);
	options.netns_fd = STDOUT_FILENO;
	CHECK_EQ(pfs_open(&pfs, &options), -EINVAL);
	close(fd);
}

TEST(another_network_namespace_takes_a_privilege_and_ones_own_takes_none)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	int status, fd;
	pid_t child;

	if (!netns_fresh())
		return;
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	options.flags = PFS_OPEN_NETNS;
	options.netns_fd = fd;
	fflush(stdout);
	child = fork();
	if (!child) {
		struct pfs *pfs;
		int ret = 0;

		if (setgid(65534) || setuid(65534))
			_exit(77);
		ret |= (pfs_open(&pfs, &options) != -EPERM) << 1;
		ret |= (pfs_open(&pfs, NULL) != 0) << 2;
		ret |= (pfs_link_get(pfs, 1, NULL, NULL, NULL, 0) != 0) << 3;
		ret |= (pfs_vf_set_permitted(pfs) != -EPERM) << 4;
		_exit(ret);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		test_skip("needs privileges to give up");
	else
		CHECK_EQ(status, 0);
	close(fd);
}

TEST(many_contexts_live_side_by_side)
{
	struct pfs *pfs[64];

	if (!netns_fresh())
		return;
	for (int i = 0; i < 64; i++)
		pfs[i] = open_with(0, 0);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(get(pfs[i], "lo"), 0);
	for (int i = 0; i < 64; i++)
		pfs_close(pfs[i]);
}
