// SPDX-License-Identifier: Apache-2.0
/*
 * Decodes recorded messages and prints what they say, a line each, so that
 * two machines can be compared: recorded DIRECTORY. They were recorded
 * little-endian; a big-endian machine decodes their twins.
 */

#include "pfstatus.h"
#include "swap.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VFS 1024

static uint8_t bytes[1u << 20] __attribute__((aligned(8)));
static struct pfs_vf vfs[VFS];

static void print(const char *name, size_t len)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_bond bond = PFS_BOND_INIT;
	int ret;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	/* What is damaged cannot be swapped, and says nothing of byte order. */
	bool whole = swap_link_message(bytes, len);
#else
	static uint8_t twin[sizeof(bytes)];
	bool whole;

	memcpy(twin, bytes, len);
	whole = swap_link_message(twin, len);
#endif
	if (!whole)
		return;
	ret = pfs_link_decode(bytes, len, &link, &bond, vfs, VFS);
	printf("%s %d %u %x %x %u %u %u %u %u %u %x %x %s %s %s", name, ret, link.ifindex, link.flags,
	       link.known, link.master_ifindex, link.num_vf, link.vf_count, link.operstate,
	       link.slave_state, link.aggregator_id, link.actor_oper_port_state,
	       link.partner_oper_port_state, link.name, link.kind, link.slave_kind);
	printf(" %x %u %u %u %u %u %u %u %u %02x", bond.known, bond.mode, bond.miimon, bond.min_links,
	       bond.ad_lacp_rate, bond.ad_aggregator, bond.ad_num_ports, bond.ad_actor_key,
	       bond.ad_partner_key, bond.ad_partner_mac[5]);
	for (uint32_t i = 0; ret > 0 && i < link.vf_count && i < VFS; i++)
		printf(" %u:%u", vfs[i].vf, vfs[i].link_state);
	putchar('\n');
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int n = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;

	for (int i = 0; i < n; i++) {
		char path[4096];
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		file = entries[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
		if (!file)
			continue;
		print(entries[i]->d_name, fread(bytes, 1, sizeof(bytes), file));
		fclose(file);
	}
	return n <= 0;
}
