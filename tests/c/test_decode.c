// SPDX-License-Identifier: Apache-2.0
/* Bytes to values: pfs_link_decode(). */

#include "guard.h"
#include "harness.h"
#include "message.h"
#include "pfstatus.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static struct message msg;
static struct pf pf;
static struct pfs_link link;
static struct pfs_bond bond;
static struct pfs_vf vfs[PF_VFS];

static int decode_bytes(const void *bytes, size_t len)
{
	link = (struct pfs_link)PFS_LINK_INIT;
	bond = (struct pfs_bond)PFS_BOND_INIT;
	return pfs_link_decode(guard_copy(bytes, len), len, &link, &bond, vfs, PF_VFS);
}

static int decode(void)
{
	return decode_bytes(msg.buf, msg.len);
}

static void start(void)
{
	message_clear(&msg);
	message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
	message_ifinfo(&msg, AF_UNSPEC, 7, 0);
}

static int end(void)
{
	message_end(&msg);
	return decode();
}

/* Every VF that was reported exists, is visible and has its true state; none twice. */
static void check_vfs_true(void)
{
	bool seen[PF_VFS] = { false };

	CHECK(link.vf_count <= pf.n_vf);
	for (uint32_t i = 0; i < link.vf_count && i < PF_VFS; i++) {
		CHECK(vfs[i].vf < pf.n_vf && !pf.left_out[vfs[i].vf] && !seen[vfs[i].vf]);
		CHECK_EQ(vfs[i].link_state, pf.link_state[vfs[i].vf % PF_VFS]);
		seen[vfs[i].vf % PF_VFS] = true;
	}
}

static uint32_t visible(void)
{
	uint32_t n = 0;

	for (uint32_t vf = 0; vf < pf.n_vf; vf++)
		n += !pf.left_out[vf];
	return n;
}

static void check_pf(void)
{
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
	memset(vfs, 0xee, sizeof(vfs));
	CHECK_EQ(decode(), RTM_NEWLINK);
	CHECK_EQ(link.num_vf, pf.n_vf);
	CHECK_EQ(link.vf_count, visible());
	CHECK_EQ(!!(link.known & PFS_LINK_VFS), pf.n_vf > 0);
	check_vfs_true();
	/* What lies behind the list, which a naive reader loses where its length wrapped. */
	CHECK_STR(link.slave_kind, "bond");
	CHECK_EQ(link.actor_oper_port_state, 0x3f);
	CHECK_EQ(link.partner_oper_port_state, 0x3d);
}

TEST(decode_reads_every_field_of_a_port)
{
	pf_init(&pf, 0);
	pf.slave_state = 1;
	pf.aggregator_id = 0x1234;
	pf.partner = 0xc7;
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	CHECK_EQ(decode(), RTM_NEWLINK);
	CHECK_EQ(link.size, sizeof(link));
	CHECK_EQ(link.known, PFS_LINK_OPERSTATE | PFS_LINK_SLAVE_STATE | PFS_LINK_AGGREGATOR_ID |
				     PFS_LINK_ACTOR_STATE | PFS_LINK_PARTNER_STATE);
	CHECK_EQ(link.ifindex, 7);
	CHECK_EQ(link.flags, 0x11043);
	CHECK_EQ(link.master_ifindex, 20);
	CHECK_EQ(link.aggregator_id, 0x1234);
	CHECK_EQ(link.actor_oper_port_state, 0x3f);
	CHECK_EQ(link.partner_oper_port_state, 0xc7);
	CHECK_EQ(link.operstate, 6);
	CHECK_EQ(link.slave_state, 1);
	CHECK_STR(link.name, "ens5f0");
	CHECK_STR(link.kind, "");
	CHECK_STR(link.slave_kind, "bond");
	CHECK_EQ(bond.known, 0);
	CHECK_STR(bond.name, "ens5f0");
}

TEST(decode_reads_every_field_of_a_bond)
{
	pf_bond_init(&pf);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	CHECK_EQ(decode(), RTM_NEWLINK);
	CHECK_EQ(bond.size, sizeof(bond));
	CHECK_EQ(bond.known, PFS_BOND_MODE | PFS_BOND_MIIMON | PFS_BOND_MIN_LINKS |
				     PFS_BOND_AD_LACP_RATE | PFS_BOND_AD_INFO);
	CHECK_EQ(bond.ifindex, 20);
	CHECK_EQ(bond.mode, 4);
	CHECK_EQ(bond.miimon, 100);
	CHECK_EQ(bond.min_links, 1);
	CHECK_EQ(bond.ad_lacp_rate, 1);
	CHECK_EQ(bond.ad_aggregator, 0x1234);
	CHECK_EQ(bond.ad_num_ports, 2);
	CHECK_EQ(bond.ad_actor_key, 15);
	CHECK_EQ(bond.ad_partner_key, 0x8001);
	CHECK(!memcmp(bond.ad_partner_mac, "\2\0\x5e\0\0\1", 6));
	CHECK_STR(bond.name, "bond0");
	CHECK_STR(link.kind, "bond");
	CHECK_EQ(link.known, PFS_LINK_OPERSTATE);
}

TEST(decode_leaves_absent_attributes_unknown)
{
	pf_init(&pf, 0);
	pf.no_aggregator = true;
	message_clear(&msg);
	message_pf(&msg, RTM_DELLINK, 1, &pf, false);
	CHECK_EQ(decode(), RTM_DELLINK);
	CHECK_EQ(link.known, PFS_LINK_OPERSTATE | PFS_LINK_SLAVE_STATE);
	pf_bond_init(&pf);
	pf.no_ad_info = true;
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	CHECK_EQ(decode(), RTM_NEWLINK);
	CHECK(!(bond.known & PFS_BOND_AD_INFO));
	start();
	CHECK_EQ(end(), RTM_NEWLINK);
	CHECK_EQ(link.known, 0);
	CHECK_STR(link.name, "");
}

TEST(decode_reads_any_number_of_vfs_with_and_without_statistics)
{
	static const uint32_t counts[] = { 0, 1, 2, 220, 221, 222, 256, 334, 335, 400, 442, 443, 512,
					   668, 669, 1024 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (int statistics = 0; statistics < 2; statistics++) {
			pf_init(&pf, counts[i]);
			pf.statistics = statistics;
			check_pf();
			pf.backwards = true;
			check_pf();
		}
	}
}

TEST(decode_reads_sparse_lists_by_vf_number)
{
	for (uint32_t n = 1; n <= 512; n = n < 4 ? n + 1 : n * 2) {
		for (int hole = 0; hole < 4; hole++) {
			pf_init(&pf, n);
			pf.statistics = hole & 1;
			for (uint32_t vf = 0; vf < n; vf++)
				pf.left_out[vf] = hole == 3 || test_random() % 3 == 0;
			check_pf();
		}
	}
}

TEST(decode_counts_vfs_beyond_the_capacity)
{
	pf_init(&pf, 300);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
	memset(vfs, 0xee, sizeof(vfs));
	link = (struct pfs_link)PFS_LINK_INIT;
	CHECK_EQ(pfs_link_decode(msg.buf, msg.len, &link, NULL, vfs, 10), RTM_NEWLINK);
	CHECK_EQ(link.vf_count, 300);
	CHECK_EQ(vfs[9].vf, 9);
	CHECK_EQ(vfs[10].vf, 0xeeeeeeee);
	CHECK_EQ(pfs_link_decode(msg.buf, msg.len, &link, NULL, NULL, 1000), RTM_NEWLINK);
	CHECK_EQ(link.vf_count, 300);
	CHECK_EQ(pfs_link_decode(msg.buf, msg.len, NULL, NULL, NULL, 0), RTM_NEWLINK);
}

TEST(decode_reads_a_vf_whose_driver_has_no_link_state)
{
	size_t list, info;
	uint32_t words[2] = { 0, 1 };

	start();
	message_u32(&msg, IFLA_NUM_VF, 2);
	list = message_nest(&msg, IFLA_VFINFO_LIST);
	info = message_nest(&msg, IFLA_VF_INFO);
	message_put(&msg, IFLA_VF_SPOOFCHK, words, 8);
	message_nest_end(&msg, info);
	message_vf(&msg, 1, 2, false);
	message_nest_end(&msg, list);
	CHECK_EQ(end(), RTM_NEWLINK);
	CHECK_EQ(link.vf_count, 1);
	CHECK_EQ(vfs[0].vf, 1);
}

/* IFLA_NUM_VF too high is a sparse list; too low cannot be: the rest is no attribute of a link. */
TEST(decode_is_right_or_refuses_where_num_vf_lies)
{
	static const uint32_t counts[] = { 1, 40, 222, 335, 512 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (uint32_t said = 0; said < 600; said++) {
			int ret;

			pf_init(&pf, counts[i]);
			message_clear(&msg);
			message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
			message_pf_head(&msg, &pf);
			message_u32(&msg, IFLA_NUM_VF, said);
			message_pf_vfs(&msg, &pf);
			message_pf_tail(&msg, &pf);
			ret = end();
			CHECK_EQ(ret, said < counts[i] ? -EBADMSG : RTM_NEWLINK);
			if (ret > 0) {
				CHECK_EQ(link.vf_count, counts[i]);
				CHECK_EQ(link.actor_oper_port_state, 0x3f);
				check_vfs_true();
			}
		}
	}
	/* Without it the list ends at the first attribute that is no IFLA_VF_INFO. */
	pf_init(&pf, 335);
	message_clear(&msg);
	message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
	message_pf_head(&msg, &pf);
	message_pf_vfs(&msg, &pf);
	message_pf_tail(&msg, &pf);
	CHECK_EQ(end(), RTM_NEWLINK);
	CHECK_EQ(link.vf_count, 335);
	check_vfs_true();
}

static void flip_list_length(uint16_t lie)
{
	size_t list;

	message_clear(&msg);
	message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
	message_pf_head(&msg, &pf);
	message_u32(&msg, IFLA_NUM_VF, pf.n_vf);
	list = msg.len;
	message_pf_vfs(&msg, &pf);
	memcpy(msg.buf + list, &lie, sizeof(lie));
	message_pf_tail(&msg, &pf);
}

TEST(decode_refuses_a_list_whose_length_disagrees_modulo_65536)
{
	const uint16_t truth = (uint16_t)(4 + 335 * 196);

	pf_init(&pf, 335);
	flip_list_length(truth);
	CHECK_EQ(end(), RTM_NEWLINK);
	for (unsigned int lie = 0; lie < 65536; lie += lie == (unsigned int)truth - 3 ? 1 : 251) {
		flip_list_length((uint16_t)lie);
		CHECK_EQ(end(), lie == truth ? RTM_NEWLINK : -EBADMSG);
	}
}

TEST(decode_is_right_or_refuses_where_a_vf_lies_about_its_length)
{
	for (uint32_t which = 0; which < 5; which++) {
		for (unsigned int lie = 0; lie < 1200; lie++) {
			size_t at;
			uint16_t len = (uint16_t)lie;
			int ret;

			pf_init(&pf, 5);
			message_clear(&msg);
			message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
			message_pf_head(&msg, &pf);
			message_u32(&msg, IFLA_NUM_VF, pf.n_vf);
			at = msg.len + 4 + which * 196;
			message_pf_vfs(&msg, &pf);
			memcpy(msg.buf + at, &len, sizeof(len));
			message_pf_tail(&msg, &pf);
			ret = end();
			/* Padding aside, only the truth, or one that swallows whole neighbours. */
			if (ret == RTM_NEWLINK) {
				CHECK((lie + 3) / 4 * 4 % 196 == 0);
				check_vfs_true();
				CHECK_EQ(link.actor_oper_port_state, 0x3f);
			} else {
				CHECK_EQ(ret, -EBADMSG);
			}
		}
	}
}

TEST(decode_never_reads_past_a_message_cut_at_any_byte)
{
	for (int kind = 0; kind < 3; kind++) {
		size_t whole;

		if (kind == 2)
			pf_bond_init(&pf);
		else
			pf_init(&pf, kind ? 3 : 0);
		message_clear(&msg);
		message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
		whole = msg.len;
		for (size_t len = 0; len < whole; len++) {
			uint32_t cut = (uint32_t)len;

			/* The header still says the whole. */
			message_end(&msg);
			CHECK_EQ(decode_bytes(msg.buf, len), -EBADMSG);
			CHECK_EQ(link.known, 0);
			/* The header says what is there: right as far as it goes, or refused. */
			if (len >= 4)
				memcpy(msg.buf, &cut, sizeof(cut));
			if (len < 32)
				CHECK_EQ(decode_bytes(msg.buf, len), -EBADMSG);
			else if (decode_bytes(msg.buf, len) == RTM_NEWLINK)
				CHECK_EQ(link.ifindex, pf.ifindex);
			else
				CHECK_EQ(link.known, 0);
			check_vfs_true();
		}
	}
}

/* Each 16-bit word of a message, length or not, set to what lengths fear. */
TEST(decode_never_reads_past_a_message_with_any_length_field_changed)
{
	static const uint16_t fears[] = { 0, 1, 2, 3, 4, 5, 7, 8, 0x7fff, 0x8000, 0xfffc, 0xffff };

	for (int kind = 0; kind < 2; kind++) {
		if (kind)
			pf_bond_init(&pf);
		else
			pf_init(&pf, 2);
		message_clear(&msg);
		message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
		for (size_t at = 0; at + 2 <= msg.len; at += 2) {
			uint16_t truth, value;

			memcpy(&truth, msg.buf + at, sizeof(truth));
			for (int delta = -9; delta < 9 + (int)(sizeof(fears) / 2); delta++) {
				int ret;

				value = delta < 9 ? (uint16_t)(truth + delta) : fears[delta - 9];
				memcpy(msg.buf + at, &value, sizeof(value));
				ret = decode();
				CHECK(ret == RTM_NEWLINK || ret == RTM_DELLINK ||
				      ret == -EBADMSG || ret == -ENOMSG);
				if (ret < 0)
					CHECK_EQ(link.known | bond.known, 0);
			}
			memcpy(msg.buf + at, &truth, sizeof(truth));
		}
		CHECK_EQ(decode(), RTM_NEWLINK);
	}
}

TEST(decode_reads_the_parent_device_and_leaves_out_one_that_does_not_fit)
{
	static const char *const parents[] = {
		"", "0000:3b:00.0", "virtio0", "thirty-one-letters-are-the-most",
		"thirty-two-letters-are-too-many-",
	};

	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		start();
		message_string(&msg, 56 /* IFLA_PARENT_DEV_NAME */, parents[i]);
		CHECK_EQ(end(), RTM_NEWLINK);
		CHECK_STR(link.parent, i == 4 ? "" : parents[i]);
	}
	for (int which = 0; which < 3; which++) {
		static const uint16_t lens[] = { 0, 4, 32 };

		start();
		message_put(&msg, 56, parents[4], lens[which]);
		CHECK_EQ(end(), -EBADMSG);
	}
}

TEST(decode_refuses_known_attributes_that_are_too_short)
{
	static const struct {
		uint16_t outer, inner, type;	/* nests, 0 for none */
		const char *inner_kind;
		uint16_t need;
	} rows[] = {
		{ 0, 0, IFLA_MASTER, NULL, 4 },
		{ 0, 0, IFLA_OPERSTATE, NULL, 1 },
		{ 0, 0, IFLA_NUM_VF, NULL, 4 },
		{ IFLA_LINKINFO, 5, 1, "bond", 1 },
		{ IFLA_LINKINFO, 5, 6, "bond", 2 },
		{ IFLA_LINKINFO, 5, 7, "bond", 1 },
		{ IFLA_LINKINFO, 5, 8, "bond", 2 },
		{ IFLA_LINKINFO, 2, 1, "bond", 1 },
		{ IFLA_LINKINFO, 2, 3, "bond", 4 },
		{ IFLA_LINKINFO, 2, 18, "bond", 4 },
		{ IFLA_LINKINFO, 2, 21, "bond", 1 },
		{ IFLA_LINKINFO, 2, 1, "bridge", 0 },
		{ IFLA_LINKINFO, 5, 1, "bridge", 0 },
	};
	static const uint8_t bytes[12] = { 1, 0, 0, 0, 1 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint16_t len = 0; len <= sizeof(bytes); len++) {
			size_t outer = 0, inner = 0;

			start();
			if (rows[i].outer) {
				outer = message_nest(&msg, rows[i].outer);
				message_string(&msg, rows[i].inner == 2 ? 1 : 4, rows[i].inner_kind);
				inner = message_nest(&msg, rows[i].inner);
			}
			message_put(&msg, rows[i].type, bytes, len);
			if (rows[i].outer) {
				message_nest_end(&msg, inner);
				message_nest_end(&msg, outer);
			}
			CHECK_EQ(end(), len < rows[i].need ? -EBADMSG : RTM_NEWLINK);
		}
	}
}

TEST(decode_refuses_kinds_that_are_not_terminated)
{
	for (uint16_t type = 1; type <= 4; type += 3) {
		size_t nest;

		start();
		nest = message_nest(&msg, IFLA_LINKINFO);
		message_put(&msg, type, "bond", 4);
		message_nest_end(&msg, nest);
		CHECK_EQ(end(), -EBADMSG);
		start();
		nest = message_nest(&msg, IFLA_LINKINFO);
		message_string(&msg, type, "a-kind-of-more-letters-than-any");
		message_nest_end(&msg, nest);
		CHECK_EQ(end(), RTM_NEWLINK);
		CHECK_STR(type == 1 ? link.kind : link.slave_kind, "a-kind-of-more-");
	}
}

TEST(decode_refuses_nests_that_break_off_in_the_middle)
{
	static const uint8_t half[] = { 8, 0, 1 };
	size_t outer, inner;

	start();
	outer = message_nest(&msg, IFLA_LINKINFO);
	message_raw(&msg, half, sizeof(half));
	message_nest_end(&msg, outer);
	CHECK_EQ(end(), -EBADMSG);

	for (uint16_t type = 2; type <= 5; type += 3) {
		start();
		outer = message_nest(&msg, IFLA_LINKINFO);
		message_string(&msg, type == 2 ? 1 : 4, "bond");
		inner = message_nest(&msg, type);
		message_raw(&msg, half, sizeof(half));
		message_nest_end(&msg, inner);
		message_nest_end(&msg, outer);
		CHECK_EQ(end(), -EBADMSG);
	}
}

TEST(decode_wants_ad_info_whole)
{
	static const uint8_t bytes[6];

	for (uint16_t without = 1; without <= 6; without++) {
		for (uint16_t len = 0; len <= 6; len += 2) {
			size_t outer, inner, info;
			bool whole = without == 6;

			start();
			outer = message_nest(&msg, IFLA_LINKINFO);
			message_string(&msg, 1, "bond");
			inner = message_nest(&msg, 2);
			info = message_nest(&msg, 23);
			for (uint16_t type = 1; type <= 5; type++)
				if (type != without)
					message_put(&msg, type, bytes, len);
			message_nest_end(&msg, info);
			message_nest_end(&msg, inner);
			message_nest_end(&msg, outer);
			CHECK_EQ(end(), whole && len == 6 ? RTM_NEWLINK : -EBADMSG);
		}
	}
}

TEST(decode_reads_one_terminated_name_that_fits)
{
	static const struct {
		const char *name;
		uint16_t len;
		int ret;
	} rows[] = {
		{ "eth0", 5, RTM_NEWLINK },
		{ "eth0", 4, -EBADMSG },
		{ "", 0, -EBADMSG },
		{ "", 1, -EBADMSG },
		{ "eth0\0rest", 9, RTM_NEWLINK },
		{ "fifteen-letters", 16, RTM_NEWLINK },
		{ "sixteen-letters-", 17, -EBADMSG },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start();
		message_put(&msg, IFLA_IFNAME, rows[i].name, rows[i].len);
		CHECK_EQ(end(), rows[i].ret);
		if (rows[i].ret > 0)
			CHECK_STR(link.name, rows[i].name);
	}
	start();
	message_string(&msg, IFLA_IFNAME, "eth0");
	message_string(&msg, IFLA_IFNAME, "eth1");
	CHECK_EQ(end(), -EBADMSG);
}

TEST(decode_skips_unknown_attributes_and_their_flags)
{
	static const uint8_t bytes[40] = { 0xff };

	start();
	for (uint16_t type = 0; type < 300; type++)
		if (type != IFLA_IFNAME && type != IFLA_VFINFO_LIST && type != IFLA_LINKINFO)
			message_put(&msg, (uint16_t)(type | (type & 1 ? 0x8000 : 0x4000)), bytes,
				    (size_t)4 + type % 37);
	message_string(&msg, IFLA_IFNAME | 0x4000, "eth0");
	CHECK_EQ(end(), RTM_NEWLINK);
	CHECK_STR(link.name, "eth0");
}

TEST(decode_takes_attributes_of_no_bytes)
{
	start();
	message_put(&msg, 300, NULL, 0);
	message_string(&msg, IFLA_IFNAME, "eth0");
	message_put(&msg, 300, NULL, 0);
	CHECK_EQ(end(), RTM_NEWLINK);
	CHECK_STR(link.name, "eth0");
}

TEST(decode_reads_a_list_that_ends_the_message)
{
	for (uint32_t said = 3; said < 6; said++) {
		pf_init(&pf, 3);
		message_clear(&msg);
		message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
		message_pf_head(&msg, &pf);
		message_u32(&msg, IFLA_NUM_VF, said);
		message_pf_vfs(&msg, &pf);
		CHECK_EQ(end(), RTM_NEWLINK);
		CHECK_EQ(link.vf_count, 3);
		check_vfs_true();
	}
	pf_init(&pf, 0);
	message_clear(&msg);
	message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
	message_pf_head(&msg, &pf);
	message_pf_vfs(&msg, &pf);
	CHECK_EQ(end(), RTM_NEWLINK);
	CHECK_EQ(link.vf_count, 0);
}

TEST(decode_passes_over_other_messages)
{
	static const struct {
		uint16_t type;
		uint8_t family;
	} rows[] = {
		{ NLMSG_NOOP, 0 }, { NLMSG_ERROR, 0 }, { NLMSG_DONE, 0 }, { RTM_GETLINK, 0 },
		{ RTM_SETLINK, 0 }, { RTM_NEWADDR, 0 }, { RTM_NEWLINK, AF_BRIDGE },
		{ RTM_DELLINK, AF_BRIDGE }, { RTM_NEWLINK, AF_INET6 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		message_clear(&msg);
		message_begin(&msg, rows[i].type, 0, 0, 0);
		message_ifinfo(&msg, rows[i].family, 7, 0);
		CHECK_EQ(end(), -ENOMSG);
		CHECK_EQ(link.ifindex, 0);
	}
}

TEST(decode_refuses_buffers_that_are_not_aligned)
{
	static struct message moved;

	pf_init(&pf, 1);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
	for (size_t shift = 1; shift < 4; shift++) {
		memcpy(moved.buf + shift, msg.buf, msg.len);
		CHECK_EQ(pfs_link_decode(moved.buf + shift, msg.len, NULL, NULL, NULL, 0), -EINVAL);
	}
	memcpy(moved.buf + 4, msg.buf, msg.len);
	CHECK_EQ(pfs_link_decode(moved.buf + 4, msg.len, NULL, NULL, NULL, 0), RTM_NEWLINK);
}

TEST(decode_refuses_sizes_that_were_never_set)
{
	static const uint32_t sizes[] = { 0, 4, 51, 83, 85, 4097, 4100, 0xffffffff };

	pf_init(&pf, 0);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		link.size = sizes[i];
		bond.size = sizes[i];
		CHECK_EQ(pfs_link_decode(msg.buf, msg.len, &link, NULL, NULL, 0), -EINVAL);
		CHECK_EQ(pfs_link_decode(msg.buf, msg.len, NULL, &bond, NULL, 0), -EINVAL);
	}
}

TEST(decode_zeros_what_a_newer_caller_knows_and_we_do_not)
{
	struct {
		struct pfs_link link;
		uint8_t later[40];
	} newer;
	struct {
		struct pfs_bond bond;
		uint8_t later[40];
	} newer_bond;
	static const uint8_t zeros[40];

	memset(&newer, 0xee, sizeof(newer));
	memset(&newer_bond, 0xee, sizeof(newer_bond));
	newer.link.size = sizeof(newer);
	newer_bond.bond.size = sizeof(newer_bond);
	pf_bond_init(&pf);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	CHECK_EQ(pfs_link_decode(msg.buf, msg.len, &newer.link, &newer_bond.bond, NULL, 0),
		 RTM_NEWLINK);
	CHECK_EQ(newer.link.size, sizeof(newer));
	CHECK_EQ(newer_bond.bond.size, sizeof(newer_bond));
	CHECK_STR(newer.link.name, "bond0");
	CHECK_EQ(newer_bond.bond.mode, 4);
	CHECK(!memcmp(newer.later, zeros, sizeof(zeros)));
	CHECK(!memcmp(newer_bond.later, zeros, sizeof(zeros)));
}
