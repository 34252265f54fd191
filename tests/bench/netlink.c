// SPDX-License-Identifier: Apache-2.0
/*
 * netlink PF EVENT VFS... - what libpfstatus costs beside its floor and libnl-route, as lines of
 * "operation<TAB>who<TAB>nanoseconds", each the median of many turns that take turns.
 *
 * The floor sends and receives the same bytes and decodes nothing. Run by netlink.py.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define TURNS 101
#define VFS_MAX 1024

static struct pfs *pfs;
static struct nl_sock *nl;
static int raw;
static uint32_t ifindex;
static struct pfs_vf vfs[VFS_MAX];
static struct pfs_vf_result results[VFS_MAX];
static size_t n_vfs;
static uint8_t request[PFS_TX_BYTES] __attribute__((aligned(8)));
static uint8_t answer[PFS_RX_BYTES] __attribute__((aligned(8)));
static size_t answer_len;
static int turn;
static bool libnl_failed;

static void die(const char *what, int error)
{
	fprintf(stderr, "netlink: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void exchange(int len)
{
	ssize_t got;

	if (len < 0 || send(raw, request, (size_t)len, 0) < 0)
		die("send", len < 0 ? len : errno);
	got = recv(raw, answer, sizeof(answer), 0);
	if (got < 0)
		die("recv", errno);
	answer_len = (size_t)got;
}

static void flip(void)
{
	turn ^= 1;
	for (size_t i = 0; i < n_vfs; i++)
		vfs[i] = (struct pfs_vf){ (uint32_t)i, turn ? PFS_VF_DISABLE : PFS_VF_AUTO };
}

static void floor_read(void)
{
	exchange(pfs_link_get_encode(request, sizeof(request), 1, ifindex, NULL, false));
}

static void floor_read_vfs(void)
{
	exchange(pfs_link_get_encode(request, sizeof(request), 1, ifindex, NULL, true));
}

static void floor_set(void)
{
	exchange(pfs_vf_set_encode(request, sizeof(request), ifindex, 1, vfs, n_vfs));
}


static void ours_read(void)
{
	struct pfs_link link = PFS_LINK_INIT;
	int ret = pfs_link_get(pfs, ifindex, NULL, &link, NULL, 0);

	if (ret < 0)
		die("pfs_link_get", ret);
}

static void ours_read_vfs(void)
{
	static struct pfs_vf into[VFS_MAX];
	struct pfs_link link = PFS_LINK_INIT;
	int ret = pfs_link_get(pfs, ifindex, NULL, &link, into, VFS_MAX);

	if (ret < 0 || link.vf_count != n_vfs)
		die("pfs_link_get with VFs", ret);
}

static void ours_set(void)
{
	int ret = pfs_vf_set(pfs, ifindex, vfs, n_vfs, 0, results);

	if (ret)
		die("pfs_vf_set", ret);
}

static void ours_decode(void)
{
	struct pfs_link link = PFS_LINK_INIT;

	for (int i = 0; i < 100; i++)
		if (pfs_link_decode(answer, answer_len, &link, NULL, NULL, 0) != RTM_NEWLINK)
			die("pfs_link_decode", EBADMSG);
}

static void libnl_read_vfs(void)
{
	struct rtnl_link *link;

	/* Its parser fails on a VF list whose length wrapped, and would wait for ever after. */
	if (libnl_failed)
		return;
	if (rtnl_link_get_kernel(nl, (int)ifindex, NULL, &link) < 0)
		libnl_failed = true;
	else
		rtnl_link_put(link);
}

static void on_object(struct nl_object *obj, void *arg)
{
	(void)obj;
	(void)arg;
}

static void libnl_decode(void)
{
	struct nl_msg *msg = nlmsg_convert((struct nlmsghdr *)answer);

	if (!msg)
		die("nlmsg_convert", ENOMEM);
	nlmsg_set_proto(msg, NETLINK_ROUTE);
	for (int i = 0; i < 100; i++)
		nl_msg_parse(msg, on_object, NULL);
	nlmsg_free(msg);
}

struct contender {
	const char *who;
	void (*run)(void);
	int per_call;
};

static void race(const char *operation, const struct contender *who, size_t n, int flips)
{
	static int64_t times[4][TURNS];

	for (int i = 0; i < TURNS; i++) {
		for (size_t k = 0; k < n; k++) {
			int64_t began;

			if (flips)
				flip();
			began = now_ns();
			who[k].run();
			times[k][i] = (now_ns() - began) / who[k].per_call;
		}
	}
	for (size_t k = 0; k < n; k++) {
		if (who[k].run == libnl_read_vfs && libnl_failed) {
			fprintf(stderr, "libnl-route cannot read %zu VFs\n", n_vfs);
			continue;
		}
		qsort(times[k], TURNS, sizeof(times[k][0]), compare);
		printf("%s\t%s\t%lld\n", operation, who[k].who, (long long)times[k][TURNS / 2]);
	}
}

int main(int argc, char **argv)
{
	static const struct contender read[] = {
		{ "floor", floor_read, 1 }, { "libpfstatus", ours_read, 1 },
	};
	static const struct contender read_vfs[] = {
		{ "floor", floor_read_vfs, 1 }, { "libpfstatus", ours_read_vfs, 1 },
		{ "libnl-route", libnl_read_vfs, 1 },
	};
	static const struct contender set[] = {
		{ "floor", floor_set, 1 }, { "libpfstatus", ours_set, 1 },
	};
	static const struct contender decode[] = {
		{ "libpfstatus", ours_decode, 100 }, { "libnl-route", libnl_decode, 100 },
	};
	int ret;

	if (argc != 2) {
		fprintf(stderr, "usage: netlink PF\n");
		return 2;
	}
	ifindex = if_nametoindex(argv[1]);
	if (!ifindex)
		die(argv[1], errno);
	ret = pfs_open(&pfs, NULL);
	if (ret < 0)
		die("pfs_open", ret);
	raw = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	nl = nl_socket_alloc();
	if (raw < 0 || !nl || nl_connect(nl, NETLINK_ROUTE) < 0)
		die("socket", errno);
	{
		struct pfs_link link = PFS_LINK_INIT;

		ret = pfs_link_get(pfs, ifindex, NULL, &link, vfs, VFS_MAX);
		if (ret < 0)
			die("pfs_link_get", ret);
		n_vfs = link.vf_count;
	}
	race("read LACP", read, 2, 0);
	floor_read();	/* what an event looks like */
	race("decode an event", decode, 2, 0);
	race("read VFs", read_vfs, 3, 0);
	if (n_vfs)
		race("set VFs", set, 2, 1);
	nl_socket_free(nl);
	close(raw);
	pfs_close(pfs);
	return 0;
}
