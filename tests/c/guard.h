/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that ends at a page that cannot be touched: a read past the end is a
 * crash, even in libnl, which no sanitizer instruments.
 */
#ifndef GUARD_H
#define GUARD_H

#include <stddef.h>
#include <stdint.h>

#define GUARD_BYTES (512u * 1024)

/* Copies @len bytes so that they end at the guard, or up to 3 bytes before: aligned to 4. */
uint8_t *guard_copy(const void *bytes, size_t len);

#endif
