// SPDX-License-Identifier: Apache-2.0
/* A question out, its answer in: on the request socket, by number, in time. */

#include <errno.h>
#include <string.h>

#include "internal.h"

/* What a public function begins with: the words of the one before are stale. */
void pfs_begin(struct pfs *pfs)
{
	pfs->extack[0] = '\0';
}

void pfs_show(const struct pfs *pfs, int direction, const void *buf, size_t len)
{
	if (pfs->tap)
		pfs->tap(pfs->tap_arg, direction, buf, len);
}

void pfs_inbox_fill(struct pfs_inbox *in, ssize_t len)
{
	in->pos = 0;
	in->len = len > 0 ? (size_t)len : 0;
}

/* The next message of the datagram in @buf: 1; 0 at its end; -EBADMSG. */
int pfs_inbox_next(const uint8_t *buf, struct pfs_inbox *in, const struct nlmsghdr **message)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(buf + in->pos);
	size_t remaining = in->len - in->pos;
	size_t step;

	if (!remaining)
		return 0;
	if (remaining < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) ||
	    nlh->nlmsg_len > remaining) {
		in->pos = in->len;
		return -EBADMSG;
	}
	step = NLMSG_ALIGN((size_t)nlh->nlmsg_len);
	in->pos += step < remaining ? step : remaining;
	*message = nlh;
	return 1;
}

/*
 * The kernel begins no dump on a socket whose last one was not read to its end.
 * Taking one datagram makes it write the next: where none waits, all are read.
 */
static void finish_dump(struct pfs *pfs)
{
	int64_t until = pfs_now_ns() + (int64_t)pfs->patience.ms * 1000000;
	ssize_t len;

	do {
		len = pfs_recv(&pfs->request, pfs->rx, sizeof(pfs->rx), NULL);
	} while ((len > 0 || len == -EMSGSIZE || len == -ENOBUFS) && pfs_now_ns() < until);
	pfs_inbox_fill(&pfs->answers, 0);
	pfs->dumping = false;
}

/* Sends the request of @len bytes in pfs->tx, @len being what its encoder returned. */
int pfs_ask(struct pfs *pfs, int len)
{
	int ret;

	if (len < 0)
		return len;
	if (pfs->dumping)
		finish_dump(pfs);
	pfs_show(pfs, PFS_TAP_REQUEST, pfs->tx, (size_t)len);
	pfs->patience.until = 0;
	ret = pfs_send(&pfs->request, pfs->tx, (size_t)len, &pfs->patience);
	pfs->patience.until = 0;
	return ret;
}

static int receive(struct pfs *pfs)
{
	ssize_t len = pfs_recv(&pfs->request, pfs->rx, sizeof(pfs->rx), &pfs->patience);

	pfs_inbox_fill(&pfs->answers, len);
	if (len < 0)
		return (int)len;
	pfs_show(pfs, PFS_TAP_ANSWER, pfs->rx, (size_t)len);
	return 0;
}

/*
 * Waits for the next answer to the question numbered @seq; what has another
 * number comes too late. It stays in pfs->rx until the next call.
 */
int pfs_answer(struct pfs *pfs, uint32_t seq, const struct nlmsghdr **answer)
{
	for (;;) {
		int ret = pfs_inbox_next(pfs->rx, &pfs->answers, answer);

		if (ret < 0)
			return ret;
		if (ret && (*answer)->nlmsg_pid == pfs->request.port &&
		    (*answer)->nlmsg_seq == seq)
			return 0;
		if (!ret) {
			ret = receive(pfs);
			if (ret < 0)
				return ret;
		}
	}
}

/* Reads how a request ended; its text becomes pfs_extack(). 0, or it is malformed. */
int pfs_acked(struct pfs *pfs, const struct nlmsghdr *nlh, struct pfs_ack *ack)
{
	int ret = pfs_ack_decode(nlh, ack);

	if (!ret && ack->error && ack->message[0])
		memcpy(pfs->extack, ack->message, sizeof(pfs->extack));
	return ret;
}
