// SPDX-License-Identifier: Apache-2.0
/*
 * status - what the kernel says of PFs: LACP and why, port states, partner, VFs
 *
 *	cc status.c -o status $(pkg-config --cflags --libs pfstatus)
 *	./status ens5f0 ens5f1
 */
#include <pfstatus.h>
#include <stdio.h>
#include <string.h>

#define VFS 1024

/* "ATGSCDFE", a dash for each bit that is clear: IEEE 802.1AX-2014 6.4.2.3. */
static void print_port_state(const char *end, int known, unsigned int state)
{
	const char letters[] = "ATGSCDFE";

	printf("  %s ", end);
	if (!known)
		printf("unknown");
	for (int bit = 0; known && bit < 8; bit++)
		putchar(state & 1u << bit ? letters[bit] : '-');
	putchar('\n');
}

static void print_bond(const struct pfs_bond *bond)
{
	const uint8_t *mac = bond->ad_partner_mac;

	printf("  bond %s", bond->name);
	if (bond->known & PFS_BOND_AD_INFO)
		printf(" aggregator %u ports %u partner %02x:%02x:%02x:%02x:%02x:%02x",
		       bond->ad_aggregator, bond->ad_num_ports, mac[0], mac[1], mac[2], mac[3],
		       mac[4], mac[5]);
	putchar('\n');
}

static void print_vfs(const struct pfs_vf *vfs, uint32_t count)
{
	const char *const states[] = { "auto", "enable", "disable" };

	for (uint32_t i = 0; i < count && i < VFS; i++)
		printf("  vf %u %s\n", vfs[i].vf,
		       vfs[i].link_state <= PFS_VF_DISABLE ? states[vfs[i].link_state] : "?");
}

static int print_pf(struct pfs *pfs, const char *name)
{
	static struct pfs_vf vfs[VFS];
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_bond bond = PFS_BOND_INIT;
	int lacp = pfs_pf_get(pfs, 0, name, &link, &bond, vfs, VFS);

	if (lacp < 0)
		return lacp;
	printf("%s: %s. %s\n", name, pfs_lacp_name(lacp), pfs_lacp_sentence(lacp));
	if (bond.known) {
		print_port_state("actor  ", link.known & PFS_LINK_ACTOR_STATE,
				 link.actor_oper_port_state);
		print_port_state("partner", link.known & PFS_LINK_PARTNER_STATE,
				 link.partner_oper_port_state);
		print_bond(&bond);
	}
	print_vfs(vfs, link.vf_count);
	return 0;
}

int main(int argc, char **argv)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs *pfs;
	int ret;

	options.flags = PFS_OPEN_NO_EVENTS;
	ret = pfs_open(&pfs, &options);
	if (ret < 0) {
		fprintf(stderr, "status: %s\n", strerror(-ret));
		return 1;
	}
	for (int i = 1; i < argc && ret >= 0; i++) {
		ret = print_pf(pfs, argv[i]);
		if (ret < 0)
			fprintf(stderr, "status: %s: %s. %s\n", argv[i], strerror(-ret),
				pfs_extack(pfs));
	}
	pfs_close(pfs);
	return ret < 0;
}
