// SPDX-License-Identifier: Apache-2.0
/*
 * A stream of datagrams, each behind its length (u16, little-endian), through
 * pfs_event_next(): none is missed, none told twice, each as another decoder reads it.
 */

#include "fuzz.h"
#include "naive.h"

#include <errno.h>
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

/* What was sent since the last look, as it lies in the socket. */
static struct datagram {
	const uint8_t *bytes;
	size_t len;
} waiting[8];
static size_t n_waiting;

/* Reads until nothing waits: message by message, what the other decoder finds. */
static void drain(void)
{
	int ret;

	for (size_t i = 0; i < n_waiting; i++) {
		size_t at = 0;

		do {
			struct pfs_link link = PFS_LINK_INIT;
			struct pfs_link again = PFS_LINK_INIT;
			int want = naive_event(waiting[i].bytes, waiting[i].len, &at, &again);

			if (!want)
				break;
			ret = pfs_event_next(pfs, &link);
			MUST(ret == want);
			MUST(ret < 0 || !memcmp(&link, &again, sizeof(link)));
		} while (at < waiting[i].len);
	}
	MUST(pfs_event_next(pfs, NULL) == -EAGAIN);
	n_waiting = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_once();
	while (size > 2) {
		size_t len = (size_t)data[0] | (size_t)data[1] << 8;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		/* One of no bytes is the end of a stream, which netlink does not have. */
		if (len && send(kernel_fd, data, len, MSG_DONTWAIT) == (ssize_t)len)
			waiting[n_waiting++] = (struct datagram){ data, len };
		data += len;
		size -= len;
		if (n_waiting == 8)
			drain();
	}
	drain();
	return 0;
}
