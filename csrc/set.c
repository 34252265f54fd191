// SPDX-License-Identifier: Apache-2.0
/* Setting VFs: the one place where that is done. */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "internal.h"

/* VF numbers: SR-IOV's NumVFs is 16 bits wide. */
#define VF_NUMBERS 65536u

_Static_assert(sizeof(((struct pfs_vf_result *)0)->extack) <= sizeof(((struct pfs_ack *)0)->message),
	       "a result's text is the ack's, or its beginning");

static void fill(struct pfs_vf_result *results, size_t n, int error, uint32_t scope)
{
	for (size_t i = 0; i < n; i++) {
		results[i].error = error;
		results[i].scope = scope;
		results[i].extack[0] = '\0';
	}
}

static void fill_acked(struct pfs_vf_result *results, size_t n, const struct pfs_ack *ack)
{
	fill(results, n, ack->error, PFS_SCOPE_VF);
	for (size_t i = 0; i < n && ack->error; i++) {
		memcpy(results[i].extack, ack->message, sizeof(results[i].extack) - 1);
		results[i].extack[sizeof(results[i].extack) - 1] = '\0';
	}
}

/* One message. Returns 0 and its ack, or why there is none. */
static int set_message(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		       struct pfs_ack *ack)
{
	uint32_t seq = ++pfs->seq;
	const struct nlmsghdr *nlh;
	int ret = pfs_ask(pfs, pfs_vf_set_encode(pfs->tx, sizeof(pfs->tx), ifindex, seq, vfs, n));

	if (ret < 0)
		return ret;
	do {
		ret = pfs_answer(pfs, seq, &nlh);
		if (ret < 0)
			return ret;
	} while (nlh->nlmsg_type != NLMSG_ERROR);
	return pfs_acked(pfs, nlh, ack);
}

static int permitted(struct pfs *pfs)
{
	struct pfs_ack ack;
	int ret = set_message(pfs, PFS_LOOPBACK_IFINDEX, NULL, 0, &ack);

	return ret < 0 ? ret : ack.error;
}

/*
 * A driver may say -EPERM or -ENODEV and mean one VF. Returns 0, or what ends
 * the matter for all of the PF.
 */
static int ends_all(struct pfs *pfs, uint32_t ifindex, int error)
{
	const struct nlmsghdr *nlh;
	int ret = 0;

	if (error == -EPERM)
		ret = permitted(pfs);
	else if (error == -ENODEV)
		ret = pfs_link_query(pfs, ifindex, NULL, false, &nlh);
	return ret == error ? ret : 0;
}

/* One VF. Returns 0 if others may be tried. */
static int set_one(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vf,
		   struct pfs_vf_result *result)
{
	struct pfs_ack ack;
	int ret = set_message(pfs, ifindex, vf, 1, &ack);

	if (!ret) {
		fill_acked(result, 1, &ack);
		ret = ends_all(pfs, ifindex, ack.error);
	}
	if (ret < 0)
		fill(result, 1, ret, PFS_SCOPE_PF);
	return ret;
}

/* A message for each VF that is not yet done, so that each error has its VF. */
static int set_singly(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		      struct pfs_vf_result *results)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++)
		if (results[i].error)
			ret = set_one(pfs, ifindex, &vfs[i], &results[i]);
	return ret;
}

/*
 * Reads the VFs again and marks as done what is as wanted. The transmit
 * buffer is free once a request is sent: it serves as the array, for 8,192.
 */
static int mark_done(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		     struct pfs_vf_result *results)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_vf *now = (struct pfs_vf *)pfs->tx;
	size_t capacity = sizeof(pfs->tx) / sizeof(*now);
	const struct nlmsghdr *nlh;
	int ret = pfs_link_query(pfs, ifindex, NULL, true, &nlh);

	if (ret < 0)
		return ret;
	ret = pfs_link_decode(nlh, nlh->nlmsg_len, &link, NULL, now, capacity);
	if (ret < 0)
		return ret;
	if (capacity > link.vf_count)
		capacity = link.vf_count;
	for (size_t k = 0; k < capacity; k++)
		for (size_t i = 0; i < n; i++)
			if (vfs[i].vf == now[k].vf && vfs[i].link_state == now[k].link_state)
				fill(&results[i], 1, 0, PFS_SCOPE_VF);
	return 0;
}

/* Several VFs in one message: the fast path. Returns 0 if the next chunk may be tried. */
static int set_chunk(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs, size_t n,
		     struct pfs_vf_result *results)
{
	struct pfs_ack ack;
	int ret;

	if (n == 1)
		return set_one(pfs, ifindex, vfs, results);
	ret = set_message(pfs, ifindex, vfs, n, &ack);
	if (!ret && !ack.error) {
		fill(results, n, 0, PFS_SCOPE_VF);
		return 0;
	}
	if (!ret && ack.error == -EPERM)
		ret = ends_all(pfs, ifindex, ack.error);
	/* How far it came is not known. */
	if (ret != -EPERM && ret != -EPIPE)
		ret = mark_done(pfs, ifindex, vfs, n, results);
	if (ret == -EPERM || ret == -EPIPE || ret == -ENODEV || ret == -ETIMEDOUT) {
		fill(results, n, ret, PFS_SCOPE_PF);
		return ret;
	}
	return set_singly(pfs, ifindex, vfs, n, results);
}

/*
 * A VF named twice would leave open which of the two it shall be when the
 * settings are tried again. The receive buffer is free between requests.
 */
static bool settable(struct pfs *pfs, const struct pfs_vf *vfs, size_t n)
{
	uint8_t *seen = memset(pfs->rx, 0, VF_NUMBERS / 8);

	pfs_inbox_fill(&pfs->answers, 0);
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
	       size_t chunk, struct pfs_vf_result *results)
{
	int failed = 0;

	pfs_begin(pfs);
	if (results)
		fill(results, n, -ECANCELED, PFS_SCOPE_PF);
	if (!ifindex || (n && (!vfs || !results)) || !settable(pfs, vfs, n))
		return -EINVAL;
	if (!chunk || chunk > PFS_VF_SET_MAX)
		chunk = PFS_VF_SET_MAX;
	for (size_t i = 0; i < n; i += chunk) {
		size_t now = n - i < chunk ? n - i : chunk;

		if (set_chunk(pfs, ifindex, vfs + i, now, results + i))
			break;
	}
	for (size_t i = 0; i < n; i++)
		failed += results[i].error != 0;
	return failed;
}

int pfs_vf_set_permitted(struct pfs *pfs)
{
	pfs_begin(pfs);
	return permitted(pfs);
}

size_t pfs_vf_choose(const struct pfs_vf *vfs, size_t n, uint32_t from, uint32_t to,
		     struct pfs_vf *chosen, size_t capacity)
{
	size_t count = 0;

	for (size_t i = 0; i < n && count < capacity; i++)
		if (vfs[i].link_state == from)
			chosen[count++] = (struct pfs_vf){ vfs[i].vf, to };
	return count;
}
