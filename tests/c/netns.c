// SPDX-License-Identifier: Apache-2.0
/* unshare(2) */
#define _GNU_SOURCE

#include "netns.h"

#include "harness.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool as_root_of_a_user_namespace(void)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %d 1", (int)getuid());
	return !unshare(CLONE_NEWUSER) && write_file("/proc/self/uid_map", map);
}

bool netns_fresh(void)
{
	if (unshare(CLONE_NEWNET) && (!as_root_of_a_user_namespace() || unshare(CLONE_NEWNET))) {
		test_skip("network namespaces are not allowed here");
		return false;
	}
	return ip("link set lo up");
}

bool ip(const char *format, ...)
{
	char command[512] = "ip ";
	va_list args;

	va_start(args, format);
	vsnprintf(command + 3, sizeof(command) - 3, format, args);
	va_end(args);
	return system(command) == 0;
}

bool netns_nic(const char *name)
{
	if (ip("link add %s type veth peer name %sx", name, name))
		return true;
	test_skip("no veth here");
	return false;
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
bool ip_batch(const char *format, int n)
{
	FILE *pipe = popen("ip -batch -", "w");

	if (!pipe)
		return false;
	for (int i = 0; i < n; i++) {
		fprintf(pipe, format, i, i);
		fputc('\n', pipe);
	}
	return pclose(pipe) == 0;
}
