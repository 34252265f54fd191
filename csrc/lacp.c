// SPDX-License-Identifier: Apache-2.0
/* The one rule that says whether LACP works on a PF. Pure. */

#include <errno.h>
#include <linux/if.h>
#include <linux/if_bonding.h>
#include <string.h>

#include "internal.h"

/*
 * Aggregation is no part of it: a port whose LAG may hold no other sends it
 * clear ("Individual", 802.1AX 6.4.2.3), and carries frames all the same.
 */
#define STATE_UP (PFS_LACP_STATE_SYNCHRONIZATION | PFS_LACP_STATE_COLLECTING | \
		  PFS_LACP_STATE_DISTRIBUTING)

#define PORT_KNOWN (PFS_LINK_AGGREGATOR_ID | PFS_LINK_ACTOR_STATE | PFS_LINK_PARTNER_STATE)

/*
 * Not every driver sets an operational state: unknown, with a carrier, may be
 * used (Documentation/networking/operstates.rst).
 */
static bool link_up(const struct pfs_link *link)
{
	if (!(link->known & PFS_LINK_OPERSTATE))
		return false;
	return link->operstate == IF_OPER_UP ||
	       (link->operstate == IF_OPER_UNKNOWN && (link->flags & IFF_LOWER_UP));
}

_Static_assert(offsetof(struct pfs_link, slave_kind) + 16 <= PFS_LINK_SIZE_MIN &&
	       offsetof(struct pfs_bond, mode) + 1 <= PFS_BOND_SIZE_MIN,
	       "the oldest caller knows what the rule reads");

int pfs_lacp_status(const struct pfs_link *link, const struct pfs_bond *bond)
{
	uint8_t actor, partner;

	if (!link)
		return PFS_LACP_ABSENT;
	if (!pfs_size_ok(link->size, PFS_LINK_SIZE_MIN) ||
	    (bond && !pfs_size_ok(bond->size, PFS_BOND_SIZE_MIN)))
		return -EINVAL;
	if (!link->master_ifindex)
		return PFS_LACP_NO_BOND;
	if (strncmp(link->slave_kind, "bond", sizeof(link->slave_kind)))
		return PFS_LACP_NOT_A_BOND;
	/* The mode of a bond that has ports cannot change. */
	if (bond && (bond->known & PFS_BOND_MODE) && bond->mode != BOND_MODE_8023AD)
		return PFS_LACP_WRONG_MODE;
	/* Aggregator 0 is none: the port was not yet selected into one. */
	if ((link->known & PORT_KNOWN) != PORT_KNOWN || !link->aggregator_id)
		return PFS_LACP_NO_AGGREGATOR;
	if (!link_up(link))
		return PFS_LACP_LINK_DOWN;

	actor = link->actor_oper_port_state;
	partner = link->partner_oper_port_state;
	if ((actor | partner) & PFS_LACP_STATE_EXPIRED)
		return PFS_LACP_EXPIRED;
	if ((actor | partner) & PFS_LACP_STATE_DEFAULTED)
		return PFS_LACP_DEFAULTED;
	if ((actor & partner & STATE_UP) != STATE_UP)
		return PFS_LACP_NEGOTIATING;
	/* The octets may still read well while the bond does not use the port. */
	if ((link->known & PFS_LINK_SLAVE_STATE) && link->slave_state != BOND_STATE_ACTIVE)
		return PFS_LACP_NEGOTIATING;
	return PFS_LACP_UP;
}

int pfs_lacp_verdict(int lacp)
{
	switch (lacp) {
	case PFS_LACP_UP:
		return PFS_UP;
	case PFS_LACP_EXPIRED:
	case PFS_LACP_DEFAULTED:
	case PFS_LACP_NEGOTIATING:
		return PFS_DOWN;
	default:
		return PFS_UNKNOWN;
	}
}

struct words {
	int lacp;
	const char *name;
	const char *sentence;
};

static const struct words words[] = {
	{ PFS_LACP_UP, "up",
	  "LACP is up: both ends are in sync, collect and distribute." },
	{ PFS_LACP_EXPIRED, "expired",
	  "LACPDUs from the switch have stopped." },
	{ PFS_LACP_DEFAULTED, "defaulted",
	  "No LACP partner answers: the port fell back to its defaults." },
	{ PFS_LACP_NEGOTIATING, "negotiating",
	  "The two ends are not both in sync, collecting and distributing." },
	{ PFS_LACP_ABSENT, "absent",
	  "There is no interface of this name." },
	{ PFS_LACP_NO_BOND, "no-bond",
	  "The interface is in no bond." },
	{ PFS_LACP_NOT_A_BOND, "not-a-bond",
	  "The interface has a master that is not a bond." },
	{ PFS_LACP_WRONG_MODE, "wrong-mode",
	  "The bond is not in mode 802.3ad, so it does not speak LACP." },
	{ PFS_LACP_NO_AGGREGATOR, "no-aggregator",
	  "The bond has not assigned the port to an aggregator." },
	{ PFS_LACP_LINK_DOWN, "link-down",
	  "The interface is not operationally up: no cable, or set down." },
};

static const struct words *find(int lacp)
{
	static const struct words none = { -1, "?", "?" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].lacp == lacp)
			return &words[i];
	return &none;
}

const char *pfs_lacp_name(int lacp)
{
	return find(lacp)->name;
}

const char *pfs_lacp_sentence(int lacp)
{
	return find(lacp)->sentence;
}
