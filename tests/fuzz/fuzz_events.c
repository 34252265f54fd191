// SPDX-License-Identifier: Apache-2.0
/* A stream of datagrams, each behind its length (u16, little-endian), through pfs_event_next(). */

#include "fuzz.h"
#include "pfstatus.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static struct pfs *pfs;
static int kernel_fd;

static void open_once(void)
{
	int request[2], event[2];

	if (pfs)
		return;
	MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, request));
	MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, event));
	MUST(!pfs_open_fds(&pfs, request[0], event[0], NULL));
	kernel_fd = event[1];
}

/* Reads until nothing waits. Each message takes 16 bytes or more. */
static void drain(size_t size)
{
	for (size_t n = 0;; n++) {
		struct pfs_link link = PFS_LINK_INIT;
		int ret = pfs_event_next(pfs, &link);

		MUST(n <= size / 16 + 2);
		if (ret == -EAGAIN)
			return;
		MUST(ret == RTM_NEWLINK || ret == RTM_DELLINK || ret == -EBADMSG);
		MUST(memchr(link.name, 0, sizeof(link.name)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t waiting = 0, n = 0;

	open_once();
	while (size > 2) {
		size_t len = (size_t)data[0] | (size_t)data[1] << 8;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		/* One of no bytes is the end of a stream, which netlink does not have. */
		if (len && send(kernel_fd, data, len, MSG_DONTWAIT) == (ssize_t)len)
			waiting += len;
		data += len;
		size -= len;
		if (++n % 8 == 0) {
			drain(waiting + 16 * n);
			waiting = 0;
		}
	}
	drain(waiting + 16 * n);
	return 0;
}
