// SPDX-License-Identifier: Apache-2.0
/* One NLMSG_ERROR or NLMSG_DONE, framed as the caller vouches. */

#include "fuzz.h"
#include "guard.h"
#include "internal.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_ack ack;
	uint32_t len = (uint32_t)size;
	uint8_t *bytes;
	int ret;

	if (size < NLMSG_HDRLEN || size > 64u * 1024)
		return 0;
	bytes = guard_copy(data, size);
	memcpy(bytes, &len, sizeof(len));
	memset(&ack, 0xee, sizeof(ack));
	ret = pfs_ack_decode((const struct nlmsghdr *)bytes, &ack);
	MUST(ret == 0 || ret == -EBADMSG);
	MUST(memchr(ack.message, 0, sizeof(ack.message)));
	MUST(ret || (ack.error <= 0 && ack.error >= -4095));
	return 0;
}
