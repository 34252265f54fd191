// SPDX-License-Identifier: Apache-2.0
/* One link message. */

#include "fuzz.h"
#include "guard.h"
#include "naive.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define VFS 64

static void check_strings(const struct pfs_link *link, const struct pfs_bond *bond)
{
	MUST(memchr(link->name, 0, sizeof(link->name)));
	MUST(memchr(link->kind, 0, sizeof(link->kind)));
	MUST(memchr(link->slave_kind, 0, sizeof(link->slave_kind)));
	MUST(memchr(bond->name, 0, sizeof(bond->name)));
	MUST(link->known < 1 << 7 && bond->known < 1 << 5);
	MUST(pfs_lacp_name(pfs_lacp_status(link, bond))[0] != '?');
}

/* The other decoder finds the same, and fails where the first does. */
static void check_agreement(const uint8_t *bytes, size_t size, int ret,
			    const struct pfs_link *link, const struct pfs_bond *bond,
			    const struct pfs_vf *vfs)
{
	struct pfs_link again = PFS_LINK_INIT;
	struct pfs_bond bond_again = PFS_BOND_INIT;
	struct pfs_vf vfs_again[VFS];
	size_t n;

	MUST(naive_link(bytes, size, &again, &bond_again, vfs_again, VFS) == ret);
	if (ret < 0)
		return;
	MUST(!memcmp(link, &again, sizeof(again)));
	MUST(!memcmp(bond, &bond_again, sizeof(bond_again)));
	n = link->vf_count < VFS ? link->vf_count : VFS;
	MUST(!memcmp(vfs, vfs_again, n * sizeof(*vfs)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pfs_link no_link = PFS_LINK_INIT;
	static const struct pfs_bond no_bond = PFS_BOND_INIT;
	struct pfs_link link = no_link;
	struct pfs_bond bond = no_bond;
	struct pfs_vf vfs[VFS + 1];
	const uint8_t *bytes;
	int ret;

	if (size > GUARD_BYTES)
		return 0;
	bytes = guard_copy(data, size);
	memset(vfs, 0xee, sizeof(vfs));
	ret = pfs_link_decode(bytes, size, &link, &bond, vfs, VFS);
	MUST(vfs[VFS].vf == 0xeeeeeeee);
	MUST(!memcmp(bytes, data, size));
	if (ret < 0) {
		MUST(ret == -EBADMSG || ret == -ENOMSG);
		MUST(!memcmp(&link, &no_link, sizeof(link)));
		MUST(!memcmp(&bond, &no_bond, sizeof(bond)));
	} else {
		MUST(ret == RTM_NEWLINK || ret == RTM_DELLINK);
		MUST(link.size == sizeof(link) && bond.size == sizeof(bond));
		/* Each entry takes 16 bytes or more. */
		MUST(link.vf_count <= size / 16);
		check_strings(&link, &bond);
	}
	check_agreement(bytes, size, ret, &link, &bond, vfs);
	/* What is asked for does not change what is found. */
	MUST(pfs_link_decode(bytes, size, NULL, NULL, NULL, 0) == ret);
	return 0;
}
