/* SPDX-License-Identifier: Apache-2.0 */
/* The promise of the filter: nothing is dropped that the decoder would report of a watched link. */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch {
	uint32_t ifindexes[128];
	size_t n_index;
	const char *names[128];
	size_t n_name;
};

/* Does some message of the datagram, decoded, tell of a watched link? @bytes: aligned to 4. */
bool watch_wants(const struct watch *watch, const uint8_t *bytes, size_t len);
/* Does the program let it pass? */
bool watch_passes(const struct watch *watch, const uint8_t *bytes, size_t len);

#endif
