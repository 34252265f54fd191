// SPDX-License-Identifier: Apache-2.0
/* Questions to the kernel and their answers; events. */

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <string.h>

#include "internal.h"

/*
 * Requests in one send(). The kernel answers all of them before send()
 * returns, so the answers must fit the receive buffer of a default socket.
 */
#define BATCH_MAX 32u

/* A dump that other programs keep changing is asked for again, so often. */
#define DUMP_TRIES 5

static int64_t deadline(const struct pfs *pfs)
{
	return pfs_now_ns() + (int64_t)pfs->timeout_ms * 1000000;
}

/* Answers carry the number of their question; what is older is a late one. */
static bool answers(const struct pfs *pfs, const struct nlmsghdr *nlh, uint32_t first,
		    uint32_t n)
{
	return nlh->nlmsg_pid == pfs->request.port && nlh->nlmsg_seq - first < n;
}

static int ask(struct pfs *pfs, int len)
{
	pfs->extack[0] = '\0';
	return len < 0 ? len : pfs_send(&pfs->request, pfs->tx, (size_t)len);
}

/* Reads an NLMSG_ERROR; its text becomes pfs_extack(). Returns its error. */
static int take_ack(struct pfs *pfs, const struct nlmsghdr *nlh)
{
	struct pfs_ack ack;
	int ret = pfs_ack_decode(nlh, &ack);

	if (ret < 0)
		return ret;
	if (ack.error)
		memcpy(pfs->extack, ack.message, sizeof(pfs->extack));
	return ack.error;
}

/* One question that has one link as its answer. The message stays in pfs->rx. */
static int link_query(struct pfs *pfs, uint32_t ifindex, const char *name, bool vfs,
		      struct nlmsghdr **answer)
{
	uint32_t seq = ++pfs->seq;
	int64_t until = deadline(pfs);
	int ret = ask(pfs, pfs_link_get_encode(pfs->tx, sizeof(pfs->tx), seq, ifindex, name, vfs));

	if (ret < 0)
		return ret;
	for (;;) {
		ssize_t len = pfs_recv(&pfs->request, pfs->rx, sizeof(pfs->rx), until);
		struct nlmsghdr *nlh = (struct nlmsghdr *)pfs->rx;
		int remaining = (int)len;

		if (len < 0)
			return (int)len;
		for (; nlmsg_ok(nlh, remaining); nlh = nlmsg_next(nlh, &remaining)) {
			if (!answers(pfs, nlh, seq, 1))
				continue;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				ret = take_ack(pfs, nlh);
				return ret ? ret : -EBADMSG;
			}
			*answer = nlh;
			return 0;
		}
	}
}

int pfs_link_get(struct pfs *pfs, uint32_t ifindex, const char *name, struct pfs_link *link,
		 struct pfs_vf *vfs, size_t capacity)
{
	struct nlmsghdr *nlh;
	int ret;

	if (!ifindex && !name)
		return -EINVAL;
	ret = link_query(pfs, ifindex, name, vfs != NULL, &nlh);
	if (ret < 0)
		return ret;
	ret = pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, vfs, capacity);
	return ret < 0 ? ret : 0;
}

int pfs_bond_get(struct pfs *pfs, uint32_t ifindex, struct pfs_bond *bond)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct nlmsghdr *nlh;
	int ret;

	if (!ifindex)
		return -EINVAL;
	ret = link_query(pfs, ifindex, NULL, false, &nlh);
	if (ret < 0)
		return ret;
	ret = pfs_link_decode(nlh, nlh->nlmsg_len, &link, NULL, NULL, 0);
	if (ret < 0)
		return ret;
	if (strcmp(link.kind, "bond"))
		return -EMEDIUMTYPE;
	ret = pfs_link_decode(nlh, nlh->nlmsg_len, NULL, bond, NULL, 0);
	return ret < 0 ? ret : 0;
}

static int dump_once(struct pfs *pfs, struct pfs_link *links, size_t capacity)
{
	uint32_t stride = capacity ? links[0].size : 0;
	uint32_t seq = ++pfs->seq;
	int64_t until = deadline(pfs);
	bool changed = false;
	int count = 0;
	int ret = ask(pfs, pfs_link_dump_encode(pfs->tx, sizeof(pfs->tx), seq));

	if (ret < 0)
		return ret;
	for (;;) {
		ssize_t len = pfs_recv(&pfs->request, pfs->rx, sizeof(pfs->rx), until);
		struct nlmsghdr *nlh = (struct nlmsghdr *)pfs->rx;
		int remaining = (int)len;

		if (len < 0)
			return (int)len;
		for (; nlmsg_ok(nlh, remaining); nlh = nlmsg_next(nlh, &remaining)) {
			struct pfs_link *link = NULL;

			if (!answers(pfs, nlh, seq, 1))
				continue;
			if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
				changed = true;
			if (nlh->nlmsg_type == NLMSG_DONE)
				return changed ? -EAGAIN : count;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				ret = take_ack(pfs, nlh);
				return ret ? ret : -EBADMSG;
			}
			if ((size_t)count < capacity) {
				link = (void *)((uint8_t *)links + (size_t)count * stride);
				link->size = stride;
			}
			ret = pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, NULL, 0);
			if (ret < 0 && ret != -ENOMSG)
				return ret;
			if (ret > 0)
				count++;
		}
	}
}

int pfs_link_dump(struct pfs *pfs, struct pfs_link *links, size_t capacity)
{
	int ret = -EAGAIN;

	for (int i = 0; i < DUMP_TRIES && ret == -EAGAIN; i++)
		ret = dump_once(pfs, links, capacity);
	return ret;
}

/*
 * Waits for the acks of @n requests numbered from @first; request i is for
 * results[i]. What did not come in time says so.
 */
static void collect_acks(struct pfs *pfs, uint32_t first, uint32_t n, int32_t *results)
{
	int64_t until = deadline(pfs);
	uint32_t missing = n;

	for (uint32_t i = 0; i < n; i++)
		results[i] = -ETIMEDOUT;
	while (missing) {
		ssize_t len = pfs_recv(&pfs->request, pfs->rx, sizeof(pfs->rx), until);
		struct nlmsghdr *nlh = (struct nlmsghdr *)pfs->rx;
		int remaining = (int)len;

		if (len < 0) {
			for (uint32_t i = 0; i < n; i++)
				if (results[i] == -ETIMEDOUT)
					results[i] = (int32_t)len;
			return;
		}
		for (; nlmsg_ok(nlh, remaining); nlh = nlmsg_next(nlh, &remaining)) {
			if (!answers(pfs, nlh, first, n) || nlh->nlmsg_type != NLMSG_ERROR)
				continue;
			results[nlh->nlmsg_seq - first] = take_ack(pfs, nlh);
			missing--;
		}
	}
}

/* One message for all: the fast path. Returns its ack. */
static int set_together(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n)
{
	uint32_t seq = ++pfs->seq;
	int32_t result;
	int ret = ask(pfs, pfs_vf_set_encode(pfs->tx, sizeof(pfs->tx), ifindex, seq, vfs, n));

	if (ret < 0)
		return ret;
	collect_acks(pfs, seq, 1, &result);
	return result;
}

/* There is no use in trying other VFs of this PF. */
static bool ends_all(int result)
{
	return result == -EPERM || result == -ENODEV;
}

/* A message for each VF that is not yet done, several to a send(). */
static int set_singly(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		      int32_t *results)
{
	size_t i = 0;

	while (i < n) {
		size_t which[BATCH_MAX];
		int32_t acks[BATCH_MAX];
		uint32_t first = pfs->seq + 1;
		uint32_t batch = 0;
		size_t len = 0;
		int ret;

		for (; i < n && batch < BATCH_MAX; i++) {
			if (!results[i])
				continue;
			ret = pfs_vf_set_encode(pfs->tx + len, sizeof(pfs->tx) - len, ifindex,
						++pfs->seq, &vfs[i], 1);
			if (ret < 0)
				return ret;
			len += (size_t)ret;
			which[batch++] = i;
		}
		if (!batch)
			return 0;
		ret = ask(pfs, (int)len);
		if (ret < 0)
			return ret;
		collect_acks(pfs, first, batch, acks);
		for (uint32_t k = 0; k < batch; k++) {
			results[which[k]] = acks[k];
			if (ends_all(acks[k]))
				ret = acks[k];
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

/*
 * Reads the VFs again and marks as done what is as wanted. The transmit
 * buffer is free once a request is sent: it serves as the array, for 8,192.
 */
static int mark_done(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		     int32_t *results)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_vf *now = (struct pfs_vf *)pfs->tx;
	size_t capacity = sizeof(pfs->tx) / sizeof(*now);
	int ret = pfs_link_get(pfs, ifindex, NULL, &link, now, capacity);

	if (ret < 0)
		return ret;
	if (capacity > link.vf_count)
		capacity = link.vf_count;
	for (size_t k = 0; k < capacity; k++)
		for (size_t i = 0; i < n; i++)
			if (vfs[i].vf == now[k].vf && vfs[i].link_state == now[k].link_state)
				results[i] = 0;
	return 0;
}

/* Returns 0 if the next chunk may be tried. */
static int set_chunk(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		     int32_t *results)
{
	int ret = set_together(pfs, ifindex, vfs, n);
	char said[sizeof(pfs->extack)];

	for (size_t i = 0; i < n; i++)
		results[i] = ret;
	if (!ret || n == 1 || ends_all(ret))
		return ends_all(ret) ? ret : 0;

	memcpy(said, pfs->extack, sizeof(said));
	if (mark_done(pfs, ifindex, vfs, n, results) == -ENODEV)
		return -ENODEV;
	ret = set_singly(pfs, ifindex, vfs, n, results);
	if (!pfs->extack[0])
		memcpy(pfs->extack, said, sizeof(said));
	return ends_all(ret) ? ret : 0;
}

int pfs_vf_set(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
	       size_t chunk, int32_t *results)
{
	int failed = 0;

	if (!ifindex || (n && (!vfs || !results)))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (vfs[i].link_state > PFS_VF_DISABLE)
			return -EINVAL;
		results[i] = -ECANCELED;
	}
	if (!chunk || chunk > PFS_VF_SET_MAX)
		chunk = PFS_VF_SET_MAX;
	for (size_t i = 0; i < n; i += chunk) {
		size_t now = n - i < chunk ? n - i : chunk;

		if (set_chunk(pfs, ifindex, vfs + i, now, results + i))
			break;
	}
	for (size_t i = 0; i < n; i++)
		failed += results[i] != 0;
	return failed;
}

int pfs_vf_set_permitted(struct pfs *pfs)
{
	return set_together(pfs, PFS_LOOPBACK_IFINDEX, NULL, 0);
}

int pfs_watch(struct pfs *pfs, const uint32_t *ifindexes, size_t n_index,
	      const char *const *names, size_t n_name)
{
	/* The transmit buffer is free between requests. */
	struct sock_filter *insns = (struct sock_filter *)pfs->tx;
	int len;

	if (pfs->event.fd < 0)
		return -EBADF;
	if (n_index + n_name > PFS_WATCH_MAX)
		return -EINVAL;
	if (!pfs->filter)
		return 0;
	if (!(n_index + n_name))
		return pfs_filter_detach(&pfs->event);
	len = pfs_filter_build(insns, PFS_FILTER_MAX, ifindexes, n_index, names, n_name);
	return len < 0 ? len : pfs_filter_attach(&pfs->event, insns, len);
}

/* The next message of the datagram at hand: 1; 0 at its end; -EBADMSG. */
static int event_message(struct pfs *pfs, const struct nlmsghdr **message)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(pfs->events + pfs->event_pos);
	size_t remaining = pfs->event_len - pfs->event_pos;
	size_t step;

	if (!remaining)
		return 0;
	if (remaining < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) ||
	    nlh->nlmsg_len > remaining) {
		pfs->event_pos = pfs->event_len;
		return -EBADMSG;
	}
	step = NLMSG_ALIGN((size_t)nlh->nlmsg_len);
	pfs->event_pos += step < remaining ? step : remaining;
	*message = nlh;
	return 1;
}

int pfs_event_next(struct pfs *pfs, struct pfs_link *link)
{
	if (pfs->event.fd < 0)
		return -EBADF;
	for (;;) {
		const struct nlmsghdr *nlh;
		int ret = event_message(pfs, &nlh);

		if (ret > 0)
			ret = pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, NULL, 0);
		if (ret && ret != -ENOMSG)
			return ret;
		if (!ret) {
			ssize_t len = pfs_recv(&pfs->event, pfs->events, sizeof(pfs->events), 0);

			pfs->event_pos = 0;
			pfs->event_len = len > 0 ? (size_t)len : 0;
			if (len < 0)
				return (int)len;
		}
	}
}
