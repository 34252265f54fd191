/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-swapped twin of a recorded little-endian link message. */
#ifndef SWAP_H
#define SWAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Swaps in place what a kernel of the other byte order would write otherwise:
 * headers, and integers of the attributes that are known. Returns false where
 * the message is not well-formed.
 */
bool swap_link_message(uint8_t *bytes, size_t len);

#endif
