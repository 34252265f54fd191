/* SPDX-License-Identifier: Apache-2.0 */
/* A test is a claim: TEST(decode_skips_unknown_attributes) { CHECK(...); } */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>

struct test {
	const char *claim;
	void (*run)(void);
	struct test *next;
};

void test_register(struct test *test);
void test_check(bool ok, const char *file, int line, const char *what);
void test_check_eq(long long got, long long want, const char *file, int line, const char *what);
void test_check_str(const char *got, const char *want, const char *file, int line);
/* The claim cannot be tested here; said, and not counted as failed. */
void test_skip(const char *why);

#define TEST(name)                                                                           \
	static void name(void);                                                              \
	__attribute__((constructor)) static void register_##name(void)                       \
	{                                                                                    \
		static struct test test = { #name, name, NULL };                             \
		test_register(&test);                                                        \
	}                                                                                    \
	static void name(void)

#define CHECK(what) test_check(what, __FILE__, __LINE__, #what)
#define CHECK_EQ(got, want) test_check_eq((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) test_check_str(got, want, __FILE__, __LINE__)

/* xorshift64*: the same numbers everywhere, so that a failure can be seen again. */
unsigned long long test_random(void);
void test_random_seed(unsigned long long seed);

#endif
