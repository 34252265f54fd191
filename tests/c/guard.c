// SPDX-License-Identifier: Apache-2.0
#include "guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

uint8_t *guard_copy(const void *bytes, size_t len)
{
	static uint8_t *end;
	uint8_t *at;

	if (!end) {
		uint8_t *map = mmap(NULL, 2 * GUARD_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED || mprotect(map + GUARD_BYTES, GUARD_BYTES, PROT_NONE))
			abort();
		end = map + GUARD_BYTES;
	}
	if (len > GUARD_BYTES)
		abort();
	at = end - (len + 3) / 4 * 4;
	ASAN_UNPOISON_MEMORY_REGION(at, (size_t)(end - at));
	if (len)
		memcpy(at, bytes, len);
	ASAN_POISON_MEMORY_REGION(at + len, (size_t)(end - at) - len);
	return at;
}
