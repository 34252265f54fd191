// SPDX-License-Identifier: Apache-2.0
/* What the kernel tells unasked. */

#include <errno.h>

#include "internal.h"

int pfs_watch(struct pfs *pfs, const uint32_t *ifindexes, size_t n_index,
	      const char *const *names, size_t n_name)
{
	/* The transmit buffer is free between requests. */
	struct sock_filter *insns = (struct sock_filter *)pfs->tx;
	int len, ret;

	if (pfs->event.fd < 0)
		return -EBADF;
	if (n_index > PFS_WATCH_MAX || n_name > PFS_WATCH_MAX - n_index)
		return -EINVAL;
	len = pfs_filter_build(insns, PFS_FILTER_MAX, ifindexes, n_index, names, n_name);
	if (len < 0 || !pfs->filter)
		return len < 0 ? len : 0;
	/* First: the kernel has room for net.core.optmem_max of both together. */
	ret = pfs_filter_detach(&pfs->event);
	if (ret < 0 || !(n_index + n_name))
		return ret;
	ret = pfs_filter_attach(&pfs->event, insns, len);
	return ret == -ENOMEM ? 0 : ret;
}

static int receive(struct pfs *pfs)
{
	ssize_t len = pfs_recv(&pfs->event, pfs->events, sizeof(pfs->events), NULL);

	pfs_inbox_fill(&pfs->notices, len);
	return len < 0 ? (int)len : 0;
}

/*
 * Once the kernel had to drop an event it queues no other before all that wait
 * are taken, and says nothing more of it. So what waits is old, and in the way.
 */
static void drain(struct pfs *pfs)
{
	int ret;

	do {
		ret = receive(pfs);
	} while (!ret || ret == -ENOBUFS || ret == -EMSGSIZE);
	pfs_inbox_fill(&pfs->notices, 0);
}

int pfs_event_next(struct pfs *pfs, struct pfs_link *link)
{
	if (pfs->event.fd < 0)
		return -EBADF;
	/* Before a message is taken that could not be given. */
	if (link && !pfs_size_ok(link->size, PFS_LINK_SIZE_MIN))
		return -EINVAL;
	for (;;) {
		const struct nlmsghdr *nlh;
		int ret = pfs_inbox_next(pfs->events, &pfs->notices, &nlh);

		if (ret > 0) {
			ret = pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, NULL, 0);
		} else if (!ret) {
			ret = receive(pfs);
			if (!ret)
				pfs_show(pfs, PFS_TAP_EVENT, pfs->events, pfs->notices.len);
			else if (ret == -ENOBUFS || ret == -EMSGSIZE)
				pfs_show(pfs, PFS_TAP_EVENT, NULL, 0);
			if (ret == -ENOBUFS)
				drain(pfs);
		}
		if (ret && ret != -ENOMSG)
			return ret;
	}
}
