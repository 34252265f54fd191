// SPDX-License-Identifier: Apache-2.0
/* Writes the made-up part of the corpora: seeds DIRECTORY. Recorded ones lie beside it. */

#include "message.h"
#include "pfstatus.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *corpus;
static struct message msg;

static void write_seed(const char *target, const char *name, const void *head, size_t head_len,
		       const void *bytes, size_t len)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", corpus, target, name);
	file = fopen(path, "wb");
	if (!file || fwrite(head, 1, head_len, file) != head_len ||
	    fwrite(bytes, 1, len, file) != len || fclose(file)) {
		perror(path);
		exit(1);
	}
}

/* A link message, for each target that reads some. */
static void write_link(const char *name)
{
	const uint8_t how = 0x1f;
	const uint8_t len[2] = { (uint8_t)msg.len, (uint8_t)(msg.len >> 8) };

	write_seed("decode_link", name, NULL, 0, msg.buf, msg.len);
	write_seed("filter", name, &how, 1, msg.buf, msg.len);
	write_seed("events", name, len, 2, msg.buf, msg.len);
}

static void links(void)
{
	struct pf pf;

	pf_init(&pf, 4);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
	write_link("made-port-with-vfs");
	pf.left_out[1] = true;
	pf.statistics = true;
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
	write_link("made-sparse-vfs-with-statistics");
	pf.no_aggregator = true;
	pf.n_vf = 0;
	pf.name = "fifteen-letters";
	message_clear(&msg);
	message_pf(&msg, RTM_DELLINK, 1, &pf, false);
	write_link("made-port-without-aggregator");
	pf_bond_init(&pf);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, false);
	write_link("made-bond");
	message_begin(&msg, RTM_DELLINK, 0, 0, 0);
	message_ifinfo(&msg, AF_BRIDGE, 7, 0);
	message_string(&msg, IFLA_IFNAME, "eth0");
	message_end(&msg);
	write_link("made-two-messages");
}

static void acks(void)
{
	static const uint8_t request[32];
	const int error = -22;

	message_clear(&msg);
	message_begin(&msg, NLMSG_ERROR, 0x200, 1, 0);
	message_raw(&msg, &error, sizeof(error));
	message_raw(&msg, &(struct nlmsghdr){ .nlmsg_len = 48 }, NLMSG_HDRLEN);
	message_raw(&msg, request, sizeof(request));
	message_string(&msg, 1, "Invalid link state");
	message_end(&msg);
	write_seed("decode_ack", "made-error-with-text", NULL, 0, msg.buf, msg.len);
	message_clear(&msg);
	message_begin(&msg, NLMSG_DONE, 0x200, 1, 0);
	message_raw(&msg, &error, sizeof(error));
	message_string(&msg, 1, "too much");
	message_end(&msg);
	write_seed("decode_ack", "made-done-with-text", NULL, 0, msg.buf, msg.len);
}

static void lacpdus(void)
{
	struct pfs_lacpdu pdu = {
		.source = { 2 }, .version = 1, .mark = 1,
		.actor = { 0xffff, { 2, 0, 0, 0, 0, 1 }, 15, 255, 1, 0x3f, 0 },
		.partner = { 0x8000, { 2, 0, 0, 0, 0, 2 }, 15, 127, 2, 0x3d, 0 },
	};
	uint8_t frame[PFS_LACPDU_BYTES + 54] = { 0 };

	pfs_lacpdu_encode(frame, sizeof(frame), &pdu);
	write_seed("lacpdu", "made-version-1", NULL, 0, frame, PFS_LACPDU_BYTES);
	pdu.version = 2;
	pdu.mark = 0;
	pfs_lacpdu_encode(frame, sizeof(frame), &pdu);
	frame[72] = 4;	/* Port Algorithm */
	frame[73] = 6;
	write_seed("lacpdu", "made-version-2", NULL, 0, frame, sizeof(frame));
	frame[14] = 2;
	write_seed("lacpdu", "made-marker", NULL, 0, frame, PFS_LACPDU_BYTES);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 1;
	corpus = argv[1];
	links();
	acks();
	lacpdus();
	return 0;
}
