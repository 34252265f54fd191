/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target: one function, for libFuzzer or for replay.c. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for any input. */
#define MUST(what)                                                                           \
	do {                                                                                 \
		if (!(what))                                                                 \
			abort();                                                             \
	} while (0)

#endif
