// SPDX-License-Identifier: Apache-2.0
/* Runs a fuzz target on files and on the files of directories, with any compiler. */

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static uint8_t bytes[1u << 20];

static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		perror(path);
		exit(1);
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, size);
	return 1;
}

static int replay_all(const char *path)
{
	char inside[4096];
	struct dirent *entry;
	struct stat st;
	DIR *dir;
	int n = 0;

	if (!stat(path, &st) && !S_ISDIR(st.st_mode))
		return replay(path);
	dir = opendir(path);
	if (!dir) {
		perror(path);
		exit(1);
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
		n += replay_all(inside);
	}
	closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++)
		n += replay_all(argv[i]);
	printf("%d inputs\n", n);
	return n == 0;
}
