// SPDX-License-Identifier: Apache-2.0
/*
 * A datagram behind a byte that says what is watched: the kernel-side filter
 * never drops what the decoder would have reported.
 */

#include "fuzz.h"
#include "guard.h"
#include "watch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct watch watch = { .n_index = 0 };
	char name[16] = "";
	uint8_t how;

	if (!size || size > GUARD_BYTES)
		return 0;
	how = *data++;
	size--;
	/* What the message itself seems to speak of, so that it often is what is watched. */
	if (how & 1 && size >= 24)
		memcpy(&watch.ifindexes[watch.n_index++], data + 20, 4);
	if (how & 2)
		watch.ifindexes[watch.n_index++] = 7;
	if (size > 36)
		memcpy(name, data + 36, size - 36 < 15 ? size - 36 : 15);
	if (how & 4 && name[0])
		watch.names[watch.n_name++] = name;
	if (how & 8)
		watch.names[watch.n_name++] = "eth0";
	if (how & 16)
		watch.names[watch.n_name++] = "fifteen-letters";
	data = guard_copy(data, size);
	if (watch_wants(&watch, data, size))
		MUST(watch_passes(&watch, data, size));
	return 0;
}
