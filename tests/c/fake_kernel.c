// SPDX-License-Identifier: Apache-2.0
#include "fake_kernel.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void fake_kernel_init(struct fake_kernel *fake, uint32_t n_vf)
{
	memset(fake, 0, sizeof(*fake));
	pf_init(&fake->pf, n_vf);
	pf_bond_init(&fake->bond);
	memset(fake->pf.link_state, 0, sizeof(fake->pf.link_state));
	fake->links = 2;
}

static void send_out(struct fake_kernel *fake)
{
	if (fake->out.len &&
	    send(fake->request_fd, fake->out.buf, fake->out.len, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		abort();
	message_clear(&fake->out);
}

static void put_error(struct fake_kernel *fake, const struct nlmsghdr *request, int error)
{
	uint16_t flags = NLM_F_CAPPED | (fake->text && error ? NLM_F_ACK_TLVS : 0);

	message_begin(&fake->out, NLMSG_ERROR, flags, request->nlmsg_seq, 0);
	if (!fake->bad_acks) {
		message_raw(&fake->out, &error, sizeof(error));
		message_raw(&fake->out, request, sizeof(*request));
	}
	if (flags & NLM_F_ACK_TLVS)
		message_string(&fake->out, 1 /* NLMSGERR_ATTR_MSG */, fake->text);
	message_end(&fake->out);
}

/* What must be passed over comes in the datagram before the answer and in its own. */
static void put_strangers(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	struct pf other = fake->pf;

	other.actor = 0x45;
	if (fake->stale_first) {
		for (uint32_t age = 1; age < 4; age++) {
			message_pf(&fake->out, RTM_NEWLINK, request->nlmsg_seq - age, &other, false);
			put_error(fake, &(struct nlmsghdr){ .nlmsg_seq = request->nlmsg_seq - age },
				  -EIO);
		}
		send_out(fake);
		message_pf(&fake->out, RTM_NEWLINK, request->nlmsg_seq + 40, &other, false);
	}
	if (fake->foreign_port_first) {
		message_begin(&fake->out, RTM_NEWLINK, 0, request->nlmsg_seq, 4711);
		message_pf_head(&fake->out, &other);
		message_end(&fake->out);
	}
}

static void damage(struct fake_kernel *fake)
{
	uint32_t len = (uint32_t)fake->out.len + 4;

	if (fake->bad_frame)
		memcpy(fake->out.buf, &len, sizeof(len));
	if (fake->half_header)
		fake->out.len = 12;
	if (fake->oversize)
		fake->out.len = fake->oversize;
}

static const struct pf *find(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(request);
	const char *name = (const char *)(ifi + 1) + 8 + 4;
	bool gone = fake->vanish_after && fake->sets >= (unsigned int)fake->vanish_after;

	if (ifi->ifi_index == (int)fake->bond.ifindex)
		return &fake->bond;
	if (ifi->ifi_index)
		return ifi->ifi_index == (int)fake->pf.ifindex && !gone ? &fake->pf : NULL;
	return strcmp(name, fake->pf.name) ? NULL : &fake->pf;
}

static void get(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	const struct pf *pf = find(fake, request);
	uint32_t mask = *(const uint32_t *)((const uint8_t *)request + 36);

	fake->gets++;
	fake->vf_gets += mask & 1;
	put_strangers(fake, request);
	if (fake->positive_error)
		put_error(fake, request, fake->positive_error);
	else if (fake->get_error && (int)fake->gets > fake->get_errors_after)
		put_error(fake, request, fake->get_error);
	else if (!pf)
		put_error(fake, request, -ENODEV);
	else if (fake->empty_ack)
		put_error(fake, request, 0);
	else
		message_pf(&fake->out, fake->no_link ? RTM_NEWADDR : RTM_NEWLINK, request->nlmsg_seq,
			   pf, pf == &fake->pf && mask & 1);
	if (fake->bridge_family)
		fake->out.buf[16] = AF_BRIDGE;
	damage(fake);
	send_out(fake);
}

static void dump(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	uint16_t flags = NLM_F_MULTI;
	struct pf pf = fake->pf;

	if (fake->dumps++ < (unsigned int)fake->dump_interrupted)
		flags |= NLM_F_DUMP_INTR;
	put_strangers(fake, request);
	if (fake->dump_busy) {
		fake->dump_busy--;
		put_error(fake, request, -EBUSY);
		send_out(fake);
		return;
	}
	if (fake->dump_refused) {
		put_error(fake, request, fake->dump_error);
		send_out(fake);
		return;
	}
	for (uint32_t i = 0; i < fake->links; i++) {
		size_t start = fake->out.len;

		pf.ifindex = i + 1;
		message_pf(&fake->out, RTM_NEWLINK, request->nlmsg_seq, &pf, false);
		memcpy(fake->out.buf + start + 6, &flags, sizeof(flags));
		/* One mark in all must do. */
		flags = NLM_F_MULTI;
		if (fake->dump_malformed && i == 1)
			fake->out.buf[start + 32] = 3;
		/* A port of a bridge, and a few datagrams. */
		message_begin(&fake->out, RTM_NEWLINK, flags, request->nlmsg_seq, 0);
		message_ifinfo(&fake->out, AF_BRIDGE, i + 1, 0);
		message_end(&fake->out);
		if (fake->dump_cut_short && i == 9) {
			fake->dump_cut_short--;
			fake->out.len -= 4;
		}
		if (i % 8 == 7)
			send_out(fake);
	}
	message_begin(&fake->out, NLMSG_DONE, flags, request->nlmsg_seq, 0);
	message_raw(&fake->out, &fake->dump_error, sizeof(fake->dump_error));
	message_end(&fake->out);
	send_out(fake);
}

/* The driver's ndo_set_vf_link_state(). */
static int driver(struct fake_kernel *fake, uint32_t vf, uint32_t link_state)
{
	fake->changes[fake->driver_calls++ % (4 * PF_VFS)] = (struct fake_change){ vf, link_state };
	if (vf >= fake->pf.n_vf)
		return -EINVAL;
	if (fake->vf_error[vf] && fake->vf_error_times[vf]) {
		if (fake->vf_error_times[vf] != VF_ALWAYS)
			fake->vf_error_times[vf]--;
		return fake->vf_error[vf];
	}
	if (!fake->vf_ignored[vf])
		fake->pf.link_state[vf] = (uint8_t)link_state;
	return 0;
}

/* do_setlink(): the list in order, to the first that fails. */
static int set(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	const uint8_t *bytes = (const uint8_t *)request;
	const struct ifinfomsg *ifi = NLMSG_DATA(request);
	uint32_t n = request->nlmsg_len > 32 ? (request->nlmsg_len - 36) / 16 : 0;

	if (fake->not_permitted)
		return -EPERM;
	if (ifi->ifi_index != (int)fake->pf.ifindex && ifi->ifi_index != 1)
		return -ENODEV;
	if (fake->vanish_after && fake->sets >= (unsigned int)fake->vanish_after)
		return -ENODEV;
	fake->sets++;
	if (n > fake->largest_set)
		fake->largest_set = n;
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t *pair = (const uint32_t *)(bytes + 36 + 16 * i + 8);
		int error = driver(fake, pair[0], pair[1]);

		if (error)
			return error;
	}
	return 0;
}

static void answer_set(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	int error = set(fake, request);

	if (fake->drop_acks) {
		fake->drop_acks--;
		return;
	}
	if (fake->done_before_acks) {
		message_begin(&fake->out, NLMSG_DONE, 0, request->nlmsg_seq, 0);
		message_end(&fake->out);
	}
	put_error(fake, request, error);
	if (fake->double_acks)
		put_error(fake, request, error ? 0 : -EIO);
	if (fake->split_acks)
		send_out(fake);
}

static void handle(struct fake_kernel *fake, const struct nlmsghdr *request)
{
	if (fake->mute)
		return;
	if (request->nlmsg_type == RTM_SETLINK)
		answer_set(fake, request);
	else if (request->nlmsg_flags & NLM_F_DUMP)
		dump(fake, request);
	else
		get(fake, request);
}

static void *run(void *arg)
{
	struct fake_kernel *fake = arg;
	ssize_t len;

	while ((len = recv(fake->request_fd, fake->in.buf, sizeof(fake->in.buf), 0)) > 0) {
		size_t at = 0;

		fake->datagrams++;
		message_clear(&fake->out);
		while (at < (size_t)len) {
			const struct nlmsghdr *request = (const struct nlmsghdr *)(fake->in.buf + at);

			handle(fake, request);
			at += NLMSG_ALIGN((size_t)request->nlmsg_len);
		}
		send_out(fake);
	}
	return NULL;
}

static void pair(int *ours, int *theirs)
{
	const int bytes = 2 * (int)MESSAGE_BYTES;
	int fds[2];

	/* SOCK_SEQPACKET keeps messages apart as SOCK_DGRAM does, and knows an end. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		abort();
	for (int i = 0; i < 2; i++)
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
			setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	*ours = fds[0];
	*theirs = fds[1];
}

struct pfs *fake_kernel_open(struct fake_kernel *fake, uint32_t timeout_ms)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	int request_fd, event_fd;
	struct pfs *pfs;

	pair(&fake->request_fd, &request_fd);
	pair(&fake->event_fd, &event_fd);
	options.timeout_ms = timeout_ms;
	if (pfs_open_fds(&pfs, request_fd, event_fd, &options) ||
	    pthread_create(&fake->thread, NULL, run, fake))
		abort();
	return pfs;
}

void fake_kernel_close(struct fake_kernel *fake, struct pfs *pfs)
{
	pfs_close(pfs);
	pthread_join(fake->thread, NULL);
	close(fake->request_fd);
	close(fake->event_fd);
}

void fake_kernel_event(struct fake_kernel *fake, const void *bytes, size_t len)
{
	if (send(fake->event_fd, bytes, len, MSG_NOSIGNAL) < 0)
		abort();
}
