// SPDX-License-Identifier: Apache-2.0
/* A context a thread, side by side; meant for ThreadSanitizer. */

#include "fake_kernel.h"
#include "harness.h"
#include "netns.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 200

struct worker {
	struct fake_kernel fake;
	pthread_t thread;
	int failed;
};

static struct worker *workers;

static void *against_the_fake(void *arg)
{
	struct worker *worker = arg;
	struct pfs *pfs = fake_kernel_open(&worker->fake, 20000);

	for (int i = 0; i < ROUNDS; i++) {
		struct pfs_link link = PFS_LINK_INIT;
		struct pfs_bond bond = PFS_BOND_INIT;
		struct pfs_vf vfs[16];
		struct pfs_vf_result results[16];

		worker->failed += pfs_link_get(pfs, 0, "ens5f0", &link, vfs, 16) != 0;
		worker->failed += pfs_bond_get(pfs, link.master_ifindex, &bond) != 0;
		worker->failed += pfs_lacp_status(&link, &bond) != PFS_LACP_UP;
		for (int vf = 0; vf < 16; vf++)
			vfs[vf].link_state = (uint32_t)i % 3;
		/* The VF that is busy stays "auto". */
		worker->failed += pfs_vf_set(pfs, 7, vfs, 16, 5, results) != (i % 3 != 0);
		worker->failed += pfs_event_next(pfs, &link) != -EAGAIN;
	}
	fake_kernel_close(&worker->fake, pfs);
	return NULL;
}

static void *against_the_kernel(void *arg)
{
	static const char *const names[] = { "lo" };
	struct worker *worker = arg;

	for (int i = 0; i < ROUNDS / 10; i++) {
		struct pfs_link link = PFS_LINK_INIT;
		struct pfs *pfs;

		if (pfs_open(&pfs, NULL) < 0) {
			worker->failed++;
			continue;
		}
		worker->failed += pfs_watch(pfs, NULL, 0, names, 1) != 0;
		worker->failed += pfs_link_get(pfs, 1, NULL, &link, NULL, 0) != 0;
		worker->failed += pfs_link_dump(pfs, &link, 1) < 1;
		while (pfs_event_next(pfs, NULL) >= 0)
			;
		pfs_close(pfs);
	}
	return NULL;
}

static void run(void *(*what)(void *))
{
	workers = calloc(THREADS, sizeof(*workers));
	for (int i = 0; i < THREADS; i++) {
		fake_kernel_init(&workers[i].fake, 16);
		workers[i].fake.vf_error[9] = -EBUSY;
		workers[i].fake.vf_error_times[9] = VF_ALWAYS;
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, what, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK_EQ(workers[i].failed, 0);
	}
	free(workers);
}

TEST(contexts_in_threads_do_not_disturb_each_other)
{
	run(against_the_fake);
}

TEST(contexts_are_opened_and_closed_in_threads)
{
	if (netns_fresh())
		run(against_the_kernel);
}
