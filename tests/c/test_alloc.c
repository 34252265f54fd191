// SPDX-License-Identifier: Apache-2.0
/*
 * After pfs_open() nothing allocates. The allocator and mmap() and their kin
 * are ours here, for libnl and libc's own callers too; what goes around them
 * would show in the program break or in /proc/self/maps.
 */

/* RTLD_NEXT */
#define _GNU_SOURCE

#include "fake_kernel.h"
#include "harness.h"
#include "netns.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TIMES 1000

/* Of the thread under test alone: the fake kernel is another. */
static _Thread_local bool armed;
static _Thread_local unsigned int allocations, system_calls;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *at, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *at);

/* Or libnl and libc would find their own. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
	allocations += armed;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations += armed;
	return __libc_calloc(n, size);
}

void *realloc(void *at, size_t size)
{
	allocations += armed;
	return __libc_realloc(at, size);
}

void *reallocarray(void *at, size_t n, size_t size)
{
	allocations += armed;
	return __libc_realloc(at, n * size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	allocations += armed;
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **at, size_t alignment, size_t size)
{
	allocations += armed;
	*at = __libc_memalign(alignment, size);
	return *at ? 0 : ENOMEM;
}

void free(void *at)
{
	allocations += armed;
	__libc_free(at);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	allocations += armed;
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

int munmap(void *at, size_t len)
{
	allocations += armed;
	return (int)syscall(SYS_munmap, at, len);
}

int brk(void *at)
{
	allocations += armed;
	return ((int (*)(void *))dlsym(RTLD_NEXT, "brk"))(at);
}

void *sbrk(intptr_t by)
{
	allocations += armed;
	return ((void *(*)(intptr_t))dlsym(RTLD_NEXT, "sbrk"))(by);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	system_calls += armed;
	return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	system_calls += armed;
	return syscall(SYS_recvmsg, fd, msg, flags);
}

#pragma GCC visibility pop

/* What the process holds, as the kernel sees it. Read without allocating. */
static size_t maps(char *to, size_t size)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, to + len, size - len)) > 0)
		len += (size_t)got;
	close(fd);
	return len;
}

static struct pfs_vf vfs[PF_VFS];
static struct pfs_vf_result results[PF_VFS];
static struct pfs_link links[64];
static struct message msg;

static void tap(void *arg, int direction, const void *buf, size_t len)
{
	(void)arg, (void)direction, (void)buf, (void)len;
}

/* Every public function that takes a context or bytes, once. */
static void run_all(struct pfs *pfs, uint32_t ifindex, const char *name)
{
	static const char *const names[] = { "ens5f0", "ens5f1" };
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_bond bond = PFS_BOND_INIT;
	uint8_t buf[256] __attribute__((aligned(8)));
	struct pfs_vf pairs[8];

	for (uint32_t vf = 0; vf < 8; vf++)
		pairs[vf] = (struct pfs_vf){ vf, PFS_VF_DISABLE };
	links[0].size = sizeof(links[0]);
	pfs_tap(pfs, tap, NULL);
	pfs_link_get(pfs, ifindex, NULL, &link, NULL, 0);
	pfs_tap(pfs, NULL, NULL);
	pfs_link_get(pfs, 0, name, &link, vfs, PF_VFS);
	pfs_link_get(pfs, 0, "nobody", &link, vfs, PF_VFS);
	pfs_link_get(pfs, 0, "a-name-of-more-letters-than-fit", &link, NULL, 0);
	pfs_bond_get(pfs, 20, &bond);
	pfs_bond_get(pfs, ifindex, &bond);
	pfs_link_dump(pfs, links, 64);
	pfs_vf_set(pfs, ifindex, pairs, 8, 0, results);
	pfs_vf_set(pfs, ifindex, pairs, 8, 3, results);
	pfs_vf_set_permitted(pfs);
	pfs_extack(pfs);
	pfs_fd(pfs);
	pfs_watch(pfs, &ifindex, 1, names, 2);
	pfs_watch(pfs, NULL, 0, NULL, 0);
	for (int i = 0; i < 4; i++)
		pfs_event_next(pfs, &link);
	pfs_lacp_sentence(pfs_lacp_status(&link, &bond));
	pfs_lacp_name(PFS_LACP_UP);
	pfs_link_decode(msg.buf, msg.len, &link, &bond, vfs, PF_VFS);
	pfs_vf_set_encode(buf, sizeof(buf), ifindex, 1, pairs, 8);
}

static void check_none(struct pfs *pfs, uint32_t ifindex, const char *name)
{
	static char before[1 << 16], after[1 << 16];
	size_t before_len, after_len;
	struct pf pf;

	pf_init(&pf, 64);
	message_clear(&msg);
	message_pf(&msg, RTM_NEWLINK, 1, &pf, true);
	run_all(pfs, ifindex, name);	/* what is bound late is bound now */
	before_len = maps(before, sizeof(before));
	allocations = system_calls = 0;
	armed = true;
	for (int i = 0; i < TIMES; i++)
		run_all(pfs, ifindex, name);
	armed = false;
	after_len = maps(after, sizeof(after));
	printf("# %u allocations, %u messages in and out\n", allocations, system_calls);
	CHECK_EQ(allocations, 0);
	CHECK(system_calls > 10 * TIMES);
	CHECK(before_len == after_len && !memcmp(before, after, after_len));
}

TEST(the_count_itself_works)
{
	struct pfs *pfs;
	void *at;

	/* libnl's allocations are seen, too. */
	allocations = 0;
	armed = true;
	CHECK_EQ(pfs_open(&pfs, NULL), 0);
	armed = false;
	CHECK(allocations >= 3);
	pfs_close(pfs);

	allocations = 0;
	armed = true;
	at = malloc(10);
	free(at);
	free(strdup("text"));
	armed = false;
	CHECK_EQ(allocations, 4);
}

TEST(nothing_allocates_after_open_against_the_kernel)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs *pfs;

	if (!netns_fresh() || !netns_nic("nic"))
		return;
	CHECK_EQ(pfs_open(&pfs, NULL), 0);
	CHECK_EQ(pfs_link_get(pfs, 0, "nic", &link, NULL, 0), 0);
	check_none(pfs, link.ifindex, "nic");
	pfs_close(pfs);
}

static struct fake_kernel fake;

TEST(nothing_allocates_after_open_against_a_fake_one_with_failing_vfs)
{
	struct pfs *pfs;

	fake_kernel_init(&fake, 64);
	fake.vf_error[5] = -EBUSY;
	fake.vf_error_times[5] = VF_ALWAYS;
	fake.text = "busy";
	pfs = fake_kernel_open(&fake, 5000);
	check_none(pfs, 7, "ens5f0");
	fake_kernel_close(&fake, pfs);
}

/* A frame that went out, one that came in, and a question after each. */
static void use_port(struct pfs_port *port, int wire, uint8_t *out, uint8_t *in, size_t len)
{
	struct pfs_lacpdu pdu;
	int64_t ns;

	pfs_port_forget(port);
	for (int i = 0; i < 2; i++) {
		send(wire, i ? in : out, len, 0);
		pfs_port_next(port, &pdu, &ns);
		pfs_port_send(port, PFS_PORT_ASK, &ns);
		pfs_port_send(port, PFS_PORT_REPEAT, &ns);
	}
	pfs_port_next(port, &pdu, &ns);
	pfs_port_free_ns(port);
	pfs_port_fd(port);
}

TEST(a_port_allocates_nothing_after_open)
{
	static uint8_t out[sizeof(struct sockaddr_ll) + PFS_LACPDU_BYTES];
	static uint8_t in[sizeof(out)], sink[4096];
	const struct pfs_lacpdu pdu = { .version = 1 };
	const struct sockaddr_ll how = { .sll_pkttype = PACKET_OUTGOING };
	struct pfs_port *port;
	int fds[2];

	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds));
	CHECK_EQ(pfs_port_open_fd(&port, fds[0]), 0);
	pfs_lacpdu_encode(in + sizeof(how), PFS_LACPDU_BYTES, &pdu);
	memcpy(out, in, sizeof(out));
	memcpy(out, &how, sizeof(how));
	use_port(port, fds[1], out, in, sizeof(out));	/* what is bound late is bound now */
	allocations = system_calls = 0;
	armed = true;
	for (int i = 0; i < TIMES; i++) {
		use_port(port, fds[1], out, in, sizeof(out));
		recv(fds[1], sink, sizeof(sink), 0);
	}
	armed = false;
	CHECK_EQ(allocations, 0);
	CHECK(system_calls >= 5 * TIMES);
	pfs_port_close(port);
	close(fds[1]);
}

/* The header says so; a fast answer needs no poll(). */
TEST(a_question_is_two_system_calls)
{
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs *pfs;

	if (!netns_fresh())
		return;
	CHECK_EQ(pfs_open(&pfs, NULL), 0);
	system_calls = 0;
	armed = true;
	pfs_link_get(pfs, 1, NULL, &link, NULL, 0);
	armed = false;
	CHECK_EQ(system_calls, 2);
	system_calls = 0;
	armed = true;
	pfs_vf_set_permitted(pfs);
	armed = false;
	CHECK_EQ(system_calls, 2);
	pfs_close(pfs);
}
