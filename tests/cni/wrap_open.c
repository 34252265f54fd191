/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into the C plugin by --wrap=pfs_open: its kernels are a test's, on the
 * descriptors that $PFSTATUS_TEST_HOST and, in the pod, $PFSTATUS_TEST_POD name.
 */
#include <stdlib.h>
#include <unistd.h>

#include "pfstatus.h"

int __wrap_pfs_open(struct pfs **pfs, const struct pfs_options *options);

int __wrap_pfs_open(struct pfs **pfs, const struct pfs_options *options)
{
	struct pfs_options rest = *options;
	const char *kernel = "PFSTATUS_TEST_HOST";

	if (rest.flags & PFS_OPEN_NETNS) {
		rest.flags &= ~(uint32_t)PFS_OPEN_NETNS;
		rest.netns_fd = 0;
		kernel = "PFSTATUS_TEST_POD";
	}
	return pfs_open_fds(pfs, dup(atoi(getenv(kernel))), -1, &rest);
}
