// SPDX-License-Identifier: Apache-2.0
/*
 * dpdk_switch - bonds of DPDK in mode 4 (802.3ad), and a device behind each
 *
 *	dpdk_switch EAL-ARGUMENTS --vdev=net_bonding0,... --vdev=net_af_packet0_behind,...
 *
 * Polls net_bonding0, 1, ... as far as there are, each millisecond, and forwards frames between each
 * and the device of that number behind it. LACP is the bond's own: it speaks only while its owner
 * polls. Each change of port states is printed, all of them: "3d 3f 45 01" are the actor's and
 * partner's of two bonds.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eth_bond.h>
#include <rte_eth_bond_8023ad.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum { BONDS = 8, BURST = 32, MBUFS = 2047, DESCRIPTORS = 256, PAUSE_US = 1000 };

struct bond {
	uint16_t port, slave, behind;
	uint8_t actor, partner; /* port states as printed last */
};

static uint16_t start(const char *name)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, MBUFS, 0, 0,
							   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	struct rte_eth_conf conf = {};
	uint16_t port;

	if (!pool || rte_eth_dev_get_port_by_name(name, &port) ||
	    rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, SOCKET_ID_ANY, NULL) ||
	    rte_eth_dev_start(port) || rte_eth_promiscuous_enable(port))
		rte_exit(EXIT_FAILURE, "%s does not start\n", name);
	return port;
}

static size_t start_all(struct bond *bonds)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	uint16_t port;
	size_t i;

	for (i = 0; i < BONDS; i++) {
		snprintf(name, sizeof(name), "net_bonding%zu", i);
		if (rte_eth_dev_get_port_by_name(name, &port))
			break;
		bonds[i].port = start(name);
		if (rte_eth_bond_slaves_get(port, &bonds[i].slave, 1) != 1)
			rte_exit(EXIT_FAILURE, "%s has not one port\n", name);
		snprintf(name, sizeof(name), "net_af_packet%zu_behind", i);
		bonds[i].behind = start(name);
	}
	return i;
}

/* The bond's LACPDUs go out in its tx burst, so that there must be one though nothing came. */
static void forward(uint16_t from, uint16_t to)
{
	struct rte_mbuf *frames[BURST];
	uint16_t received = rte_eth_rx_burst(from, 0, frames, BURST);
	uint16_t sent = rte_eth_tx_burst(to, 0, frames, received);

	rte_pktmbuf_free_bulk(frames + sent, received - sent);
}

static bool changed(struct bond *bond)
{
	struct rte_eth_bond_8023ad_slave_info info;

	if (rte_eth_bond_8023ad_slave_info(bond->port, bond->slave, &info) ||
	    (info.actor_state == bond->actor && info.partner_state == bond->partner))
		return false;
	bond->actor = info.actor_state;
	bond->partner = info.partner_state;
	return true;
}

int main(int argc, char **argv)
{
	struct bond bonds[BONDS] = {};
	size_t count, i;

	if (rte_eal_init(argc, argv) < 0)
		return EXIT_FAILURE;
	count = start_all(bonds);
	for (;;) {
		bool news = false;

		for (i = 0; i < count; i++) {
			forward(bonds[i].port, bonds[i].behind);
			forward(bonds[i].behind, bonds[i].port);
			news |= changed(&bonds[i]);
		}
		for (i = 0; news && i < count; i++)
			printf("%02x %02x%c", bonds[i].actor, bonds[i].partner, i + 1 < count ? ' ' : '\n');
		fflush(stdout);
		usleep(PAUSE_US);
	}
}
