// SPDX-License-Identifier: Apache-2.0
#include "watch.h"

#include "bpf.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static bool wants_link(const struct watch *watch, const struct pfs_link *link)
{
	for (size_t i = 0; i < watch->n_index; i++)
		if (link->ifindex == watch->ifindexes[i])
			return true;
	for (size_t i = 0; i < watch->n_name; i++)
		if (!strcmp(link->name, watch->names[i]))
			return true;
	return false;
}

bool watch_wants(const struct watch *watch, const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; len - at >= sizeof(struct nlmsghdr);) {
		struct pfs_link link = PFS_LINK_INIT;
		struct nlmsghdr nlh;

		memcpy(&nlh, bytes + at, sizeof(nlh));
		if (nlh.nlmsg_len < sizeof(nlh) || nlh.nlmsg_len > len - at)
			break;
		if (pfs_link_decode(bytes + at, len - at, &link, NULL, NULL, 0) > 0 &&
		    wants_link(watch, &link))
			return true;
		at += NLMSG_ALIGN((size_t)nlh.nlmsg_len);
		if (at > len)
			break;
	}
	return false;
}

bool watch_passes(const struct watch *watch, const uint8_t *bytes, size_t len)
{
	struct sock_filter insns[PFS_FILTER_MAX];
	int n = pfs_filter_build(insns, PFS_FILTER_MAX, watch->ifindexes, watch->n_index,
				 watch->names, watch->n_name);

	if (n < 0)
		abort();
	return bpf_run(insns, (size_t)n, bytes, len) != 0;
}
