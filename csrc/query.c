// SPDX-License-Identifier: Apache-2.0
/* Asking for links. */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "internal.h"

/* A dump that other programs keep changing is asked for again, so often. */
#define DUMP_TRIES 5

/* One question that has one link as its answer. */
int pfs_link_query(struct pfs *pfs, uint32_t ifindex, const char *name, bool vfs,
		   const struct nlmsghdr **answer)
{
	uint32_t seq = ++pfs->seq;
	struct pfs_ack ack;
	int ret = pfs_ask(pfs, pfs_link_get_encode(pfs->tx, sizeof(pfs->tx), seq, ifindex, name, vfs));

	if (ret < 0)
		return ret;
	ret = pfs_answer(pfs, seq, answer);
	if (ret < 0 || (*answer)->nlmsg_type == RTM_NEWLINK)
		return ret;
	/* An ack without an error is no answer either. */
	ret = (*answer)->nlmsg_type == NLMSG_ERROR ? pfs_acked(pfs, *answer, &ack) : -EBADMSG;
	return !ret && ack.error ? ack.error : -EBADMSG;
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

	pfs_begin(pfs);
	if (!ifindex && !name)
		return -EINVAL;
	ret = pfs_link_query(pfs, ifindex, name, vfs != NULL, &nlh);
	if (ret < 0)
		return ret;
	return decoded(pfs_link_decode(nlh, nlh->nlmsg_len, link, NULL, vfs, capacity));
}

static int bond_query(struct pfs *pfs, uint32_t ifindex, struct pfs_bond *bond)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_bond found = PFS_BOND_INIT;
	const struct nlmsghdr *nlh;
	int ret = pfs_link_query(pfs, ifindex, NULL, false, &nlh);

	if (ret < 0)
		return ret;
	ret = decoded(pfs_link_decode(nlh, nlh->nlmsg_len, &link, &found, NULL, 0));
	if (ret < 0)
		return ret;
	if (strcmp(link.kind, "bond"))
		return -EMEDIUMTYPE;
	pfs_give(bond, &found);
	return 0;
}

int pfs_bond_get(struct pfs *pfs, uint32_t ifindex, struct pfs_bond *bond)
{
	pfs_begin(pfs);
	if (!ifindex || !pfs_size_ok(bond->size, PFS_BOND_SIZE_MIN))
		return -EINVAL;
	return bond_query(pfs, ifindex, bond);
}

int pfs_pf_get(struct pfs *pfs, uint32_t ifindex, const char *name, struct pfs_link *link,
	       struct pfs_bond *bond, struct pfs_vf *vfs, size_t capacity)
{
	static const struct pfs_bond no_bond = PFS_BOND_INIT;
	struct pfs_link found = PFS_LINK_INIT;
	struct pfs_bond master = PFS_BOND_INIT;
	const struct nlmsghdr *nlh;
	bool exists;
	int ret;

	pfs_begin(pfs);
	if ((!ifindex && !name) || !pfs_size_ok(link->size, PFS_LINK_SIZE_MIN) ||
	    !pfs_size_ok(bond->size, PFS_BOND_SIZE_MIN))
		return -EINVAL;
	ret = pfs_link_query(pfs, ifindex, name, vfs != NULL, &nlh);
	exists = !ret;
	if (exists)
		ret = decoded(pfs_link_decode(nlh, nlh->nlmsg_len, &found, NULL, vfs, capacity));
	if (ret < 0 && ret != -ENODEV)
		return ret;
	if (!strcmp(found.slave_kind, "bond")) {
		ret = bond_query(pfs, found.master_ifindex, &master);
		/* It went since, and something else may have its index. */
		if (ret == -ENODEV || ret == -EMEDIUMTYPE)
			master = no_bond;
		else if (ret < 0)
			return ret;
	}
	pfs_give(link, &found);
	pfs_give(bond, &master);
	return pfs_lacp_status(exists ? &found : NULL, master.known ? &master : NULL);
}

/* A malformed link in it is passed over and told at its end. */
static int dump_once(struct pfs *pfs, struct pfs_link *links, size_t capacity)
{
	uint32_t stride = capacity ? links->size : 0;
	uint32_t seq = ++pfs->seq;
	bool changed = false;
	int error = 0;
	int count = 0;
	int ret = pfs_ask(pfs, pfs_link_dump_encode(pfs->tx, sizeof(pfs->tx), seq));

	if (ret < 0)
		return ret;
	pfs->dumping = true;
	for (;;) {
		const struct nlmsghdr *nlh;
		struct pfs_link *link = NULL;
		struct pfs_ack ack;

		ret = pfs_answer(pfs, seq, &nlh);
		if (ret < 0)
			return ret;
		changed |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR) {
			ret = pfs_acked(pfs, nlh, &ack);
			/* Another one is under way: a descriptor given to us had begun it. */
			pfs->dumping = !ret && ack.error == -EBUSY;
			if (ret < 0 || ack.error)
				return ret < 0 ? ret : ack.error;
			if (changed)
				return -EAGAIN;
			return error ? error : count;
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

	pfs_begin(pfs);
	if (capacity && !pfs_size_ok(links->size, PFS_LINK_SIZE_MIN))
		return -EINVAL;
	for (int i = 0; i < DUMP_TRIES && (ret == -EAGAIN || ret == -EBUSY); i++)
		ret = dump_once(pfs, links, capacity);
	return ret;
}
