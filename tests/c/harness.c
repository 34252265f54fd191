// SPDX-License-Identifier: Apache-2.0
/* Runs all claims, or those that contain argv[1]. Output: TAP. */

#include "harness.h"

#include <stdio.h>
#include <string.h>

static struct test *tests;
static bool failed;
static const char *skipped;
static unsigned long long random_state = 0x9e3779b97f4a7c15;

void test_register(struct test *test)
{
	struct test **at = &tests;

	while (*at)
		at = &(*at)->next;
	*at = test;
}

void test_check(bool ok, const char *file, int line, const char *what)
{
	if (ok)
		return;
	failed = true;
	printf("# %s:%d: %s\n", file, line, what);
}

void test_check_eq(long long got, long long want, const char *file, int line, const char *what)
{
	if (got == want)
		return;
	failed = true;
	printf("# %s:%d: %s is %lld, not %lld\n", file, line, what, got, want);
}

void test_check_str(const char *got, const char *want, const char *file, int line)
{
	if (!strcmp(got, want))
		return;
	failed = true;
	printf("# %s:%d: \"%s\" is not \"%s\"\n", file, line, got, want);
}

void test_skip(const char *why)
{
	skipped = why;
}

void test_random_seed(unsigned long long seed)
{
	random_state = seed ? seed : 1;
}

unsigned long long test_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

int main(int argc, char **argv)
{
	int n = 0, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	for (struct test *test = tests; test; test = test->next) {
		if (argc > 1 && !strstr(test->claim, argv[1]))
			continue;
		failed = false;
		skipped = NULL;
		test->run();
		bad += failed;
		printf("%s %d - %s%s%s\n", failed ? "not ok" : "ok", ++n, test->claim,
		       skipped ? " # SKIP " : "", skipped ? skipped : "");
	}
	printf("1..%d\n", n);
	return bad || !n;
}
