/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into the C plugin by --wrap=pfs_open: its kernel is a test's, on the
 * descriptor that $PFSTATUS_TEST_HOST names.
 */
#include <stdlib.h>
#include <unistd.h>

#include "pfstatus.h"

int __wrap_pfs_open(struct pfs **pfs, const struct pfs_options *options);

int __wrap_pfs_open(struct pfs **pfs, const struct pfs_options *options)
{
	return pfs_open_fds(pfs, dup(atoi(getenv("PFSTATUS_TEST_HOST"))), -1, options);
}
