/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second decoder, written from the header's words without a line of the
 * first: a byte at a time, no tables, no cleverness, as slow as it likes. What
 * both find must be the same, so that a wrong value is found, and not only a
 * crash.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include "pfstatus.h"

/* As pfs_link_decode() with everything asked for, but for alignment and .size. */
int naive_link(const uint8_t *bytes, size_t len, struct pfs_link *link, struct pfs_bond *bond,
	       struct pfs_vf *vfs, size_t capacity);

/*
 * The next message of a datagram that pfs_event_next() would tell of, or the
 * error that it would say. @at is where to look, and moves on; 0: no more.
 */
int naive_event(const uint8_t *bytes, size_t len, size_t *at, struct pfs_link *link);

#endif
