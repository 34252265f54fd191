// SPDX-License-Identifier: Apache-2.0
/* The classic BPF program, run in user space. */

#include "guard.h"
#include "harness.h"
#include "internal.h"
#include "message.h"
#include "watch.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct message msg;
static const char *const names[] = {
	"e", "et", "eth", "eth0", "eth00", "ens5f0n", "ens5f0np", "ens5f0np0", "ens5f0np1v",
	"ens5f0np1v2", "ens5f0np1v23", "thirteen-char", "fourteen-chars", "fifteen-letters",
};
#define NAMES (sizeof(names) / sizeof(names[0]))

static void link_named(uint16_t type, uint32_t ifindex, const char *name)
{
	struct pf pf;

	pf_init(&pf, 0);
	pf.ifindex = ifindex;
	pf.name = name;
	message_clear(&msg);
	message_pf(&msg, type, 0, &pf, false);
}

static bool passes(const struct watch *watch)
{
	return watch_passes(watch, guard_copy(msg.buf, msg.len), msg.len);
}

TEST(filter_passes_watched_indexes_and_drops_others)
{
	static const uint32_t indexes[] = { 1, 2, 255, 256, 0x01020304, 0x7fffffff };
	const size_t n = sizeof(indexes) / sizeof(indexes[0]);

	for (size_t i = 0; i < n; i++) {
		struct watch watch = { .ifindexes = { 99, indexes[i] }, .n_index = 2 };

		for (size_t k = 0; k < n; k++) {
			for (uint16_t type = RTM_NEWLINK; type <= RTM_DELLINK; type++) {
				link_named(type, indexes[k], "veth12345");
				CHECK_EQ(passes(&watch), i == k);
			}
		}
	}
}

TEST(filter_passes_watched_names_of_any_length_and_drops_others)
{
	for (size_t i = 0; i < NAMES; i++) {
		struct watch watch = { .names = { "nobody", names[i] }, .n_name = 2 };

		for (size_t k = 0; k < NAMES; k++) {
			link_named(RTM_NEWLINK, 7, names[k]);
			CHECK_EQ(passes(&watch), i == k);
		}
		link_named(RTM_NEWLINK, 7, "veth12345");
		CHECK(!passes(&watch));
		link_named(RTM_DELLINK, 7, names[i]);
		CHECK(passes(&watch));
	}
}

TEST(filter_does_not_look_behind_the_terminator)
{
	for (size_t i = 0; i < NAMES; i++) {
		struct watch watch = { .names = { names[i] }, .n_name = 1 };
		size_t len = strlen(names[i]);

		link_named(RTM_NEWLINK, 7, names[i]);
		for (size_t at = len + 1; at < (len + 4) / 4 * 4; at++)
			msg.buf[36 + at] = 0xff;
		CHECK(watch_wants(&watch, msg.buf, msg.len));
		CHECK(passes(&watch));
	}
}

TEST(filter_passes_whatever_is_no_lone_link_message)
{
	struct watch watch = { .ifindexes = { 99 }, .n_index = 1, .names = { "eth0" }, .n_name = 1 };
	size_t first;

	link_named(RTM_NEWLINK, 7, "veth0");
	CHECK(!passes(&watch));
	/* Two in a datagram. */
	first = msg.len;
	message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
	message_ifinfo(&msg, AF_UNSPEC, 99, 0);
	message_end(&msg);
	CHECK(passes(&watch));
	/* A length that says less or more than there is. */
	for (int delta = -40; delta <= 40; delta += 4) {
		uint32_t len = (uint32_t)((int)first + delta);

		msg.len = first;
		memcpy(msg.buf, &len, sizeof(len));
		CHECK_EQ(passes(&watch), delta != 0);
	}
	/* Another type; another first attribute; too short for a name. */
	for (uint16_t type = 0; type < 32; type++) {
		link_named(type, 7, "veth0");
		CHECK_EQ(passes(&watch), type != RTM_NEWLINK && type != RTM_DELLINK);
	}
	message_clear(&msg);
	message_begin(&msg, RTM_NEWLINK, 0, 0, 0);
	message_ifinfo(&msg, AF_UNSPEC, 7, 0);
	message_u32(&msg, IFLA_MTU, 1500);
	message_string(&msg, IFLA_IFNAME, "a-name-of-letters");
	message_end(&msg);
	CHECK(passes(&watch));
	for (size_t len = 0; len < 52; len++) {
		link_named(RTM_NEWLINK, 7, "veth0");
		msg.len = len;
		CHECK(passes(&watch));
	}
}

static const char *random_name(void)
{
	static char name[20];
	size_t len = (size_t)(test_random() % 17);

	if (test_random() % 2)
		return names[test_random() % NAMES];
	for (size_t i = 0; i < len; i++)
		name[i] = (char)('a' + test_random() % 3);
	name[len] = '\0';
	return name;
}

static void random_message(void)
{
	static const uint16_t types[] = { RTM_NEWLINK, RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR };
	uint64_t r = test_random();

	message_begin(&msg, types[r % 4], 0, 0, 0);
	message_ifinfo(&msg, r >> 8 & 15 ? AF_UNSPEC : AF_BRIDGE, (uint32_t)(r >> 16 & 7), 0);
	if (r >> 20 & 3)
		message_string(&msg, IFLA_IFNAME, random_name());
	for (unsigned int i = 0; i < (r >> 24 & 3); i++) {
		uint64_t value = test_random();

		message_put(&msg, (uint16_t)(value & 15), &value, value >> 8 & 7);
	}
	message_end(&msg);
}

/* Truncates, extends or changes bytes now and then. */
static void damage(void)
{
	uint64_t r = test_random();

	if (!(r & 3) && msg.len)
		msg.len -= (r >> 2) % (msg.len < 60 ? msg.len : 60);
	for (unsigned int i = 0; i < (r >> 8 & 3) && r >> 10 & 1; i++)
		if (msg.len)
			msg.buf[test_random() % msg.len] = (uint8_t)test_random();
}

TEST(filter_never_drops_what_the_decoder_would_report)
{
	unsigned long wanted = 0, dropped = 0;

	for (unsigned int round = 0; round < 400000; round++) {
		struct watch watch = { .n_index = test_random() % 3, .n_name = test_random() % 4 };
		const uint8_t *bytes;

		for (size_t i = 0; i < watch.n_index; i++)
			watch.ifindexes[i] = (uint32_t)(test_random() % 8);
		for (size_t i = 0; i < watch.n_name; i++)
			watch.names[i] = names[test_random() % NAMES];
		message_clear(&msg);
		for (unsigned int i = 0; i <= test_random() % 8 / 7; i++)
			random_message();
		damage();
		bytes = guard_copy(msg.buf, msg.len);
		if (watch_wants(&watch, bytes, msg.len)) {
			wanted++;
			CHECK(watch_passes(&watch, bytes, msg.len));
		} else {
			dropped += !watch_passes(&watch, bytes, msg.len);
		}
	}
	printf("# %lu wanted, all passed; %lu of the rest dropped\n", wanted, dropped);
	CHECK(wanted > 10000 && dropped > 10000);
}

/* Each such load is a dozen instructions to the kernel, which has room for 20 KiB. */
TEST(filter_reads_each_word_of_a_message_once_however_many_names_there_are)
{
	struct sock_filter insns[PFS_FILTER_MAX];
	const char *many[PFS_WATCH_MAX];

	for (size_t n = 1; n <= PFS_WATCH_MAX; n++) {
		size_t loads = 0;
		int len;

		many[n - 1] = "fifteen-letters";
		len = pfs_filter_build(insns, PFS_FILTER_MAX, NULL, 0, many, n);
		CHECK(len > 0);
		for (int i = 0; i < len; i++)
			loads += BPF_CLASS(insns[i].code) == BPF_LD && BPF_MODE(insns[i].code) == BPF_ABS;
		CHECK_EQ(loads, 9);
	}
}

TEST(filter_takes_its_maximum_of_watches_and_refuses_bad_names)
{
	struct sock_filter insns[PFS_FILTER_MAX];
	const char *many[PFS_WATCH_MAX];
	static const uint32_t indexes[PFS_WATCH_MAX];
	static const char *const bad[] = { "", "sixteen-letters-", "more-letters-than-a-name-has" };

	for (size_t i = 0; i < PFS_WATCH_MAX; i++)
		many[i] = "fifteen-letters";
	CHECK(pfs_filter_build(insns, PFS_FILTER_MAX, NULL, 0, many, PFS_WATCH_MAX) > 0);
	CHECK(pfs_filter_build(insns, PFS_FILTER_MAX, indexes, PFS_WATCH_MAX, NULL, 0) > 0);
	for (int n = pfs_filter_build(insns, PFS_FILTER_MAX, indexes, 9, NULL, 0), less = 0; less < 3;
	     less++)
		CHECK_EQ(pfs_filter_build(insns, (size_t)(n - less), indexes, 9, NULL, 0),
			 less ? -EINVAL : n);
	CHECK_EQ(pfs_filter_build(insns, 20, indexes, PFS_WATCH_MAX, NULL, 0), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(pfs_filter_build(insns, PFS_FILTER_MAX, NULL, 0, &bad[i], 1), -EINVAL);
}
