// SPDX-License-Identifier: Apache-2.0
/* A port: on a socketpair whose other end plays the wire, and on this machine's kernel. */

#include "harness.h"
#include "netns.h"
#include "pfstatus.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct pfs_port *port;
static int wire = -1;
static struct pfs_lacpdu pdu;
static int64_t ns;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void open_pair(void)
{
	int fds[2];

	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds));
	CHECK_EQ(pfs_port_open_fd(&port, fds[0]), 0);
	CHECK_EQ(pfs_port_fd(port), fds[0]);
	wire = fds[1];
}

static void close_pair(void)
{
	pfs_port_close(port);
	close(wire);
}

/* From the PF (system 0xa0) to the switch (0xb0), or back. */
static size_t make(uint8_t *buf, bool from_pf, uint8_t state, uint32_t mark)
{
	struct pfs_lacpdu made = { .version = 1, .mark = mark };

	made.source[0] = 2;
	made.actor = (struct pfs_lacpdu_end){ 0xffff, { 2, 0, 0, 0, 0, from_pf ? 0xa0 : 0xb0 },
					      15, 255, 1, state, 0 };
	made.partner = (struct pfs_lacpdu_end){ 0xffff, { 2, 0, 0, 0, 0, from_pf ? 0xb0 : 0xa0 },
						15, 255, 1, 0x3f, 0 };
	return (size_t)pfs_lacpdu_encode(buf, PFS_LACPDU_BYTES, &made);
}

/* A frame passes on the wire of a socketpair. */
static void pass(bool from_pf, uint8_t state, uint32_t mark)
{
	struct sockaddr_ll how = { .sll_pkttype = from_pf ? PACKET_OUTGOING : PACKET_MULTICAST };
	uint8_t buf[sizeof(how) + PFS_LACPDU_BYTES];
	size_t len = sizeof(how) + make(buf + sizeof(how), from_pf, state, mark);

	memcpy(buf, &how, sizeof(how));
	CHECK_EQ(send(wire, buf, len, 0), (long long)len);
}

static void pass_and_read(bool from_pf, uint8_t state, uint32_t mark)
{
	pass(from_pf, state, mark);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), from_pf ? PFS_PORT_SENT : PFS_PORT_RECEIVED);
}

/* What the port sent arrives at the other end. */
static bool arrives(struct pfs_lacpdu *sent)
{
	uint8_t buf[2048];
	ssize_t len = recv(wire, buf, sizeof(buf), MSG_DONTWAIT);

	return len > 0 && !pfs_lacpdu_decode(buf, (size_t)len, sent);
}

TEST(port_tells_which_way_a_lacpdu_went_and_when)
{
	int64_t before = now_ns(), last;

	open_pair();
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EAGAIN);
	pass_and_read(true, 0x3f, 0);
	CHECK_EQ(pdu.actor.system[5], 0xa0);
	CHECK(ns >= before && ns <= now_ns());
	last = ns;
	pass_and_read(false, 0x3d, 0);
	CHECK_EQ(pdu.actor.system[5], 0xb0);
	CHECK_EQ(pdu.actor.state, 0x3d);
	CHECK(ns >= last && ns <= now_ns());
	close_pair();
}

TEST(port_without_a_template_or_a_partner_asks_nothing)
{
	struct pfs_lacpdu sent;

	open_pair();
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), -ENODATA);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENODATA);
	pass_and_read(true, 0x3f, 0);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), -ENODATA);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_COPY, &ns), -ENODATA);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), 0);
	CHECK(arrives(&sent));
	CHECK_EQ(sent.partner.state, 0x3f);
	pass_and_read(false, 0x3f, 0);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), 0);
	pfs_port_forget(port);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENODATA);
	CHECK_EQ(pfs_port_send(port, 3, &ns), -EINVAL);
	CHECK_EQ(pfs_port_send(port, -1, &ns), -EINVAL);
	close_pair();
}

TEST(port_asks_with_its_kernels_words_and_its_partners_latest)
{
	static const struct {
		int what;
		uint8_t partner_state;
	} rows[] = { { PFS_PORT_ASK, 0x3f }, { PFS_PORT_COPY, 0x3d } };
	struct pfs_lacpdu own, sent[2];

	open_pair();
	pass_and_read(true, 0x3f, 0);
	own = pdu;
	pass_and_read(false, 0x3f, 0);
	pass_and_read(false, 0x3d, 0);	/* it asks for the slow rate now */
	for (size_t i = 0; i < 2; i++) {
		CHECK_EQ(pfs_port_send(port, rows[i].what, &ns), 0);
		CHECK(arrives(&sent[i]));
		CHECK(!memcmp(&sent[i].actor, &own.actor, sizeof(own.actor)));
		CHECK(!memcmp(sent[i].source, own.source, sizeof(own.source)));
		CHECK_EQ(sent[i].partner.system[5], 0xb0);
		CHECK_EQ(sent[i].partner.state, rows[i].partner_state);
	}
	CHECK(sent[0].mark && sent[1].mark && sent[0].mark != sent[1].mark);
	close_pair();
}

TEST(port_takes_no_other_programs_question_for_its_kernels_word)
{
	struct pfs_lacpdu sent;

	open_pair();
	pass_and_read(true, 0x3f, 0);
	pass_and_read(true, 0x07, 4711);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), 0);
	CHECK(arrives(&sent));
	CHECK_EQ(sent.actor.state, 0x3f);
	pass_and_read(true, 0x07, 0);
	close_pair();
}

/* Unless this machine slept until it was free. */
static void check_busy(int64_t free_ns)
{
	int ret = pfs_port_send(port, PFS_PORT_ASK, &ns);

	CHECK(ret == -EBUSY || (!ret && now_ns() >= free_ns));
}

TEST(port_sends_three_in_a_second_with_its_kernels_own_and_no_more)
{
	struct pfs_lacpdu sent;
	int64_t free_ns, first;

	open_pair();
	CHECK_EQ(pfs_port_free_ns(port), 0);
	pass_and_read(true, 0x3f, 0);
	first = ns;
	pass_and_read(false, 0x3f, 0);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), 0);
	CHECK(pfs_port_free_ns(port) <= now_ns());
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), 0);
	free_ns = pfs_port_free_ns(port);
	CHECK_EQ(free_ns, first + 1000000000);
	check_busy(free_ns);
	CHECK(arrives(&sent) && arrives(&sent) && !arrives(&sent));
	while (now_ns() < free_ns)
		poll(NULL, 0, 10);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &first), 0);
	/* Another program's count, too. */
	pass_and_read(true, 0x3f, 4711);
	pass_and_read(true, 0x3f, 4712);
	CHECK_EQ(pfs_port_free_ns(port), first + 1000000000);
	check_busy(first + 1000000000);
	close_pair();
}

TEST(port_reads_before_it_asks)
{
	open_pair();
	pass_and_read(true, 0x3f, 0);
	pass_and_read(false, 0x3f, 0);
	pass(false, 0x3f, 0);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), -EAGAIN);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_RECEIVED);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &ns), 0);
	close_pair();
}

TEST(port_tells_what_it_cannot_read)
{
	static const struct sockaddr_ll how;

	open_pair();
	CHECK_EQ(send(wire, &how, sizeof(how) - 1, 0), sizeof(how) - 1);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EBADMSG);
	CHECK_EQ(send(wire, &how, sizeof(how), 0), sizeof(how));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -ENOMSG);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EAGAIN);
	close_pair();
}

TEST(port_asks_for_no_template_of_another_version)
{
	static const struct sockaddr_ll how = { .sll_pkttype = PACKET_OUTGOING };
	uint8_t buf[sizeof(how) + PFS_LACPDU_BYTES];

	open_pair();
	memcpy(buf, &how, sizeof(how));
	make(buf + sizeof(how), true, 0x3f, 0);
	buf[sizeof(how) + 15] = 2;
	CHECK_EQ(send(wire, buf, sizeof(buf), 0), sizeof(buf));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_SENT);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -EPROTONOSUPPORT);
	close_pair();
}

/* The kernel: a veth pair, pf0 watched, and a raw socket at either end. */

static int raw_socket(const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(0x8809) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	addr.sll_ifindex = (int)if_nametoindex(name);
	CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 5000) > 0;
}

/* Until the kernel's link watch has been there, what is sent is dropped. */
static bool comes_up(const char *name)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs *pfs;

	options.flags = PFS_OPEN_NO_EVENTS;
	if (pfs_open(&pfs, &options))
		return false;
	for (int i = 0; i < 500 && link.operstate != 6; i++) {
		poll(NULL, 0, 10);
		pfs_link_get(pfs, 0, name, &link, NULL, 0);
	}
	pfs_close(pfs);
	return link.operstate == 6;
}

static bool veth_up(void)
{
	return netns_fresh() && netns_nic("pf0") &&
	       ip("link set pf0 address 02:00:00:00:00:a0") && ip("link set pf0 up") &&
	       ip("link set pf0x up") && comes_up("pf0") && comes_up("pf0x");
}

TEST(kernel_shows_lacpdus_of_both_directions_and_nothing_else)
{
	static const uint8_t other[PFS_LACPDU_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,
							 0, 0, 0, 1, 0x08, 0x00 };
	uint8_t buf[PFS_LACPDU_BYTES];
	int64_t before, asked;
	int pf, sw;

	if (!veth_up())
		return;
	pf = raw_socket("pf0");
	sw = raw_socket("pf0x");
	CHECK_EQ(pfs_port_open(&port, if_nametoindex("pf0"), -1), 0);
	before = now_ns();
	CHECK_EQ(send(sw, other, sizeof(other), 0), sizeof(other));
	make(buf, false, 0x3f, 0);
	buf[14] = 2;	/* a marker */
	CHECK_EQ(send(sw, buf, sizeof(buf), 0), sizeof(buf));
	make(buf, false, 0x3f, 0);
	CHECK_EQ(send(sw, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(readable(pfs_port_fd(port)));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_RECEIVED);
	CHECK_EQ(pdu.actor.system[5], 0xb0);
	CHECK(ns >= before && ns <= now_ns());
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EAGAIN);

	make(buf, true, 0x3f, 0);
	CHECK_EQ(send(pf, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(readable(pfs_port_fd(port)));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_SENT);
	CHECK_EQ(pdu.actor.system[5], 0xa0);
	CHECK(readable(sw));
	CHECK_EQ(recv(sw, buf, sizeof(buf), 0), sizeof(buf));

	CHECK_EQ(pfs_port_send(port, PFS_PORT_ASK, &asked), 0);
	CHECK(asked >= ns && asked <= now_ns());
	CHECK(readable(sw));
	CHECK_EQ(recv(sw, buf, sizeof(buf), 0), sizeof(buf));
	CHECK_EQ(pfs_lacpdu_decode(buf, sizeof(buf), &pdu), 0);
	CHECK_EQ(pdu.actor.system[5], 0xa0);
	CHECK_EQ(pdu.partner.state, 0x3d);
	/* Its own question is no news to it. */
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EAGAIN);
	pfs_port_close(port);
	close(pf);
	close(sw);
}

TEST(kernel_stamps_a_lacpdu_when_it_passes_and_not_when_it_is_read)
{
	uint8_t buf[PFS_LACPDU_BYTES];
	int64_t sent;
	int sw;

	if (!veth_up())
		return;
	sw = raw_socket("pf0x");
	CHECK_EQ(pfs_port_open(&port, if_nametoindex("pf0"), -1), 0);
	make(buf, false, 0x3f, 0);
	/* The first stamps wait until the kernel has patched itself to take them. */
	for (int i = 0; i < 2; i++) {
		poll(NULL, 0, 300);
		CHECK_EQ(send(sw, buf, sizeof(buf), 0), sizeof(buf));
		sent = now_ns();
		poll(NULL, 0, 300);
		CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_RECEIVED);
	}
	CHECK(ns <= sent + 200000000);
	pfs_port_close(port);
	close(sw);
}

TEST(a_template_ends_with_the_pfs_mac_its_link_and_itself)
{
	uint8_t buf[PFS_LACPDU_BYTES];
	int pf;

	if (!veth_up())
		return;
	pf = raw_socket("pf0");
	CHECK_EQ(pfs_port_open(&port, if_nametoindex("pf0"), -1), 0);
	make(buf, true, 0x3f, 0);
	CHECK_EQ(send(pf, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(readable(pfs_port_fd(port)));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_SENT);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), 0);
	CHECK(ip("link set pf0 address 02:00:00:00:00:a1"));
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENODATA);

	CHECK_EQ(send(pf, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(readable(pfs_port_fd(port)));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_SENT);
	CHECK(ip("link set pf0 down"));
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -EAGAIN);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -ENETDOWN);
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), -EAGAIN);
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENODATA);

	CHECK(ip("link set pf0 up") && comes_up("pf0"));
	close(pf);
	pf = raw_socket("pf0");
	CHECK_EQ(send(pf, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(readable(pfs_port_fd(port)));
	CHECK_EQ(pfs_port_next(port, &pdu, &ns), PFS_PORT_SENT);

	CHECK(ip("link del pf0"));
	while (pfs_port_next(port, &pdu, &ns) == -ENETDOWN)
		;
	CHECK_EQ(pfs_port_send(port, PFS_PORT_REPEAT, &ns), -ENODEV);
	pfs_port_close(port);
	close(pf);
}

TEST(a_port_opens_in_another_namespace_and_says_what_it_cannot)
{
	uint32_t ifindex;
	int netns;

	if (!veth_up())
		return;
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ifindex = if_nametoindex("pf0");
	CHECK(netns_fresh());
	CHECK_EQ(pfs_port_open(&port, ifindex, -1), -ENODEV);
	CHECK_EQ(pfs_port_open(&port, ifindex, netns), 0);
	pfs_port_close(port);
	CHECK_EQ(pfs_port_open(&port, if_nametoindex("lo"), -1), -EMEDIUMTYPE);
	CHECK_EQ(pfs_port_open(&port, 0, -1), -EINVAL);
	CHECK_EQ(pfs_port_open(&port, 1, netns + 100), -EBADF);
	CHECK_EQ(pfs_port_open_fd(&port, -1), -EBADF);
	CHECK_EQ(pfs_port_open_fd(&port, netns), -ENOTSOCK);
	pfs_port_close(NULL);
	close(netns);
}
