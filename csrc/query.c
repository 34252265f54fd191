// SPDX-License-Identifier: Apache-2.0
/* Questions to the kernel and their answers; events. */

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "internal.h"

/*
 * Requests in one send(). The kernel answers all of them before send()
 * returns, so the answers must fit the receive buffer of a default socket.
 */
#define BATCH_MAX 32u
_Static_assert(BATCH_MAX * PFS_VF_SET_BYTES(1) <= PFS_TX_BYTES, "a batch fits");

/* VF numbers: SR-IOV's NumVFs is 16 bits wide. */
#define VF_NUMBERS 65536u

/* A result that has not come; real ones are 0 or negative. */
#define PENDING 1

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

/* What a public function begins with: the words of the one before are stale. */
static void begin(struct pfs *pfs)
{
	pfs->extack[0] = '\0';
}

static void show(const struct pfs *pfs, int direction, const void *buf, size_t len)
{
	if (pfs->tap)
		pfs->tap(pfs->tap_arg, direction, buf, len);
}

static int ask(struct pfs *pfs, int len)
{
	if (len < 0)
		return len;
	show(pfs, PFS_TAP_REQUEST, pfs->tx, (size_t)len);
	return pfs_send(&pfs->request, pfs->tx, (size_t)len);
}

/* Reads how a request ended; its text becomes pfs_extack(). Returns its error. */
static int take_ack(struct pfs *pfs, const struct nlmsghdr *nlh)
{
	struct pfs_ack ack;
	int ret = pfs_ack_decode(nlh, &ack);

	if (ret < 0)
		return ret;
	if (ack.error && ack.message[0])
		memcpy(pfs->extack, ack.message, sizeof(pfs->extack));
	return ack.error;
}

/* The next message of the datagram in @buf: 1; 0 at its end; -EBADMSG. */
static int next_message(const uint8_t *buf, struct pfs_inbox *in, const struct nlmsghdr **message)
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

static void filled(struct pfs_inbox *in, ssize_t len)
{
	in->pos = 0;
	in->len = len > 0 ? (size_t)len : 0;
}

static int receive_answer(struct pfs *pfs, int64_t until)
{
	ssize_t len = pfs_recv(&pfs->request, pfs->rx, sizeof(pfs->rx), until);

	filled(&pfs->answers, len);
	if (len < 0)
		return (int)len;
	show(pfs, PFS_TAP_ANSWER, pfs->rx, (size_t)len);
	return 0;
}

static int receive_event(struct pfs *pfs)
{
	ssize_t len = pfs_recv(&pfs->event, pfs->events, sizeof(pfs->events), 0);

	filled(&pfs->notices, len);
	if (len > 0 || len == -ENOBUFS || len == -EMSGSIZE)
		show(pfs, PFS_TAP_EVENT, len > 0 ? pfs->events : NULL, pfs->notices.len);
	return len < 0 ? (int)len : 0;
}

/*
 * Waits for the next answer to one of the @n questions numbered from @first.
 * It stays in pfs->rx until the next call.
 */
static int next_answer(struct pfs *pfs, uint32_t first, uint32_t n, int64_t until,
		       const struct nlmsghdr **answer)
{
	for (;;) {
		int ret = next_message(pfs->rx, &pfs->answers, answer);

		if (ret < 0)
			return ret;
		if (ret && answers(pfs, *answer, first, n))
			return 0;
		if (!ret) {
			ret = receive_answer(pfs, until);
			if (ret < 0)
				return ret;
		}
	}
}

/* One question that has one link as its answer. */
static int link_query(struct pfs *pfs, uint32_t ifindex, const char *name, bool vfs,
		      const struct nlmsghdr **answer)
{
	uint32_t seq = ++pfs->seq;
	int64_t until = deadline(pfs);
	int ret = ask(pfs, pfs_link_get_encode(pfs->tx, sizeof(pfs->tx), seq, ifindex, name, vfs));

	if (ret < 0)
		return ret;
	ret = next_answer(pfs, seq, 1, until, answer);
	if (ret < 0)
		return ret;
	if ((*answer)->nlmsg_type == RTM_NEWLINK)
		return 0;
	/* An ack without an error is no answer either. */
	ret = (*answer)->nlmsg_type == NLMSG_ERROR ? take_ack(pfs, *answer) : 0;
	return ret < 0 ? ret : -EBADMSG;
}

/* The answer to a question for one link must be one: -ENOMSG will not do. */
static int decoded(int ret)
{
	if (ret >= 0)
		return 0;
	return ret == -ENOMSG ? -EBADMSG : ret;
}

int pfs_link_get(struct pfs *pfs, uint32_t ifindex, const char *name, struct pfs_link *link,
		 struct pfs_vf *vfs, size_t capacity)
{
	const struct nlmsghdr *nlh;
	int ret;

	begin(pfs);
	if (!ifindex && !name)
		return -EINVAL;
	ret = link_query(pfs, ifindex, name, vfs != NULL, &nlh);
	if (ret < 0)
		return ret;
	return decoded(pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, vfs, capacity));
}

int pfs_bond_get(struct pfs *pfs, uint32_t ifindex, struct pfs_bond *bond)
{
	struct pfs_link link = PFS_LINK_INIT;
	const struct nlmsghdr *nlh;
	int ret;

	begin(pfs);
	if (!ifindex)
		return -EINVAL;
	ret = link_query(pfs, ifindex, NULL, false, &nlh);
	if (ret < 0)
		return ret;
	ret = decoded(pfs_link_decode(nlh, nlh->nlmsg_len, &link, NULL, NULL, 0));
	if (ret < 0)
		return ret;
	if (strcmp(link.kind, "bond"))
		return -EMEDIUMTYPE;
	return decoded(pfs_link_decode(nlh, nlh->nlmsg_len, NULL, bond, NULL, 0));
}

/* Reads to the end even past an error: the kernel takes no new dump before. */
static int dump_once(struct pfs *pfs, struct pfs_link *links, size_t capacity)
{
	uint32_t stride = capacity ? links->size : 0;
	uint32_t seq = ++pfs->seq;
	int64_t until = deadline(pfs);
	bool changed = false;
	int error = 0;
	int count = 0;
	int ret = ask(pfs, pfs_link_dump_encode(pfs->tx, sizeof(pfs->tx), seq));

	if (ret < 0)
		return ret;
	for (;;) {
		const struct nlmsghdr *nlh;
		struct pfs_link *link = NULL;

		ret = next_answer(pfs, seq, 1, until, &nlh);
		if (ret < 0)
			return ret;
		changed |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR) {
			ret = take_ack(pfs, nlh);
			if (!ret)
				ret = changed ? -EAGAIN : error;
			return ret ? ret : count;
		}
		if ((size_t)count < capacity) {
			link = (void *)((uint8_t *)links + (size_t)count * stride);
			link->size = stride;
		}
		ret = pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, NULL, 0);
		if (ret > 0)
			count++;
		else if (ret != -ENOMSG)
			error = ret;
	}
}

int pfs_link_dump(struct pfs *pfs, struct pfs_link *links, size_t capacity)
{
	int ret = -EAGAIN;

	begin(pfs);
	if (capacity && !pfs_link_size_ok(links))
		return -EINVAL;
	for (int i = 0; i < DUMP_TRIES && ret == -EAGAIN; i++)
		ret = dump_once(pfs, links, capacity);
	return ret;
}

static void fill(int32_t *results, size_t n, int result)
{
	for (size_t i = 0; i < n; i++)
		results[i] = result;
}

/*
 * Waits for the acks of @n requests numbered from @first; request i is for
 * results[i]. What did not come in time says so.
 */
static void collect_acks(struct pfs *pfs, uint32_t first, uint32_t n, int32_t *results)
{
	int64_t until = deadline(pfs);
	uint32_t missing = n;

	fill(results, n, PENDING);
	while (missing) {
		const struct nlmsghdr *nlh;
		int32_t *result;
		int ret = next_answer(pfs, first, n, until, &nlh);

		if (ret < 0) {
			for (uint32_t i = 0; i < n; i++)
				if (results[i] == PENDING)
					results[i] = ret;
			return;
		}
		result = &results[nlh->nlmsg_seq - first];
		if (nlh->nlmsg_type != NLMSG_ERROR || *result != PENDING)
			continue;
		*result = take_ack(pfs, nlh);
		missing--;
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

/*
 * A message for each VF that is not yet done, several to a send(). Returns 0,
 * or what ended it; what was then not tried keeps its result.
 */
static int set_singly(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		      int32_t *results)
{
	size_t i = 0;
	int ret = 0;

	while (i < n && !ret) {
		size_t which[BATCH_MAX];
		int32_t acks[BATCH_MAX];
		uint32_t first = pfs->seq + 1;
		uint32_t batch = 0;
		size_t len = 0;

		for (; i < n && batch < BATCH_MAX; i++) {
			if (!results[i])
				continue;
			len += (size_t)pfs_vf_set_encode(pfs->tx + len, sizeof(pfs->tx) - len,
							 ifindex, ++pfs->seq, &vfs[i], 1);
			which[batch++] = i;
		}
		if (!batch)
			break;
		ret = ask(pfs, (int)len);
		if (ret < 0)
			fill(acks, batch, ret);
		else
			collect_acks(pfs, first, batch, acks);
		for (uint32_t k = 0; k < batch; k++) {
			results[which[k]] = acks[k];
			if (ends_all(acks[k]))
				ret = acks[k];
		}
	}
	return ret;
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
	const struct nlmsghdr *nlh;
	int ret = link_query(pfs, ifindex, NULL, true, &nlh);

	if (ret < 0)
		return ret;
	ret = decoded(pfs_link_decode(nlh, nlh->nlmsg_len, &link, NULL, now, capacity));
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

	fill(results, n, ret);
	if (!ret || ends_all(ret))
		return ret;
	if (n == 1)
		return 0;

	fill(results, n, -ECANCELED);
	ret = mark_done(pfs, ifindex, vfs, n, results);
	if (!ends_all(ret))
		return set_singly(pfs, ifindex, vfs, n, results);
	fill(results, n, ret);
	return ret;
}

/*
 * A VF named twice would leave open which of the two it shall be when the
 * settings are tried again. The receive buffer is free between requests.
 */
static bool settable(struct pfs *pfs, const struct pfs_vf *vfs, size_t n)
{
	uint8_t *seen = memset(pfs->rx, 0, VF_NUMBERS / 8);

	pfs->answers.pos = pfs->answers.len;
	for (size_t i = 0; i < n; i++) {
		uint32_t vf = vfs[i].vf;

		if (vf >= VF_NUMBERS || vfs[i].link_state > PFS_VF_DISABLE ||
		    seen[vf / 8] & 1u << vf % 8)
			return false;
		seen[vf / 8] |= (uint8_t)(1u << vf % 8);
	}
	return true;
}

int pfs_vf_set(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
	       size_t chunk, int32_t *results)
{
	int failed = 0;

	begin(pfs);
	if (!ifindex || (n && (!vfs || !results)) || !settable(pfs, vfs, n))
		return -EINVAL;
	if (!chunk || chunk > PFS_VF_SET_MAX)
		chunk = PFS_VF_SET_MAX;
	fill(results, n, -ECANCELED);
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
	begin(pfs);
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
	if (n_index > PFS_WATCH_MAX || n_name > PFS_WATCH_MAX - n_index)
		return -EINVAL;
	len = pfs_filter_build(insns, PFS_FILTER_MAX, ifindexes, n_index, names, n_name);
	if (len < 0 || !pfs->filter)
		return len < 0 ? len : 0;
	if (!(n_index + n_name))
		return pfs_filter_detach(&pfs->event);
	return pfs_filter_attach(&pfs->event, insns, len);
}

int pfs_event_next(struct pfs *pfs, struct pfs_link *link)
{
	if (pfs->event.fd < 0)
		return -EBADF;
	/* Before a message is taken that could not be given. */
	if (link && !pfs_link_size_ok(link))
		return -EINVAL;
	for (;;) {
		const struct nlmsghdr *nlh;
		int ret = next_message(pfs->events, &pfs->notices, &nlh);

		if (ret > 0)
			ret = pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, NULL, 0);
		else if (!ret)
			ret = receive_event(pfs);
		if (ret && ret != -ENOMSG)
			return ret;
	}
}
