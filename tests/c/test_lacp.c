// SPDX-License-Identifier: Apache-2.0
/* The rule, against another way to say it: a list of reasons, the first that holds. */

#include "harness.h"
#include "pfstatus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PORT_KNOWN (PFS_LINK_AGGREGATOR_ID | PFS_LINK_ACTOR_STATE | PFS_LINK_PARTNER_STATE)
#define ALL_KNOWN (PORT_KNOWN | PFS_LINK_OPERSTATE | PFS_LINK_SLAVE_STATE)

static struct pfs_link port(unsigned int actor, unsigned int partner)
{
	struct pfs_link link = PFS_LINK_INIT;

	link.known = ALL_KNOWN;
	link.master_ifindex = 20;
	link.aggregator_id = 1;
	link.operstate = 6;
	link.actor_oper_port_state = (uint8_t)actor;
	link.partner_oper_port_state = (uint8_t)partner;
	strcpy(link.slave_kind, "bond");
	return link;
}

static struct pfs_bond bond_of_mode(int mode)
{
	struct pfs_bond bond = PFS_BOND_INIT;

	bond.known = PFS_BOND_MODE;
	bond.mode = (uint8_t)mode;
	return bond;
}

/* 802.1AX-2014 6.4.2.3 bit by bit: 3 synchronization, 4 collecting, 5 distributing. */
static bool has(unsigned int state, int bit)
{
	return state >> bit & 1;
}

static bool carries_traffic(unsigned int state)
{
	for (int bit = 3; bit <= 5; bit++)
		if (!has(state, bit))
			return false;
	return true;
}

static int expected_of_octets(unsigned int actor, unsigned int partner)
{
	if (has(actor, 7) || has(partner, 7))
		return PFS_LACP_EXPIRED;
	if (has(actor, 6) || has(partner, 6))
		return PFS_LACP_DEFAULTED;
	if (!carries_traffic(actor) || !carries_traffic(partner))
		return PFS_LACP_NEGOTIATING;
	return PFS_LACP_UP;
}

TEST(lacp_rule_agrees_for_all_65536_pairs_of_octets)
{
	unsigned int up = 0;

	for (unsigned int actor = 0; actor < 256; actor++) {
		for (unsigned int partner = 0; partner < 256; partner++) {
			struct pfs_link link = port(actor, partner);
			int lacp = pfs_lacp_status(&link, NULL);

			CHECK_EQ(lacp, expected_of_octets(actor, partner));
			up += lacp == PFS_LACP_UP;
			/* A backup slave is never up, and no less down for another reason. */
			link.slave_state = 1;
			CHECK_EQ(pfs_lacp_status(&link, NULL),
				 lacp == PFS_LACP_UP ? PFS_LACP_NEGOTIATING : lacp);
		}
	}
	/* Activity, Timeout and Aggregation are free, on both ends. */
	CHECK_EQ(up, 64);
}

/* Open vSwitch with one interface as the switch: ping without loss. */
TEST(lacp_rule_takes_an_individual_partner_for_healthy)
{
	struct pfs_link link = port(0x3f, 0x3b);

	CHECK_EQ(pfs_lacp_status(&link, NULL), PFS_LACP_UP);
	link = port(0x3b, 0x3f);
	CHECK_EQ(pfs_lacp_status(&link, NULL), PFS_LACP_UP);
	link = port(0x3b, 0x3b);
	CHECK_EQ(pfs_lacp_status(&link, NULL), PFS_LACP_UP);
}

/* A driver may set no operational state; then the carrier tells. */
TEST(lacp_rule_takes_an_unknown_operstate_by_its_carrier)
{
	for (unsigned int operstate = 0; operstate < 256; operstate++) {
		for (unsigned int lower_up = 0; lower_up < 2; lower_up++) {
			struct pfs_link link = port(0x3f, 0x3f);

			link.operstate = (uint8_t)operstate;
			link.flags = lower_up ? 0x10000 : 0;
			CHECK_EQ(pfs_lacp_status(&link, NULL),
				 operstate == 6 || (operstate == 0 && lower_up) ?
				 PFS_LACP_UP : PFS_LACP_LINK_DOWN);
		}
	}
}

/* Every combination of what comes before the octets. */
TEST(lacp_rule_tests_the_unknown_in_order)
{
	for (unsigned int bits = 0; bits < 1u << 10; bits++) {
		struct pfs_link link = port(0x3f, 0x3f);
		struct pfs_bond bond = bond_of_mode(bits & 1 << 3 ? 1 : 4);
		bool asked = !(bits & 1 << 9);
		int want = PFS_LACP_UP;

		/* From the last to the first: the first sets the answer in the end. */
		if (bits & 1 << 0) {
			link.operstate = 2;
			want = PFS_LACP_LINK_DOWN;
		}
		if (bits & 1 << 1) {
			link.known &= ~(uint32_t)PFS_LINK_OPERSTATE;
			want = PFS_LACP_LINK_DOWN;
		}
		if (bits & 1 << 2) {
			link.known &= ~(uint32_t)PFS_LINK_ACTOR_STATE;
			want = PFS_LACP_NO_AGGREGATOR;
		}
		if (bits & 1 << 4) {
			link.known &= ~(uint32_t)PFS_LINK_PARTNER_STATE;
			want = PFS_LACP_NO_AGGREGATOR;
		}
		if (bits & 1 << 5) {
			link.aggregator_id = 0;
			want = PFS_LACP_NO_AGGREGATOR;
		}
		if (bits & 1 << 6) {
			link.known &= ~(uint32_t)PFS_LINK_AGGREGATOR_ID;
			want = PFS_LACP_NO_AGGREGATOR;
		}
		if (bits & 1 << 3 && asked)
			want = PFS_LACP_WRONG_MODE;
		if (bits & 1 << 7) {
			strcpy(link.slave_kind, "bridge");
			want = PFS_LACP_NOT_A_BOND;
		}
		if (bits & 1 << 8) {
			link.master_ifindex = 0;
			want = PFS_LACP_NO_BOND;
		}
		CHECK_EQ(pfs_lacp_status(&link, asked ? &bond : NULL), want);
	}
	CHECK_EQ(pfs_lacp_status(NULL, NULL), PFS_LACP_ABSENT);
}

TEST(lacp_rule_takes_a_bond_of_unknown_mode_by_its_port)
{
	struct pfs_link link = port(0x3f, 0x3f);
	struct pfs_bond bond = PFS_BOND_INIT;

	CHECK_EQ(pfs_lacp_status(&link, &bond), PFS_LACP_UP);
	for (int mode = 0; mode < 256; mode++) {
		bond = bond_of_mode(mode);
		CHECK_EQ(pfs_lacp_status(&link, &bond),
			 mode == 4 ? PFS_LACP_UP : PFS_LACP_WRONG_MODE);
	}
	/* Kernels before 3.14 do not say whether the slave is active. */
	link.known &= ~(uint32_t)PFS_LINK_SLAVE_STATE;
	link.slave_state = 1;
	CHECK_EQ(pfs_lacp_status(&link, NULL), PFS_LACP_UP);
}

TEST(lacp_rule_reads_a_kind_that_is_not_terminated)
{
	struct pfs_link link = port(0x3f, 0x3f);

	memset(link.slave_kind, 'b', sizeof(link.slave_kind));
	CHECK_EQ(pfs_lacp_status(&link, NULL), PFS_LACP_NOT_A_BOND);
}

TEST(lacp_verdict_is_given_once_and_what_is_no_reason_is_unknown)
{
	for (int lacp = -300; lacp < 300; lacp++) {
		int want = lacp == PFS_LACP_UP ? PFS_UP : PFS_UNKNOWN;

		if (lacp == PFS_LACP_EXPIRED || lacp == PFS_LACP_DEFAULTED ||
		    lacp == PFS_LACP_NEGOTIATING)
			want = PFS_DOWN;
		CHECK_EQ(pfs_lacp_verdict(lacp), want);
	}
}

/* What lies behind the size that a caller gave is not his. */
TEST(lacp_rule_reads_no_more_than_a_caller_knows)
{
	struct pfs_link link = port(0x3f, 0x3f);
	struct pfs_bond bond = bond_of_mode(4);

	for (uint32_t size = 0; size < sizeof(link) + 8; size++) {
		link.size = size;
		CHECK_EQ(pfs_lacp_status(&link, &bond),
			 size < sizeof(link) || size % 4 ? -EINVAL : PFS_LACP_UP);
	}
	link.size = sizeof(link);
	for (uint32_t size = 0; size < sizeof(bond) + 8; size++) {
		bond.size = size;
		CHECK_EQ(pfs_lacp_status(&link, &bond),
			 size < sizeof(bond) || size % 4 ? -EINVAL : PFS_LACP_UP);
	}
}

TEST(lacp_words_exist_for_each_status_and_only_for_those)
{
	static const char *const names[] = {
		[PFS_LACP_UP] = "up", [PFS_LACP_EXPIRED] = "expired",
		[PFS_LACP_DEFAULTED] = "defaulted", [PFS_LACP_NEGOTIATING] = "negotiating",
		[PFS_LACP_ABSENT] = "absent", [PFS_LACP_NO_BOND] = "no-bond",
		[PFS_LACP_NOT_A_BOND] = "not-a-bond", [PFS_LACP_WRONG_MODE] = "wrong-mode",
		[PFS_LACP_NO_AGGREGATOR] = "no-aggregator", [PFS_LACP_LINK_DOWN] = "link-down",
	};

	for (int lacp = -300; lacp < 300; lacp++) {
		bool exists = lacp >= 0 && (size_t)lacp < sizeof(names) / sizeof(names[0]) &&
			      names[lacp];
		const char *sentence = pfs_lacp_sentence(lacp);

		CHECK_STR(pfs_lacp_name(lacp), exists ? names[lacp] : "?");
		CHECK(exists == (sentence[strlen(sentence) - 1] == '.'));
	}
}
