// SPDX-License-Identifier: Apache-2.0
/*
 * floor PF... - the least that a relay can cost: at the first event of a PF its VFs are read and
 * all are set to `disable`, in one message each. Nothing is decoded and nothing decided: the bytes
 * are those of a relay, made beforehand. A line on stdin sets all VFs to `auto` and arms it anew.
 *
 * Run by reaction.py, which reads from the NIC when the VFs were set.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PFS_MAX 64
#define VFS_MAX 1024
#define VF_BYTES (2 * NLA_HDRLEN + sizeof(struct ifla_vf_link_state))

struct request {
	struct nlmsghdr hdr;
	struct ifinfomsg link;
	uint8_t attrs[NLA_HDRLEN + VFS_MAX * VF_BYTES];
};

struct pf {
	unsigned int ifindex;
	bool armed;
	struct request read, disable, restore;
};

static struct pf pfs[PFS_MAX];
static int n_pfs;
static int events, questions;
static uint8_t answer[256 * 1024] __attribute__((aligned(8)));

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct nlattr *put(struct request *request, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (void *)((uint8_t *)request + NLMSG_ALIGN(request->hdr.nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy(attr + 1, data, len);
	request->hdr.nlmsg_len += NLA_HDRLEN + NLA_ALIGN(len);
	return attr;
}

static void begin(struct request *request, uint16_t type, uint16_t flags, unsigned int ifindex)
{
	request->hdr.nlmsg_len = NLMSG_LENGTH(sizeof(request->link));
	request->hdr.nlmsg_type = type;
	request->hdr.nlmsg_flags = NLM_F_REQUEST | flags;
	request->link.ifi_index = (int)ifindex;
}

static void make_read(struct request *request, unsigned int ifindex)
{
	uint32_t mask = RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS;

	begin(request, RTM_GETLINK, 0, ifindex);
	put(request, IFLA_EXT_MASK, &mask, sizeof(mask));
}

static void make_set(struct request *request, unsigned int ifindex, uint32_t n, uint32_t state)
{
	struct nlattr *list, *info;

	begin(request, RTM_SETLINK, NLM_F_ACK, ifindex);
	list = put(request, IFLA_VFINFO_LIST, NULL, 0);
	for (uint32_t vf = 0; vf < n; vf++) {
		struct ifla_vf_link_state set = { vf, state };

		info = put(request, IFLA_VF_INFO, NULL, 0);
		put(request, IFLA_VF_LINK_STATE, &set, sizeof(set));
		info->nla_len = VF_BYTES;
	}
	list->nla_len = (uint16_t)(NLA_HDRLEN + n * VF_BYTES);
}

static void exchange(const struct request *request)
{
	const struct nlmsghdr *hdr = (void *)answer;

	if (send(questions, request, request->hdr.nlmsg_len, 0) < 0)
		die("send");
	if (recv(questions, answer, sizeof(answer), 0) < 0)
		die("recv");
	if (hdr->nlmsg_type == NLMSG_ERROR && ((const struct nlmsgerr *)NLMSG_DATA(hdr))->error) {
		errno = -((const struct nlmsgerr *)NLMSG_DATA(hdr))->error;
		die("rtnetlink");
	}
}

static int netlink(uint32_t groups)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int big = 1 << 20;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die("netlink socket");
	return fd;
}

static void on_event(void)
{
	const struct nlmsghdr *hdr = (void *)answer;
	const struct ifinfomsg *link = NLMSG_DATA(hdr);
	struct pf *pf;

	if (recv(events, answer, sizeof(answer), 0) < 0)
		die("recv an event");
	for (pf = pfs; pf < pfs + n_pfs; pf++)
		if ((int)pf->ifindex == link->ifi_index)
			break;
	if (pf == pfs + n_pfs || !pf->armed)
		return;
	pf->armed = false;
	exchange(&pf->read);
	exchange(&pf->disable);
}

static void arm(void)
{
	for (struct pf *pf = pfs; pf < pfs + n_pfs; pf++)
		exchange(&pf->restore);
	while (recv(events, answer, sizeof(answer), MSG_DONTWAIT) >= 0)
		;
	for (struct pf *pf = pfs; pf < pfs + n_pfs; pf++)
		pf->armed = true;
}

int main(int argc, char **argv)
{
	struct pollfd ready[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
	uint32_t vfs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	char line[16];

	if (argc < 3 || argc > 2 + PFS_MAX || vfs > VFS_MAX) {
		fprintf(stderr, "usage: floor VFS PF...\n");
		return 2;
	}
	events = ready[1].fd = netlink(RTMGRP_LINK);
	questions = netlink(0);
	for (int i = 2; i < argc; i++) {
		struct pf *pf = &pfs[n_pfs++];

		pf->ifindex = if_nametoindex(argv[i]);
		if (!pf->ifindex)
			die(argv[i]);
		make_read(&pf->read, pf->ifindex);
		make_set(&pf->disable, pf->ifindex, vfs, IFLA_VF_LINK_STATE_DISABLE);
		make_set(&pf->restore, pf->ifindex, vfs, IFLA_VF_LINK_STATE_AUTO);
		exchange(&pf->read);	/* its buffers are there */
	}
	arm();
	for (;;) {
		if (poll(ready, 2, -1) < 0)
			die("poll");
		if (ready[1].revents)
			on_event();
		else if (read(STDIN_FILENO, line, sizeof(line)) > 0)
			arm();
		else
			return 0;
	}
}
