// SPDX-License-Identifier: Apache-2.0
/* LACPDUs: bytes to values and back. */

#include "guard.h"
#include "harness.h"
#include "internal.h"

#include <errno.h>
#include <string.h>

/* Linux bonding 6.1 at the fast rate to Linux bonding, taken from the wire. */
static const uint8_t recorded[PFS_LACPDU_BYTES] = {
	0x01, 0x80, 0xc2, 0x00, 0x00, 0x02, 0x02, 0x6e, 0x00, 0x00, 0x00, 0x00, 0x88, 0x09,
	0x01, 0x01,
	0x01, 0x14, 0xff, 0xff, 0x02, 0x6e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0f, 0x00, 0xff,
	0x00, 0x01, 0x3f, 0x00, 0x00, 0x00,
	0x02, 0x14, 0x80, 0x00, 0x02, 0x6e, 0x00, 0x01, 0x00, 0x00, 0x01, 0x0f, 0x00, 0x7f,
	0x00, 0x02, 0x3d, 0x00, 0x00, 0x00,
	0x03, 0x10, 0x12, 0x34,
};

static struct pfs_lacpdu pdu;
static uint8_t frame[PFS_LACPDU_BYTES + 64];

static void take_recorded(void)
{
	memset(frame, 0, sizeof(frame));
	memcpy(frame, recorded, sizeof(recorded));
}

TEST(decode_reads_both_ends)
{
	static const uint8_t actor[6] = { 2, 0x6e, 0, 0, 0, 0 }, partner[6] = { 2, 0x6e, 0, 1, 0, 0 };

	memset(&pdu, 0xee, sizeof(pdu));
	CHECK_EQ(pfs_lacpdu_decode(recorded, sizeof(recorded), &pdu), 0);
	CHECK(!memcmp(pdu.source, actor, 6));
	CHECK_EQ(pdu.version, 1);
	CHECK_EQ(pdu.actor.system_priority, 0xffff);
	CHECK(!memcmp(pdu.actor.system, actor, 6));
	CHECK_EQ(pdu.actor.key, 0x0f);
	CHECK_EQ(pdu.actor.port_priority, 0xff);
	CHECK_EQ(pdu.actor.port, 1);
	CHECK_EQ(pdu.actor.state, 0x3f);
	CHECK_EQ(pdu.partner.system_priority, 0x8000);
	CHECK(!memcmp(pdu.partner.system, partner, 6));
	CHECK_EQ(pdu.partner.key, 0x10f);
	CHECK_EQ(pdu.partner.port_priority, 0x7f);
	CHECK_EQ(pdu.partner.port, 2);
	CHECK_EQ(pdu.partner.state, 0x3d);
	CHECK_EQ(pdu.collector_max_delay, 0x1234);
	CHECK_EQ(pdu.mark, 0);
	CHECK_EQ(pdu.reserved + pdu.reserved_2 + pdu.actor.reserved + pdu.partner.reserved, 0);
}

TEST(encode_writes_what_was_read)
{
	memset(frame, 0xee, sizeof(frame));
	CHECK_EQ(pfs_lacpdu_decode(recorded, sizeof(recorded), &pdu), 0);
	CHECK_EQ(pfs_lacpdu_encode(frame, sizeof(frame), &pdu), PFS_LACPDU_BYTES);
	CHECK(!memcmp(frame, recorded, sizeof(recorded)));
	CHECK_EQ(frame[PFS_LACPDU_BYTES], 0xee);
	CHECK_EQ(pfs_lacpdu_encode(frame, PFS_LACPDU_BYTES - 1, &pdu), -EMSGSIZE);
}

TEST(decode_passes_over_what_is_no_lacpdu)
{
	static const struct {
		size_t at;
		uint8_t value;
	} rows[] = {
		{ 12, 0x08 },	/* another EtherType */
		{ 13, 0x00 },
		{ 14, 2 },	/* a marker */
		{ 14, 3 },	/* OAM */
		{ 14, 10 },	/* organization specific */
		{ 14, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		take_recorded();
		frame[rows[i].at] = rows[i].value;
		CHECK_EQ(pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &pdu), -ENOMSG);
	}
}

TEST(decode_refuses_each_shorter_frame_and_leaves_the_output_alone)
{
	struct pfs_lacpdu untouched;

	memset(&untouched, 0xee, sizeof(untouched));
	for (size_t len = 0; len < sizeof(recorded); len++) {
		pdu = untouched;
		CHECK_EQ(pfs_lacpdu_decode(guard_copy(recorded, len), len, &pdu),
			 len < 15 ? -ENOMSG : -EBADMSG);
		CHECK(!memcmp(&pdu, &untouched, sizeof(pdu)));
	}
}

TEST(decode_refuses_ends_that_are_not_where_they_belong)
{
	static const size_t tlv_headers[] = { 16, 17, 36, 37 };

	for (size_t i = 0; i < sizeof(tlv_headers) / sizeof(tlv_headers[0]); i++) {
		take_recorded();
		frame[tlv_headers[i]] ^= 0x80;
		CHECK_EQ(pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &pdu), -EBADMSG);
	}
}

TEST(decode_skips_what_later_versions_append)
{
	/* Version 2: Port Algorithm, Port Conversation ID Digest, and so on, after the collector. */
	take_recorded();
	frame[15] = 2;
	memset(frame + 72, 0x04, sizeof(frame) - 72);
	CHECK_EQ(pfs_lacpdu_decode(frame, sizeof(frame), &pdu), 0);
	CHECK_EQ(pdu.version, 2);
	CHECK_EQ(pdu.partner.state, 0x3d);
	CHECK_EQ(pdu.mark, 0);
	/* What is no collector has no delay. */
	frame[56] = 9;
	CHECK_EQ(pfs_lacpdu_decode(frame, sizeof(frame), &pdu), 0);
	CHECK_EQ(pdu.collector_max_delay, 0);
}

TEST(a_mark_lies_in_reserved_octets_of_version_1_alone)
{
	struct pfs_lacpdu marked;

	take_recorded();
	CHECK_EQ(pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &pdu), 0);
	CHECK(pfs_lacpdu_set_mark(frame, PFS_LACPDU_BYTES, 0x01020304));
	CHECK(!memcmp(frame, recorded, PFS_LACPDU_BYTES - 4));
	CHECK_EQ(pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &marked), 0);
	CHECK_EQ(marked.mark, 0x01020304);
	marked.mark = 0;
	CHECK(!memcmp(&marked, &pdu, sizeof(pdu)));
	CHECK(!pfs_lacpdu_set_mark(frame, PFS_LACPDU_BYTES + 4, 1));
	frame[15] = 2;
	CHECK(!pfs_lacpdu_set_mark(frame, PFS_LACPDU_BYTES, 1));
}

TEST(a_question_differs_from_what_the_partner_said_by_the_timeout_bit_alone)
{
	struct pfs_lacpdu_end heard = {
		.system_priority = 0x8001, .system = { 1, 2, 3, 4, 5, 6 }, .key = 0x1112,
		.port_priority = 0x1314, .port = 0x1516, .state = 0x3f,
	};

	for (int timeout = 0; timeout < 2; timeout++) {
		take_recorded();
		heard.state = timeout ? 0x3f : 0x3d;
		pfs_lacpdu_set_partner(frame, &heard, PFS_LACP_STATE_TIMEOUT);
		CHECK_EQ(pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &pdu), 0);
		CHECK_EQ(pdu.partner.state, timeout ? 0x3d : 0x3f);
		pdu.partner.state = heard.state;
		CHECK(!memcmp(&pdu.partner, &heard, sizeof(heard)));
		/* Our own words stay. */
		CHECK(!memcmp(frame, recorded, 36));
		CHECK(!memcmp(frame + 53, recorded + 53, PFS_LACPDU_BYTES - 53));
	}
}
