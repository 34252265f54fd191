// SPDX-License-Identifier: Apache-2.0
/* The least that relays LACP loss to VFs: relay ens5f0 ... (relay.py backs off and remembers.) */
#include <errno.h>
#include <pfstatus.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define VFS 512

/* Asks for a PF and acts where need be. Returns its enum pfs_lacp, or -1: try again soon. */
static int relay(struct pfs *pfs, const char *name, int before, int touched)
{
	static struct pfs_vf vfs[VFS];
	static struct pfs_vf_result results[VFS];
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_bond bond = PFS_BOND_INIT;
	int lacp = pfs_pf_get(pfs, 0, name, &link, &bond, NULL, 0);
	uint32_t from = lacp == PFS_LACP_UP ? PFS_VF_DISABLE : PFS_VF_AUTO;
	size_t n;

	if (lacp < 0)
		return -1;
	if (lacp != before)
		fprintf(stderr, "%s: %s\n", name, pfs_lacp_sentence(lacp));
	/* The unknown is left alone; VFs are read only where there is something to do. */
	if (pfs_lacp_verdict(lacp) == PFS_UNKNOWN || (lacp == before && !touched))
		return lacp;
	if (pfs_link_get(pfs, link.ifindex, NULL, &link, vfs, VFS) < 0)
		return -1;
	n = link.vf_count < VFS ? link.vf_count : VFS;
	n = pfs_vf_choose(vfs, n, from, PFS_VF_DISABLE - from, vfs, VFS);
	return pfs_vf_set(pfs, link.ifindex, vfs, n, 0, results) ? -1 : lacp;
}

int main(int argc, char **argv)
{
	int before[PFS_WATCH_MAX + 1];
	struct pfs *pfs;

	if (argc < 2 || argc - 1 > PFS_WATCH_MAX || pfs_open(&pfs, NULL) < 0 ||
	    pfs_watch(pfs, NULL, 0, (const char *const *)argv + 1, (size_t)argc - 1) < 0)
		return 1;
	memset(before, -1, sizeof(before));
	for (int touched = 0;;) {
		struct pollfd pfd = { pfs_fd(pfs), POLLIN, 0 };
		int wait_ms = 1000;

		for (int i = 1; i < argc; i++) {
			before[i] = relay(pfs, argv[i], before[i], touched);
			if (before[i] != PFS_LACP_UP)
				wait_ms = 100;
		}
		/* Recovery comes without an event: ask anyway. Lost events are made good by that. */
		touched = poll(&pfd, 1, wait_ms) > 0;
		while (touched && pfs_event_next(pfs, NULL) != -EAGAIN)
			;
	}
}
