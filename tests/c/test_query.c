// SPDX-License-Identifier: Apache-2.0
/* Questions, settings and events against the fake kernel. */

#include "fake_kernel.h"
#include "harness.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOON_MS 100
#define LONG_MS 20000

static struct fake_kernel fake;
static struct message msg;
static struct pfs_vf vfs[PF_VFS], todo[PF_VFS];
static struct pfs_vf_result results[PF_VFS];
static struct pfs_link got;

static struct pfs_link fresh(void)
{
	return (struct pfs_link)PFS_LINK_INIT;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- Asking --------------------------------------------------------------- */

TEST(link_get_asks_by_index_and_by_name)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 4);
	pfs = fake_kernel_open(&fake, LONG_MS);
	got = fresh();
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), 0);
	CHECK_STR(got.name, "ens5f0");
	CHECK_EQ(got.known & PFS_LINK_NUM_VF, 0);
	got = fresh();
	CHECK_EQ(pfs_link_get(pfs, 0, "ens5f0", &got, vfs, PF_VFS), 0);
	CHECK_EQ(got.ifindex, 7);
	CHECK_EQ(got.vf_count, 4);
	CHECK_EQ(pfs_link_get(pfs, 0, "ens5f0", NULL, NULL, 0), 0);
	CHECK_EQ(pfs_link_get(pfs, 0, "nobody", &got, NULL, 0), -ENODEV);
	CHECK_EQ(pfs_link_get(pfs, 8, NULL, &got, NULL, 0), -ENODEV);
	CHECK_EQ(pfs_link_get(pfs, 0, NULL, &got, NULL, 0), -EINVAL);
	CHECK_EQ(pfs_link_get(pfs, 0, "", &got, NULL, 0), -EINVAL);
	got.size = 3;
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), -EINVAL);
	fake_kernel_close(&fake, pfs);
	CHECK_EQ(fake.vf_gets, 1);
}

TEST(link_get_reads_any_number_of_vfs)
{
	static const uint32_t counts[] = { 0, 1, 221, 222, 256, 334, 335, 512, 1024 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (int statistics = 0; statistics < 2; statistics++) {
			struct pfs *pfs;
			bool fits = counts[i] * (statistics ? 296 : 196) < 250u * 1024;

			fake_kernel_init(&fake, counts[i]);
			fake.pf.statistics = statistics;
			pfs = fake_kernel_open(&fake, LONG_MS);
			got = fresh();
			CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, vfs, PF_VFS),
				 fits ? 0 : -EMSGSIZE);
			CHECK_EQ(got.vf_count, fits ? counts[i] : 0);
			/* What was too large is gone: the next answer is read. */
			got = fresh();
			CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), 0);
			fake_kernel_close(&fake, pfs);
		}
	}
}

TEST(link_get_passes_over_late_answers_and_those_for_others)
{
	for (int which = 1; which < 4; which++) {
		struct pfs *pfs;

		fake_kernel_init(&fake, 1);
		fake.stale_first = which & 1;
		fake.foreign_port_first = which & 2;
		pfs = fake_kernel_open(&fake, LONG_MS);
		for (int i = 0; i < 20; i++) {
			got = fresh();
			CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), 0);
			CHECK_EQ(got.actor_oper_port_state, 0x3f);
			CHECK_STR(pfs_extack(pfs), "");
		}
		fake_kernel_close(&fake, pfs);
	}
}

TEST(link_get_refuses_answers_that_are_none)
{
	for (int which = 0; which < 6; which++) {
		struct pfs *pfs;

		fake_kernel_init(&fake, 1);
		fake.empty_ack = which == 0;
		fake.no_link = which == 1;
		fake.bridge_family = which == 2;
		fake.bad_frame = which == 3;
		fake.half_header = which == 4;
		fake.positive_error = which == 5;
		pfs = fake_kernel_open(&fake, LONG_MS);
		for (int i = 0; i < 3; i++) {
			struct pfs_bond bond = PFS_BOND_INIT;

			got = fresh();
			CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, vfs, PF_VFS), -EBADMSG);
			CHECK_EQ(got.ifindex, 0);
			CHECK_EQ(pfs_bond_get(pfs, 20, &bond), -EBADMSG);
			CHECK_EQ(bond.ifindex, 0);
		}
		fake_kernel_close(&fake, pfs);
	}
}

TEST(link_get_says_that_the_answer_is_larger_than_the_buffer)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	fake.oversize = 256u * 1024 + 1;
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), -EMSGSIZE);
	fake_kernel_close(&fake, pfs);
}

TEST(every_question_ends_after_its_timeout)
{
	struct pfs_bond bond = PFS_BOND_INIT;
	struct pfs_link links[2] = { PFS_LINK_INIT };
	struct pfs *pfs;
	int64_t began;

	fake_kernel_init(&fake, 1);
	fake.mute = true;
	pfs = fake_kernel_open(&fake, SOON_MS);
	began = now_ms();
	got = fresh();
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), -ETIMEDOUT);
	CHECK_EQ(pfs_bond_get(pfs, 7, &bond), -ETIMEDOUT);
	CHECK_EQ(pfs_link_dump(pfs, links, 2), -ETIMEDOUT);
	CHECK_EQ(pfs_vf_set_permitted(pfs), -ETIMEDOUT);
	CHECK(now_ms() - began >= 4 * SOON_MS && now_ms() - began < 40 * SOON_MS);
	fake_kernel_close(&fake, pfs);
}

TEST(a_peer_that_does_not_read_costs_no_more_than_the_timeout)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	const int bytes = 1;
	int64_t began = now_ms();
	struct pfs *pfs;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	options.timeout_ms = 10;
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, &options), 0);
	for (int i = 0; i < 50; i++)
		CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), -ETIMEDOUT);
	CHECK(now_ms() - began < LONG_MS);
	pfs_close(pfs);
	close(fds[1]);
}

/* A timeout of more milliseconds than poll() can count must not become none, or forever. */
TEST(a_timeout_of_49_days_is_waited_for)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	pfs = fake_kernel_open(&fake, 0xffffffff);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), 0);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), 0);
	fake_kernel_close(&fake, pfs);
}

TEST(the_end_of_the_other_side_is_an_error)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	pfs = fake_kernel_open(&fake, LONG_MS);
	shutdown(fake.request_fd, SHUT_WR);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), -EPIPE);
	shutdown(fake.request_fd, SHUT_RDWR);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), -EPIPE);
	CHECK_EQ(pfs_link_dump(pfs, NULL, 0), -EPIPE);
	shutdown(fake.event_fd, SHUT_RDWR);
	CHECK_EQ(pfs_event_next(pfs, NULL), -EPIPE);
	fake_kernel_close(&fake, pfs);
}

TEST(errors_carry_the_kernels_words_until_the_next_request)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	fake.text = "No such device, says the fake";
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_STR(pfs_extack(pfs), "");
	CHECK_EQ(pfs_link_get(pfs, 0, "nobody", NULL, NULL, 0), -ENODEV);
	CHECK_STR(pfs_extack(pfs), fake.text);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), 0);
	CHECK_STR(pfs_extack(pfs), "");
	fake_kernel_close(&fake, pfs);
}

TEST(bond_get_reads_a_bond_and_refuses_other_links)
{
	struct pfs_bond bond = PFS_BOND_INIT;
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_bond_get(pfs, 20, &bond), 0);
	CHECK_EQ(bond.mode, 4);
	CHECK_STR(bond.name, "bond0");
	CHECK_EQ(pfs_bond_get(pfs, 7, &bond), -EMEDIUMTYPE);
	CHECK_EQ(pfs_bond_get(pfs, 0, &bond), -EINVAL);
	bond.size = 1;
	CHECK_EQ(pfs_bond_get(pfs, 20, &bond), -EINVAL);
	bond.size = sizeof(bond);
	CHECK_EQ(pfs_bond_get(pfs, 21, &bond), -ENODEV);
	fake_kernel_close(&fake, pfs);
}

TEST(link_dump_lists_links_and_counts_those_beyond_the_capacity)
{
	static struct pfs_link links[100];
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	fake.links = 50;
	fake.stale_first = true;
	pfs = fake_kernel_open(&fake, LONG_MS);
	for (size_t capacity = 0; capacity <= 100; capacity += 25) {
		memset(links, 0xee, sizeof(links));
		links[0].size = sizeof(links[0]);
		CHECK_EQ(pfs_link_dump(pfs, links, capacity), 50);
		for (uint32_t i = 0; i < capacity && i < 50; i++) {
			CHECK_EQ(links[i].ifindex, i + 1);
			CHECK_EQ(links[i].size, sizeof(links[0]));
		}
		if (capacity < 50)
			CHECK_EQ(links[capacity].ifindex, 0xeeeeeeee);
	}
	links[0].size = 0;
	CHECK_EQ(pfs_link_dump(pfs, links, 100), -EINVAL);
	links[0].size = sizeof(links[0]) + 1;
	CHECK_EQ(pfs_link_dump(pfs, links, 100), -EINVAL);
	fake_kernel_close(&fake, pfs);
	CHECK_EQ(fake.dumps, 5);
}

TEST(link_dump_steps_by_the_size_of_a_newer_callers_struct)
{
	struct newer {
		struct pfs_link link;
		uint32_t later;
	} links[3];
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	fake.links = 3;
	memset(links, 0xee, sizeof(links));
	links[0].link.size = sizeof(links[0]);
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_link_dump(pfs, &links[0].link, 3), 3);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK_EQ(links[i].link.ifindex, i + 1);
		CHECK_EQ(links[i].later, 0);
	}
	fake_kernel_close(&fake, pfs);
}

TEST(link_dump_asks_again_while_the_links_change_but_not_for_ever)
{
	for (int interrupted = 0; interrupted < 7; interrupted++) {
		struct pfs *pfs;

		fake_kernel_init(&fake, 1);
		fake.dump_interrupted = interrupted;
		pfs = fake_kernel_open(&fake, LONG_MS);
		CHECK_EQ(pfs_link_dump(pfs, NULL, 0), interrupted < 5 ? 2 : -EAGAIN);
		fake_kernel_close(&fake, pfs);
		CHECK_EQ(fake.dumps, interrupted < 5 ? interrupted + 1 : 5);
	}
}

TEST(link_dump_that_ended_early_leaves_the_next_one_alone)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	fake.links = 50;
	fake.dump_cut_short = 1;
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_link_dump(pfs, NULL, 0), -EBADMSG);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(pfs_link_dump(pfs, NULL, 0), 50);
	got = fresh();
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), 0);
	fake_kernel_close(&fake, pfs);
}

TEST(link_dump_asks_again_where_another_is_under_way_but_not_for_ever)
{
	for (int busy = 0; busy < 7; busy++) {
		struct pfs *pfs;

		fake_kernel_init(&fake, 1);
		fake.dump_busy = busy;
		pfs = fake_kernel_open(&fake, LONG_MS);
		CHECK_EQ(pfs_link_dump(pfs, NULL, 0), busy < 5 ? 2 : -EBUSY);
		fake_kernel_close(&fake, pfs);
	}
}

TEST(pf_get_gives_a_pf_with_its_bond_and_judges_it)
{
	static const struct pfs_bond no_bond = PFS_BOND_INIT;
	static const struct pfs_link no_link = PFS_LINK_INIT;
	struct pfs_bond bond = PFS_BOND_INIT;
	struct pfs *pfs;

	fake_kernel_init(&fake, 3);
	pfs = fake_kernel_open(&fake, LONG_MS);
	got = fresh();
	CHECK_EQ(pfs_pf_get(pfs, 0, "ens5f0", &got, &bond, vfs, PF_VFS), PFS_LACP_UP);
	CHECK_EQ(got.vf_count, 3);
	CHECK_STR(got.name, "ens5f0");
	CHECK_STR(bond.name, "bond0");
	CHECK_EQ(bond.mode, 4);
	CHECK_EQ(pfs_pf_get(pfs, 0, "nobody", &got, &bond, NULL, 0), PFS_LACP_ABSENT);
	CHECK(!memcmp(&got, &no_link, sizeof(got)));
	CHECK(!memcmp(&bond, &no_bond, sizeof(bond)));
	CHECK_EQ(pfs_pf_get(pfs, 0, NULL, &got, &bond, NULL, 0), -EINVAL);
	got.size = 0;
	CHECK_EQ(pfs_pf_get(pfs, 7, NULL, &got, &bond, NULL, 0), -EINVAL);
	got.size = sizeof(got);
	bond.size = 0;
	CHECK_EQ(pfs_pf_get(pfs, 7, NULL, &got, &bond, NULL, 0), -EINVAL);
	fake_kernel_close(&fake, pfs);
}

TEST(pf_get_of_a_bond_that_went_or_is_another_link_by_now_goes_by_the_port)
{
	for (int which = 0; which < 4; which++) {
		static const int want[] = { PFS_LACP_UP, PFS_LACP_UP, PFS_LACP_WRONG_MODE, -EIO };
		struct pfs_bond bond = PFS_BOND_INIT;
		struct pfs *pfs;

		fake_kernel_init(&fake, 0);
		if (which == 0)
			fake.bond.ifindex = 21;
		else if (which == 1)
			fake.bond.kind = "vrf";
		else if (which == 2)
			fake.bond.mode = 1;
		fake.get_error = which == 3 ? -EIO : 0;
		fake.get_errors_after = 1;
		pfs = fake_kernel_open(&fake, LONG_MS);
		got = fresh();
		CHECK_EQ(pfs_pf_get(pfs, 7, NULL, &got, &bond, NULL, 0), want[which]);
		CHECK_EQ(bond.known != 0, which == 2);
		CHECK_EQ(got.ifindex, which == 3 ? 0 : 7);
		fake_kernel_close(&fake, pfs);
	}
}

TEST(pf_get_passes_on_what_link_get_says)
{
	struct pfs_bond bond = PFS_BOND_INIT;
	struct pfs *pfs;

	fake_kernel_init(&fake, 0);
	fake.get_error = -EMSGSIZE;
	pfs = fake_kernel_open(&fake, LONG_MS);
	got = fresh();
	CHECK_EQ(pfs_pf_get(pfs, 7, NULL, &got, &bond, NULL, 0), -EMSGSIZE);
	fake_kernel_close(&fake, pfs);
}

TEST(link_dump_tells_how_it_ended)
{
	for (int which = 0; which < 3; which++) {
		static const int want[] = { -EMSGSIZE, -EPERM, -EBADMSG };
		struct pfs *pfs;

		fake_kernel_init(&fake, 1);
		fake.links = 20;
		fake.dump_error = which == 2 ? 0 : want[which];
		fake.dump_refused = which == 1;
		fake.dump_malformed = which == 2;
		pfs = fake_kernel_open(&fake, LONG_MS);
		CHECK_EQ(pfs_link_dump(pfs, NULL, 0), want[which]);
		/* It was read to its end: the next question finds its own answer. */
		got = fresh();
		CHECK_EQ(pfs_link_get(pfs, 7, NULL, &got, NULL, 0), 0);
		fake_kernel_close(&fake, pfs);
	}
}

/* ---- Setting -------------------------------------------------------------- */

static size_t all_to(uint32_t n, uint32_t link_state)
{
	for (uint32_t vf = 0; vf < n; vf++)
		todo[vf] = (struct pfs_vf){ vf, link_state };
	memset(results, 0xee, sizeof(results));
	return n;
}

/* What the results say is what the fake kernel holds. */
static void check_results(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t vf = todo[i].vf;
		bool holds = fake.pf.link_state[vf] == todo[i].link_state;

		if (!fake.vf_ignored[vf])
			CHECK_EQ(results[i].error == 0, holds);
		CHECK(results[i].error <= 0);
	}
}

TEST(vf_set_sets_all_in_one_message_or_in_chunks)
{
	static const size_t chunks[] = { 0, 1, 2, 7, 64, 255, 256, 257, 5000 };

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		size_t chunk = chunks[i] && chunks[i] < 256 ? chunks[i] : 256;
		struct pfs *pfs;

		fake_kernel_init(&fake, 256);
		pfs = fake_kernel_open(&fake, LONG_MS);
		CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(256, PFS_VF_DISABLE), chunks[i], results), 0);
		fake_kernel_close(&fake, pfs);
		check_results(256);
		CHECK_EQ(fake.sets, (256 + chunk - 1) / chunk);
		CHECK_EQ(fake.largest_set, chunk);
		CHECK_EQ(fake.gets, 0);
		for (uint32_t vf = 0; vf < 256; vf++)
			CHECK_EQ(fake.changes[vf].vf, vf);
	}
}

TEST(vf_set_refuses_what_cannot_be_meant_before_it_sends_anything)
{
	static const struct {
		struct pfs_vf vfs[3];
	} rows[] = {
		{ { { 0, 3 }, { 1, 0 }, { 2, 0 } } },
		{ { { 0, 0 }, { 1, 0 }, { 2, 0xffffffff } } },
		{ { { 0, 1 }, { 1, 1 }, { 0, 1 } } },
		{ { { 0, 1 }, { 65536, 1 }, { 2, 1 } } },
		{ { { 0xffffffff, 1 }, { 1, 1 }, { 2, 1 } } },
	};
	struct pfs *pfs;

	fake_kernel_init(&fake, 3);
	pfs = fake_kernel_open(&fake, LONG_MS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(results, 0xee, sizeof(results));
		CHECK_EQ(pfs_vf_set(pfs, 7, rows[i].vfs, 3, 0, results), -EINVAL);
		for (int k = 0; k < 3; k++) {
			CHECK_EQ(results[k].error, -ECANCELED);
			CHECK_EQ(results[k].scope, PFS_SCOPE_PF);
			CHECK_STR(results[k].extack, "");
		}
	}
	CHECK_EQ(pfs_vf_set(pfs, 0, todo, 1, 0, results), -EINVAL);
	CHECK_EQ(pfs_vf_set(pfs, 7, NULL, 1, 0, results), -EINVAL);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, 1, 0, NULL), -EINVAL);
	CHECK_EQ(pfs_vf_set(pfs, 7, NULL, 0, 0, NULL), 0);
	fake_kernel_close(&fake, pfs);
	CHECK_EQ(fake.datagrams, 0);
}

TEST(vf_set_takes_more_vfs_than_one_message_holds)
{
	static struct pfs_vf many[65536];
	static struct pfs_vf_result said[65536];
	struct pfs *pfs;

	fake_kernel_init(&fake, 0);
	for (uint32_t vf = 0; vf < 65536; vf++)
		many[vf] = (struct pfs_vf){ vf, PFS_VF_ENABLE };
	fake.vanish_after = 3;
	pfs = fake_kernel_open(&fake, LONG_MS);
	/* The fake has none of them: EINVAL at the first, then one by one, then it is gone. */
	CHECK_EQ(pfs_vf_set(pfs, 7, many, 65536, 0, said), 65536);
	fake_kernel_close(&fake, pfs);
	CHECK_EQ(fake.largest_set, 4094);
	CHECK_EQ(said[0].error, -EINVAL);
	CHECK_EQ(said[1].error, -EINVAL);
	CHECK_EQ(said[2].error, -ENODEV);
	CHECK_EQ(said[65535].error, -ECANCELED);
}

TEST(vf_set_tells_which_vfs_failed_and_why)
{
	static const int errors[] = { -EBUSY, -EAGAIN, -EOPNOTSUPP, -EINVAL, -EIO, -ETIMEDOUT,
				      -EPERM, -ENODEV, -EPIPE };
	static const size_t chunks[] = { 0, 1, 10, 33 };

	for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
			struct pfs *pfs;
			int failed;

			fake_kernel_init(&fake, 100);
			for (uint32_t vf = 0; vf < 100; vf++) {
				if (vf % 17 == 3) {
					fake.vf_error[vf] = errors[e];
					fake.vf_error_times[vf] = VF_ALWAYS;
				}
			}
			fake.split_acks = e & 1;
			fake.text = "not this one";
			pfs = fake_kernel_open(&fake, LONG_MS);
			failed = pfs_vf_set(pfs, 7, todo, all_to(100, PFS_VF_DISABLE), chunks[c],
					    results);
			CHECK_EQ(failed, 6);
			CHECK_STR(pfs_extack(pfs), "not this one");
			fake_kernel_close(&fake, pfs);
			check_results(100);
			for (uint32_t vf = 0; vf < 100; vf++) {
				CHECK_EQ(results[vf].error, vf % 17 == 3 ? errors[e] : 0);
				CHECK_EQ(results[vf].scope, PFS_SCOPE_VF);
				CHECK_STR(results[vf].extack, vf % 17 == 3 ? "not this one" : "");
			}
		}
	}
}

TEST(vf_set_tries_once_more_what_failed_and_not_what_was_done)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 50);
	fake.vf_error[20] = -EAGAIN;
	fake.vf_error_times[20] = 1;
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(50, PFS_VF_DISABLE), 0, results), 0);
	fake_kernel_close(&fake, pfs);
	check_results(50);
	/* 21 together, then the 30 that were left: writes reset VFs on some NICs. */
	CHECK_EQ(fake.driver_calls, 51);
	CHECK_EQ(fake.vf_gets, 1);
}

TEST(vf_set_of_a_driver_without_a_setter_fails_for_each)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 40);
	for (uint32_t vf = 0; vf < 40; vf++) {
		fake.vf_error[vf] = -EOPNOTSUPP;
		fake.vf_error_times[vf] = VF_ALWAYS;
	}
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(40, PFS_VF_DISABLE), 0, results), 40);
	fake_kernel_close(&fake, pfs);
	for (size_t i = 0; i < 40; i++)
		CHECK_EQ(results[i].error, -EOPNOTSUPP);
}

TEST(vf_set_that_is_not_permitted_tries_nothing_else)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 40);
	fake.not_permitted = true;
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(40, PFS_VF_DISABLE), 10, results), 40);
	CHECK_EQ(pfs_vf_set_permitted(pfs), -EPERM);
	fake_kernel_close(&fake, pfs);
	for (size_t i = 0; i < 40; i++) {
		CHECK_EQ(results[i].error, i < 10 ? -EPERM : -ECANCELED);
		CHECK_EQ(results[i].scope, PFS_SCOPE_PF);
	}
	/* The setting, and twice whether that is permitted. */
	CHECK_EQ(fake.datagrams, 3);
	CHECK_EQ(fake.driver_calls, 0);
}

/* The PF goes after the n-th message, whichever that is. */
TEST(vf_set_of_a_pf_that_vanishes_between_two_messages)
{
	for (int after = 1; after < 100; after++) {
		struct pfs *pfs;
		int failed, canceled = 0;

		fake_kernel_init(&fake, 100);
		fake.vf_error[2] = -EBUSY;
		fake.vf_error_times[2] = VF_ALWAYS;
		fake.vanish_after = after;
		pfs = fake_kernel_open(&fake, LONG_MS);
		failed = pfs_vf_set(pfs, 7, todo, all_to(100, PFS_VF_DISABLE), 50, results);
		fake_kernel_close(&fake, pfs);
		for (size_t i = 0; i < 100; i++) {
			if (!results[i].error)
				CHECK_EQ(fake.pf.link_state[i], PFS_VF_DISABLE);
			CHECK(results[i].error == 0 || results[i].error == -EBUSY || results[i].error == -ENODEV ||
			      results[i].error == -ECANCELED);
			/* Never tried, and nothing is tried after that. */
			canceled += results[i].error == -ECANCELED;
			CHECK(!canceled || results[i].error == -ECANCELED);
		}
		CHECK(failed >= 1);
		if (after == 1)
			CHECK_EQ(canceled, 100 - 50);
	}
}

TEST(vf_set_of_a_pf_that_vanishes_before_it_is_read_again)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 30);
	fake.vf_error[5] = -EBUSY;
	fake.vf_error_times[5] = VF_ALWAYS;
	fake.get_error = -ENODEV;
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(30, PFS_VF_DISABLE), 20, results), 30);
	fake_kernel_close(&fake, pfs);
	for (size_t i = 0; i < 30; i++)
		CHECK_EQ(results[i].error, i < 20 ? -ENODEV : -ECANCELED);
}

TEST(vf_set_goes_on_one_by_one_where_the_vfs_cannot_be_read)
{
	for (int which = 0; which < 2; which++) {
		struct pfs *pfs;

		fake_kernel_init(&fake, 30);
		fake.vf_error[5] = -EBUSY;
		fake.vf_error_times[5] = VF_ALWAYS;
		fake.get_error = which ? -EMSGSIZE : 0;
		fake.bridge_family = !which;
		pfs = fake_kernel_open(&fake, LONG_MS);
		CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(30, PFS_VF_DISABLE), 0, results), 1);
		fake_kernel_close(&fake, pfs);
		check_results(30);
		CHECK_EQ(results[5].error, -EBUSY);
	}
}

TEST(vf_set_reads_back_where_an_ack_was_lost)
{
	for (int lost = 1; lost < 8; lost++) {
		struct pfs *pfs;
		int64_t began;
		int failed;

		fake_kernel_init(&fake, 60);
		fake.vf_error[30] = -EBUSY;
		fake.vf_error_times[30] = 1;
		fake.drop_acks = lost;
		pfs = fake_kernel_open(&fake, SOON_MS);
		began = now_ms();
		failed = pfs_vf_set(pfs, 7, todo, all_to(60, PFS_VF_DISABLE), 0, results);
		CHECK(now_ms() - began < 10 * SOON_MS);
		fake_kernel_close(&fake, pfs);
		/* The first was for all, and is made good; where a second is missing it ends. */
		CHECK_EQ(failed, lost > 1 ? 30 : 0);
		for (size_t i = 0; i < 60; i++) {
			CHECK_EQ(results[i].error, lost == 1 || i < 30 ? 0 :
						   i == 30 ? -ETIMEDOUT : -ECANCELED);
			CHECK(!results[i].error || results[i].scope == PFS_SCOPE_PF);
		}
	}
}

TEST(vf_set_reads_acks_in_any_packing)
{
	for (int which = 0; which < 16; which++) {
		struct pfs *pfs;

		fake_kernel_init(&fake, 80);
		for (uint32_t vf = 0; vf < 80; vf += 9) {
			fake.vf_error[vf] = -EINVAL;
			fake.vf_error_times[vf] = VF_ALWAYS;
		}
		fake.split_acks = which & 1;
		fake.double_acks = which & 2;
		fake.done_before_acks = which & 4;
		fake.stale_first = which & 8;
		pfs = fake_kernel_open(&fake, LONG_MS);
		CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(80, PFS_VF_ENABLE), 0, results), 9);
		fake_kernel_close(&fake, pfs);
		check_results(80);
	}
}

TEST(vf_set_tells_of_acks_that_cannot_be_read)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 3);
	fake.bad_acks = true;
	pfs = fake_kernel_open(&fake, LONG_MS);
	/* Applied and read back all the same. */
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(3, PFS_VF_ENABLE), 0, results), 0);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(1, PFS_VF_ENABLE), 0, results), 1);
	CHECK_EQ(results[0].error, -EBADMSG);
	fake_kernel_close(&fake, pfs);
}

TEST(vf_set_ends_where_sending_fails)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 30);
	pfs = fake_kernel_open(&fake, LONG_MS);
	shutdown(fake.request_fd, SHUT_RDWR);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(30, PFS_VF_DISABLE), 0, results), 30);
	for (size_t i = 0; i < 30; i++)
		CHECK_EQ(results[i].error, -EPIPE);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(30, PFS_VF_DISABLE), 1, results), 30);
	for (size_t i = 0; i < 30; i++) {
		CHECK_EQ(results[i].error, i ? -ECANCELED : -EPIPE);
		CHECK_EQ(results[i].scope, PFS_SCOPE_PF);
	}
	fake_kernel_close(&fake, pfs);
}

TEST(vf_set_believes_a_driver_that_accepts_and_does_nothing)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 10);
	fake.vf_ignored[4] = true;
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, all_to(10, PFS_VF_ENABLE), 0, results), 0);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, vfs, PF_VFS), 0);
	CHECK_EQ(vfs[4].link_state, PFS_VF_AUTO);
	fake_kernel_close(&fake, pfs);
}

/* Whatever fails and however often, the results are what the kernel holds. */
TEST(vf_set_results_agree_with_the_kernel_for_random_failures)
{
	for (int round = 0; round < 100; round++) {
		uint32_t n = 1 + (uint32_t)(test_random() % 200);
		struct pfs *pfs;
		int failed, counted = 0;

		fake_kernel_init(&fake, n);
		fake.pf.backwards = test_random() % 2;
		for (uint32_t vf = 0; vf < n; vf++) {
			fake.pf.link_state[vf] = (uint8_t)(test_random() % 3);
			fake.pf.left_out[vf] = test_random() % 16 == 0;
			if (test_random() % 8 == 0) {
				fake.vf_error[vf] = -(int)(1 + test_random() % 3 * 15);
				fake.vf_error_times[vf] = (uint32_t)(test_random() % 3);
			}
		}
		all_to(n, PFS_VF_DISABLE);
		for (uint32_t i = n - 1; i > 0; i--) {
			uint32_t k = (uint32_t)(test_random() % (i + 1));
			struct pfs_vf swap = todo[i];

			todo[i] = todo[k];
			todo[k] = swap;
			todo[i].link_state = (uint32_t)(test_random() % 3);
		}
		pfs = fake_kernel_open(&fake, LONG_MS);
		failed = pfs_vf_set(pfs, 7, todo, n, test_random() % 70, results);
		fake_kernel_close(&fake, pfs);
		for (uint32_t i = 0; i < n; i++) {
			counted += results[i].error != 0;
			/* A failure may concern a VF that was as wanted already. */
			if (!results[i].error)
				CHECK_EQ(fake.pf.link_state[todo[i].vf], todo[i].link_state);
			else
				CHECK_EQ(results[i].error, fake.vf_error[todo[i].vf]);
		}
		CHECK_EQ(failed, counted);
	}
}

TEST(vf_set_permitted_changes_nothing)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 3);
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_vf_set_permitted(pfs), 0);
	fake_kernel_close(&fake, pfs);
	CHECK_EQ(fake.sets, 1);
	CHECK_EQ(fake.driver_calls, 0);
}

/* ---- Events --------------------------------------------------------------- */

static void put_event(uint16_t type, uint32_t ifindex, uint8_t family)
{
	message_begin(&msg, type, 0, 0, 0);
	message_ifinfo(&msg, family, ifindex, 0);
	message_string(&msg, IFLA_IFNAME, "ens5f0");
	message_end(&msg);
}

TEST(event_next_yields_each_link_message_of_each_datagram_in_order)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 0);
	pfs = fake_kernel_open(&fake, LONG_MS);
	CHECK_EQ(pfs_event_next(pfs, NULL), -EAGAIN);
	for (uint32_t datagram = 0; datagram < 3; datagram++) {
		message_clear(&msg);
		put_event(RTM_NEWLINK, 10 * datagram + 1, AF_UNSPEC);
		put_event(RTM_DELLINK, 10 * datagram + 1, AF_BRIDGE);
		put_event(NLMSG_NOOP, 0, AF_UNSPEC);
		put_event(RTM_DELLINK, 10 * datagram + 2, AF_UNSPEC);
		put_event(RTM_NEWADDR, 0, AF_UNSPEC);
		fake_kernel_event(&fake, msg.buf, msg.len);
	}
	for (uint32_t datagram = 0; datagram < 3; datagram++) {
		struct pollfd pfd = { .fd = pfs_fd(pfs), .events = POLLIN };

		if (datagram == 0)
			CHECK_EQ(poll(&pfd, 1, 1000), 1);
		got = fresh();
		CHECK_EQ(pfs_event_next(pfs, &got), RTM_NEWLINK);
		CHECK_EQ(got.ifindex, 10 * datagram + 1);
		CHECK_STR(got.name, "ens5f0");
		CHECK_EQ(pfs_event_next(pfs, &got), RTM_DELLINK);
		CHECK_EQ(got.ifindex, 10 * datagram + 2);
	}
	CHECK_EQ(pfs_event_next(pfs, &got), -EAGAIN);
	fake_kernel_close(&fake, pfs);
}

TEST(event_next_says_what_it_cannot_read_and_goes_on)
{
	static const uint8_t half[12] = { 12 };
	struct pfs *pfs;

	fake_kernel_init(&fake, 0);
	pfs = fake_kernel_open(&fake, LONG_MS);
	/* A malformed link between two good ones; a frame that lies; half a header; too much. */
	message_clear(&msg);
	put_event(RTM_NEWLINK, 1, AF_UNSPEC);
	put_event(RTM_NEWLINK, 2, AF_UNSPEC);
	msg.buf[msg.start + 32] = 3;
	put_event(RTM_NEWLINK, 3, AF_UNSPEC);
	fake_kernel_event(&fake, msg.buf, msg.len);
	message_clear(&msg);
	put_event(RTM_NEWLINK, 4, AF_UNSPEC);
	fake_kernel_event(&fake, msg.buf, msg.len - 1);
	fake_kernel_event(&fake, half, sizeof(half));
	fake_kernel_event(&fake, msg.buf, 64u * 1024 + 1);
	put_event(RTM_NEWLINK, 5, AF_UNSPEC);
	fake_kernel_event(&fake, msg.buf, msg.len);

	got = fresh();
	CHECK_EQ(pfs_event_next(pfs, &got), RTM_NEWLINK);
	CHECK_EQ(pfs_event_next(pfs, &got), -EBADMSG);
	CHECK_EQ(pfs_event_next(pfs, &got), RTM_NEWLINK);
	CHECK_EQ(got.ifindex, 3);
	CHECK_EQ(pfs_event_next(pfs, &got), -EBADMSG);
	CHECK_EQ(pfs_event_next(pfs, &got), -EBADMSG);
	CHECK_EQ(pfs_event_next(pfs, &got), -EMSGSIZE);
	CHECK_EQ(pfs_event_next(pfs, &got), RTM_NEWLINK);
	CHECK_EQ(pfs_event_next(pfs, &got), RTM_NEWLINK);
	CHECK_EQ(got.ifindex, 5);
	/* A struct without its size costs no event. */
	fake_kernel_event(&fake, msg.buf, msg.len);
	got.size = 0;
	CHECK_EQ(pfs_event_next(pfs, &got), -EINVAL);
	CHECK_EQ(pfs_event_next(pfs, NULL), RTM_NEWLINK);
	fake_kernel_close(&fake, pfs);
}

/* ---- Tap ------------------------------------------------------------------ */

struct tapped {
	char order[32];
	size_t n, lens[32];
	uint16_t types[32];
};

static void tapped(void *arg, int direction, const void *buf, size_t len)
{
	struct tapped *tapped = arg;

	if (tapped->n == 31)
		return;
	tapped->order[tapped->n] = "?!*"[direction];
	tapped->lens[tapped->n] = len;
	tapped->types[tapped->n] = len ? ((const struct nlmsghdr *)buf)->nlmsg_type : 0;
	tapped->n++;
}

TEST(tap_is_shown_what_is_sent_and_received_in_this_order)
{
	static const uint16_t types[] = { RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK, NLMSG_ERROR,
					  RTM_NEWLINK };
	struct tapped shown = { 0 };
	struct pfs *pfs;

	fake_kernel_init(&fake, 1);
	pfs = fake_kernel_open(&fake, LONG_MS);
	pfs_tap(pfs, tapped, &shown);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), 0);
	todo[0] = (struct pfs_vf){ 0, PFS_VF_DISABLE };
	CHECK_EQ(pfs_vf_set(pfs, 7, todo, 1, 0, results), 0);
	message_clear(&msg);
	put_event(RTM_NEWLINK, 7, AF_UNSPEC);
	message_end(&msg);
	fake_kernel_event(&fake, msg.buf, msg.len);
	CHECK_EQ(pfs_event_next(pfs, NULL), RTM_NEWLINK);
	CHECK_EQ(pfs_event_next(pfs, NULL), -EAGAIN);
	CHECK_STR(shown.order, "?!?!*");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		CHECK_EQ(shown.types[i], types[i]);
	CHECK_EQ(shown.lens[2], 36 + 16);
	CHECK_EQ(shown.lens[4], msg.len);
	pfs_tap(pfs, NULL, NULL);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), 0);
	CHECK_EQ(shown.n, 5);
	fake_kernel_close(&fake, pfs);
}

TEST(tap_is_shown_no_bytes_where_events_were_lost)
{
	static uint8_t large[65 * 1024];
	struct tapped shown = { 0 };
	struct pfs *pfs;

	fake_kernel_init(&fake, 0);
	pfs = fake_kernel_open(&fake, LONG_MS);
	pfs_tap(pfs, tapped, &shown);
	fake_kernel_event(&fake, large, sizeof(large));
	CHECK_EQ(pfs_event_next(pfs, NULL), -EMSGSIZE);
	CHECK_STR(shown.order, "*");
	CHECK_EQ(shown.lens[0], 0);
	fake_kernel_close(&fake, pfs);
}

/* ---- Opening -------------------------------------------------------------- */

TEST(open_fds_refuses_what_cannot_work_and_leaves_it_to_the_caller)
{
	struct {
		struct pfs_options options;
		uint32_t later;
	} newer = { PFS_OPTIONS_INIT, 0 };
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs *pfs;
	int fds[2], unbound = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int generic = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int none[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	CHECK_EQ(pipe(none), 0);
	CHECK_EQ(pfs_open_fds(&pfs, -1, -1, NULL), -EINVAL);
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], fds[0], NULL), -EINVAL);
	CHECK_EQ(pfs_open_fds(&pfs, -1, fds[0], NULL), -EBADF);
	CHECK_EQ(pfs_open_fds(&pfs, none[0], -1, NULL), -ENOTSOCK);
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], none[0], NULL), -ENOTSOCK);
	CHECK_EQ(pfs_open_fds(&pfs, unbound, -1, NULL), -EINVAL);
	if (generic >= 0) {
		CHECK_EQ(bind(generic, (struct sockaddr *)&any, sizeof(any)), 0);
		CHECK_EQ(pfs_open_fds(&pfs, generic, -1, NULL), -EINVAL);
		close(generic);
	}
	options.size = 8;
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, &options), -EINVAL);
	CHECK_EQ(pfs_open(&pfs, &options), -EINVAL);
	options = (struct pfs_options)PFS_OPTIONS_INIT;
	options.flags = 1u << 31;
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, &options), -E2BIG);
	options.flags = PFS_OPEN_NO_EVENTS;
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], fds[1], &options), -EINVAL);
	/* A namespace takes its flag, and the flag a namespace. */
	options.flags = 0;
	options.netns_fd = fds[1];
	CHECK_EQ(pfs_open(&pfs, &options), -EINVAL);
	options.flags = PFS_OPEN_NETNS;
	options.netns_fd = -1;
	CHECK_EQ(pfs_open(&pfs, &options), -EINVAL);
	/* A newer caller is welcome as long as it wants nothing new. */
	newer.options.size = sizeof(newer);
	newer.later = 1;
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, &newer.options), -E2BIG);
	newer.later = 0;
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, &newer.options), 0);
	CHECK_EQ(pfs_fd(pfs), -EBADF);
	CHECK_EQ(pfs_event_next(pfs, NULL), -EBADF);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, NULL, 0), -EBADF);
	pfs_close(pfs);
	pfs_close(NULL);
	/* The first belonged to the context; the rest is still ours. */
	CHECK(close(fds[0]) < 0);
	CHECK_EQ(close(fds[1]) | close(none[0]) | close(none[1]) | close(unbound), 0);
}

TEST(version_of_the_library_is_the_headers)
{
	char text[16];

	snprintf(text, sizeof(text), "%d.%d", PFS_VERSION_MAJOR, PFS_VERSION_MINOR);
	CHECK_STR(pfs_version(), text);
}

/* As many do who know no initialiser: descriptor 0 is somebody's standard input. */
TEST(options_of_zeros_are_the_defaults)
{
	struct pfs_options options;
	struct pfs *pfs;

	memset(&options, 0, sizeof(options));
	CHECK_EQ(pfs_open(&pfs, &options), -EINVAL);
	options.size = sizeof(options);
	CHECK_EQ(pfs_open(&pfs, &options), 0);
	pfs_close(pfs);
}

TEST(a_datagram_pair_that_was_closed_says_so_when_something_is_sent)
{
	struct pfs *pfs;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(pfs_open_fds(&pfs, fds[0], -1, NULL), 0);
	close(fds[1]);
	CHECK_EQ(pfs_link_get(pfs, 7, NULL, NULL, NULL, 0), -EPIPE);
	pfs_close(pfs);
}

TEST(vfs_in_one_state_are_chosen_as_far_as_there_is_room)
{
	static const struct pfs_vf listed[] = {
		{ 0, PFS_VF_AUTO }, { 7, PFS_VF_ENABLE }, { 2, PFS_VF_AUTO },
		{ 1, PFS_VF_DISABLE }, { 9, PFS_VF_AUTO },
	};
	struct pfs_vf chosen[5];

	CHECK_EQ(pfs_vf_choose(listed, 5, PFS_VF_AUTO, PFS_VF_DISABLE, chosen, 5), 3);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(chosen[i].vf, listed[2 * i].vf);
		CHECK_EQ(chosen[i].link_state, PFS_VF_DISABLE);
	}
	CHECK_EQ(pfs_vf_choose(listed, 5, PFS_VF_AUTO, PFS_VF_ENABLE, chosen, 2), 2);
	CHECK_EQ(chosen[1].link_state, PFS_VF_ENABLE);
	CHECK_EQ(chosen[2].link_state, PFS_VF_DISABLE);
	CHECK_EQ(pfs_vf_choose(listed, 5, 4711, PFS_VF_ENABLE, chosen, 5), 0);
	CHECK_EQ(pfs_vf_choose(NULL, 0, PFS_VF_AUTO, PFS_VF_ENABLE, NULL, 0), 0);
	/* In place. */
	memcpy(chosen, listed, sizeof(listed));
	CHECK_EQ(pfs_vf_choose(chosen, 5, PFS_VF_DISABLE, PFS_VF_AUTO, chosen, 5), 1);
	CHECK_EQ(chosen[0].vf, 1);
	CHECK_EQ(chosen[0].link_state, PFS_VF_AUTO);
}

TEST(watch_refuses_more_than_its_maximum)
{
	static const char *names[PFS_WATCH_MAX + 1];
	static const uint32_t indexes[PFS_WATCH_MAX + 1];
	static const char *const bad[] = { "" };
	struct pfs *pfs;
	int ret;

	fake_kernel_init(&fake, 0);
	pfs = fake_kernel_open(&fake, LONG_MS);
	for (size_t i = 0; i <= PFS_WATCH_MAX; i++)
		names[i] = "fifteen-letters";
	CHECK_EQ(pfs_watch(pfs, indexes, PFS_WATCH_MAX + 1, NULL, 0), -EINVAL);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, names, PFS_WATCH_MAX + 1), -EINVAL);
	CHECK_EQ(pfs_watch(pfs, indexes, 1, names, PFS_WATCH_MAX), -EINVAL);
	CHECK_EQ(pfs_watch(pfs, indexes, (size_t)-1, names, 1), -EINVAL);
	CHECK_EQ(pfs_watch(pfs, indexes, 2, names, (size_t)-1), -EINVAL);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, bad, 1), -EINVAL);
	/* The filter works on socketpairs, too. */
	CHECK_EQ(pfs_watch(pfs, indexes, 0, names, PFS_WATCH_MAX), 0);
	message_clear(&msg);
	put_event(RTM_NEWLINK, 1, AF_UNSPEC);
	message_u32(&msg, IFLA_MTU, 1500);
	message_end(&msg);
	if (send(fake.event_fd, msg.buf, msg.len, 0) >= 0)
		CHECK_EQ(pfs_event_next(pfs, NULL), -EAGAIN);
	ret = pfs_watch(pfs, NULL, 0, NULL, 0);
	if (ret == -ENOPROTOOPT) {
		test_skip("qemu-user knows no SO_DETACH_FILTER");
		fake_kernel_close(&fake, pfs);
		return;
	}
	CHECK_EQ(ret, 0);
	CHECK_EQ(pfs_watch(pfs, NULL, 0, NULL, 0), 0);
	fake_kernel_event(&fake, msg.buf, msg.len);
	CHECK_EQ(pfs_event_next(pfs, NULL), RTM_NEWLINK);
	fake_kernel_close(&fake, pfs);
}
