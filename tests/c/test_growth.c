// SPDX-License-Identifier: Apache-2.0
/*
 * A caller older than the library. This file sees today's header; the decoder
 * that it is linked with was built with structs that have grown since (see
 * CMakeLists.txt): it must write what we know and not a byte more.
 */

#include "harness.h"
#include "message.h"
#include "pfstatus.h"

#include <linux/rtnetlink.h>
#include <string.h>

static struct message msg;

TEST(a_grown_library_fills_an_older_callers_structs_and_no_more)
{
	struct {
		struct pfs_link link;
		uint8_t mine[16];
	} older;
	struct {
		struct pfs_bond bond;
		uint8_t mine[16];
	} older_bond;
	uint8_t mine[16];
	struct pf pf;

	memset(mine, 0xee, sizeof(mine));
	memset(&older, 0xee, sizeof(older));
	memset(&older_bond, 0xee, sizeof(older_bond));
	older.link.size = sizeof(older.link);
	older_bond.bond.size = sizeof(older_bond.bond);
	pf_bond_init(&pf);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	CHECK_EQ(pfs_link_decode(msg.buf, msg.len, &older.link, &older_bond.bond, NULL, 0),
		 RTM_NEWLINK);
	CHECK_STR(older.link.name, "bond0");
	CHECK_STR(older_bond.bond.name, "bond0");
	CHECK_EQ(older.link.size, sizeof(older.link));
	CHECK(!memcmp(older.mine, mine, sizeof(mine)));
	CHECK(!memcmp(older_bond.mine, mine, sizeof(mine)));
}
