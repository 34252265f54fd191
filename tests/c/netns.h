/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel of this machine, in a network namespace of the test's own. */
#ifndef NETNS_H
#define NETNS_H

#include <stdbool.h>

/*
 * Moves the calling thread to a fresh network namespace; as a user without
 * privileges, in a user namespace of one's own. Skips the test where that is
 * not allowed, and then returns false.
 */
bool netns_fresh(void);
/* Runs one `ip` command. Returns whether it went well. */
__attribute__((format(printf, 1, 2))) bool ip(const char *format, ...);
/* Makes a NIC: one end of a veth pair, whose other end is the name and an "x". Else skips. */
bool netns_nic(const char *name);
/* Runs many: @format takes one %d, from 0 to @n - 1. */
bool ip_batch(const char *format, int n);

#endif
