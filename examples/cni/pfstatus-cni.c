/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pfstatus-cni.c - a chained CNI plugin: a VF whose PF has lost LACP is born
 * disabled. See docs/cni.md.
 *
 * What pfstatus-cni beside it does, for hosts that have no Python; read that one
 * first. tests/cni holds the two to the same answers, and to each other's notes.
 *
 * The process ends after one command, so what JSON and strings it made it keeps.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <pfstatus.h>

#ifndef DEVICES
#define DEVICES "/sys/bus/pci/devices"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#endif
#define DATA_DIR "/var/lib/cni/pfstatus"

#define MAX_VFS 4096
#define NOTE_BYTES 4096

/* Codes of the specification; those from 100 on it leaves to plugins. */
enum {
	VERSION = 1, ENVIRONMENT = 4, IO = 5, DECODE = 6, CONFIG = 7, LATER = 11, UNAVAILABLE = 50,
	NO_VF = 100, KERNEL = 101,
};

static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
#define N_VERSIONS (sizeof(versions) / sizeof(versions[0]))
#define VERSIONS_TEXT "0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"

static const struct command {
	const char *name;
	size_t since;			/* index of versions[] */
	size_t needs;			/* so many of variables[] */
} commands[] = {
	{ "ADD", 0, 3 }, { "CHECK", 2, 3 }, { "DEL", 0, 2 }, { "GC", 4, 0 }, { "STATUS", 4, 0 },
};
#define COMMANDS_TEXT "ADD, CHECK, DEL, GC, STATUS, VERSION"

static const char *const variables[] = { "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS" };
#define N_VARIABLES (sizeof(variables) / sizeof(variables[0]))

/* One call of a runtime's, and what went wrong with it. */
struct call {
	const struct command *command;
	const char *container, *ifname, *netns;
	const char *version;
	const char *network;
	const char *folder;		/* dataDir */
	int dir;			/* the folder, opened and locked by lock_notes() */
	char boot_id[64];
	json_t *config;
	int code;
	bool gone;			/* it was -ENODEV */
	char said[512];
};

/* Every function that can fail gives 0 or a code; the first to fail says why. */
__attribute__((format(printf, 3, 4)))
static int fail(struct call *call, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(call->said, sizeof(call->said), format, args);
	va_end(args);
	return call->code = code;
}

static bool is_transient(int error)
{
	return error == -EAGAIN || error == -EBUSY || error == -ETIMEDOUT;
}

static int fail_kernel(struct call *call, struct pfs *pfs, int error, const char *ifname)
{
	const char *extack = pfs ? pfs_extack(pfs) : "";
	const char *why = error == -EPERM ? "CAP_NET_ADMIN is missing" : strerror(-error);

	call->gone = error == -ENODEV;
	return fail(call, is_transient(error) ? LATER : KERNEL, "%s: %s%s%s", ifname, why,
		    *extack ? "; " : "", extack);
}

/* A driver's error is told in the driver's meaning, whatever it may be of the kernel's. */
static int fail_vf(struct call *call, struct pfs *pfs, const struct pfs_vf_result *result,
		   const char *pf, uint32_t vf)
{
	if (result->scope == PFS_SCOPE_PF)
		return fail_kernel(call, pfs, result->error, pf);
	return fail(call, is_transient(result->error) ? LATER : KERNEL,
		    "%s VF %u: the driver answered %s%s%s", pf, vf, strerror(-result->error),
		    *result->extack ? "; " : "", result->extack);
}

/* ---- The configuration ---------------------------------------------------- */

/* The string under a key; NULL for null and where there is nothing. */
static int get_string(struct call *call, const json_t *of, const char *where, const char *key,
		      const char **value)
{
	const json_t *found = json_object_get(of, key);

	*value = NULL;
	if (!found || json_is_null(found))
		return 0;
	if (!json_is_string(found))
		return fail(call, CONFIG, "%s%s must be a string", where, key);
	*value = json_string_value(found);
	if (strlen(*value) != json_string_length(found))
		return fail(call, CONFIG, "%s%s holds a NUL", where, key);
	return 0;
}

/* The list of objects under a key; NULL, which has no elements, where there is none. */
static int get_objects(struct call *call, const json_t *of, const char *where, const char *key,
		       const json_t **list)
{
	const json_t *one;
	size_t i;

	*list = json_object_get(of, key);
	if (!*list || json_is_null(*list)) {
		*list = NULL;
		return 0;
	}
	if (!json_is_array(*list))
		return fail(call, CONFIG, "%s%s must be a list", where, key);
	json_array_foreach(*list, i, one)
		if (!json_is_object(one))
			return fail(call, CONFIG, "%s%s must be a list of objects", where, key);
	return 0;
}

/* The object under a key, or NULL. */
static int get_object(struct call *call, const json_t *of, const char *key, const json_t **object)
{
	*object = json_object_get(of, key);
	if (json_is_null(*object))
		*object = NULL;
	if (*object && !json_is_object(*object))
		return fail(call, CONFIG, "%s must be an object", key);
	return 0;
}

static int read_configuration(struct call *call)
{
	const json_t *version;
	json_error_t error;

	call->config = json_loadf(stdin, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	if (!call->config)
		return fail(call, DECODE, "the configuration on stdin is no JSON: %s, line %d",
			    error.text, error.line);
	if (!json_is_object(call->config))
		return fail(call, CONFIG, "the configuration on stdin is no JSON object");
	version = json_object_get(call->config, "cniVersion");
	for (size_t i = 0; json_is_string(version) && i < N_VERSIONS; i++)
		if (!strcmp(json_string_value(version), versions[i]))
			call->version = versions[i];
	return 0;
}

static int check_version(struct call *call)
{
	const char *asked;
	int ret = get_string(call, call->config, "", "cniVersion", &asked);

	if (ret)
		return ret;
	if (!asked || !*asked)
		return fail(call, VERSION, "cniVersion is missing; this plugin speaks %s",
			    VERSIONS_TEXT);
	for (size_t i = 0; i < N_VERSIONS; i++) {
		if (strcmp(asked, versions[i]))
			continue;
		if (i >= call->command->since)
			return 0;
		return fail(call, VERSION, "%s came with cniVersion %s; this one is %s",
			    call->command->name, versions[call->command->since], asked);
	}
	return fail(call, VERSION, "cniVersion %s is unknown; this plugin speaks %s", asked,
		    VERSIONS_TEXT);
}

static int find_data_dir(struct call *call)
{
	int ret = get_string(call, call->config, "", "dataDir", &call->folder);

	if (ret)
		return ret;
	if (!call->folder || !*call->folder)
		call->folder = DATA_DIR;
	if (*call->folder != '/')
		return fail(call, CONFIG, "dataDir must be an absolute path, not %s", call->folder);
	return 0;
}

/* ---- From the attachment to the VF ---------------------------------------- */

static bool is_hex(char c)
{
	return c && strchr("0123456789abcdef", c);
}

/* 0000:3b:02.1; the domain may be longer (Intel's VMD). */
static bool is_pci_address(const char *text)
{
	size_t domain = strspn(text, "0123456789abcdef");

	if (domain < 4 || domain > 8 || strlen(text + domain) != strlen(":3b:02.1"))
		return false;
	text += domain;
	return text[0] == ':' && is_hex(text[1]) && is_hex(text[2]) && text[3] == ':' &&
	       is_hex(text[4]) && is_hex(text[5]) && text[6] == '.' && text[7] >= '0' &&
	       text[7] <= '7';
}

/* The folder of a VF's PF in sysfs, and what is in it. */
static const char *physfn(const char *device, const char *in)
{
	char *path;

	return asprintf(&path, DEVICES "/%s/physfn%s", device, in) < 0 ? "" : path;
}

/* The device below the pod's interface; "" for none. */
static int device_in_pod(struct call *call, char device[static 32])
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs *pfs = NULL;
	int ret;

	options.flags = PFS_OPEN_NO_EVENTS | PFS_OPEN_NETNS;
	options.netns_fd = open(call->netns, O_RDONLY | O_CLOEXEC);
	ret = options.netns_fd < 0 ? -errno : pfs_open(&pfs, &options);
	if (!ret)
		ret = pfs_link_get(pfs, 0, call->ifname, &link, NULL, 0);
	pfs_close(pfs);
	if (options.netns_fd >= 0)
		close(options.netns_fd);
	if (ret)
		return fail(call, NO_VF, "%s in %s: %s", call->ifname, call->netns, strerror(-ret));
	memcpy(device, link.parent, sizeof(link.parent));
	return 0;
}

/* The PCI address of the VF that the attachment is about. */
static int find_device(struct call *call, char device[static 32])
{
	const json_t *result, *links, *runtime, *link;
	const char *name, *sandbox, *found = NULL;
	bool inside = false;
	size_t i;
	int ret;

	ret = get_object(call, call->config, "prevResult", &result);
	if (ret)
		return ret;
	if (!result)
		return fail(call, CONFIG, "prevResult is missing: "
			    "this plugin comes after the one that moves the VF");
	ret = get_objects(call, result, "prevResult.", "interfaces", &links);
	if (ret)
		return ret;
	json_array_foreach(links, i, link) {
		name = json_string_value(json_object_get(link, "name"));
		sandbox = json_string_value(json_object_get(link, "sandbox"));
		if (found || !name || strcmp(name, call->ifname) || !sandbox || !*sandbox)
			continue;
		inside = true;
		ret = get_string(call, link, "prevResult.interfaces.", "pciID", &found);
		if (ret)
			return ret;
		found = found && *found ? found : NULL;
	}
	ret = get_object(call, call->config, "runtimeConfig", &runtime);
	if (!ret && !found)
		ret = get_string(call, runtime, "runtimeConfig.", "deviceID", &found);
	if (!ret && !(found && *found))
		ret = get_string(call, call->config, "", "deviceID", &found);
	if (ret)
		return ret;
	*device = '\0';
	if (found && *found)
		snprintf(device, 32, "%s", found);
	else if (inside)
		ret = device_in_pod(call, device);
	if (!ret && !*device)
		return fail(call, NO_VF, "%s in %s is no VF, and no deviceID names one",
			    call->ifname, call->netns);
	return ret;
}

/* Finds the PF of a VF, by name, and the VF's number. */
static int find_pf(struct call *call, const char *device, char pf[static 16], uint32_t *number)
{
	char names[256] = "", target[256];
	const struct dirent *entry;
	size_t interfaces = 0, len = 0;
	bool found = false;
	const char *base;
	ssize_t got;
	DIR *dir;

	if (!is_pci_address(device))
		return fail(call, NO_VF, "%s is no PCI address of a VF, such as 0000:3b:02.1",
			    device);
	dir = opendir(physfn(device, ""));
	while (dir && !found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "virtfn", 6))
			continue;
		got = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[got < 0 ? 0 : got] = '\0';
		base = strrchr(target, '/');
		found = base && !strcmp(base + 1, device);
		if (found)
			*number = (uint32_t)strtoul(entry->d_name + 6, NULL, 10);
	}
	if (dir)
		closedir(dir);
	if (!found)
		return fail(call, NO_VF, "%s is no VF of this host", device);

	dir = opendir(physfn(device, "/net"));
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(pf, 16, "%.15s", entry->d_name);
		if (len < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						interfaces ? ", " : "", entry->d_name);
		interfaces++;
	}
	if (dir)
		closedir(dir);
	if (!interfaces)
		return fail(call, NO_VF, "the PF of %s has no interface here", device);
	if (interfaces > 1)
		return fail(call, NO_VF,
			    "the PF of %s has several interfaces (%s) here: switchdev mode?",
			    device, names);
	return 0;
}

/* ---- Notes of disabled VFs, a file for each ------------------------------- */

struct note {
	bool there;
	bool foreign;			/* somebody else's file, to be left alone */
	bool this_boot;			/* VFs and their link states do not outlive a boot */
	uint32_t ifindex;
	const json_t *owner;		/* [network, container, interface]; NULL: lost in a crash */
};

static bool owned_by(const struct note *note, size_t word, const char *text)
{
	const char *found = json_string_value(json_array_get(note->owner, word));

	return found && !strcmp(found, text);
}

static struct note read_note(const struct call *call, const char *device)
{
	int fd = openat(call->dir, device, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct note note = { .there = fd >= 0 || errno != ENOENT };
	const char *boot_id = NULL;
	char text[NOTE_BYTES];
	json_int_t ifindex = 0;
	ssize_t len = -1;
	struct stat st;
	json_t *owner;
	json_t *json;

	if (fd >= 0) {
		if (!fstat(fd, &st) && S_ISREG(st.st_mode))
			len = read(fd, text, sizeof(text));
		close(fd);
	}
	if (len < 0) {
		note.foreign = note.there;
		return note;
	}
	/* Empty or zeroes: what a crash of the node leaves of a new file. */
	if (strnlen(text, (size_t)len) == 0)
		return note;
	json = json_loadb(text, (size_t)len, 0, NULL);
	note.foreign = json_unpack(json, "{s:s, s:I, s:o}", "boot_id", &boot_id, "ifindex",
				   &ifindex, "owner", &owner) || !json_is_array(owner);
	if (!note.foreign) {
		note.this_boot = !strcmp(boot_id, call->boot_id);
		note.ifindex = (uint32_t)ifindex;
		note.owner = owner;
	}
	return note;
}

/* Atomically: a note is there whole or not at all. */
static int write_note(struct call *call, const char *device, uint32_t ifindex)
{
	char new[40], *text;
	ssize_t len, wrote;
	int fd;

	text = json_dumps(json_pack("{s:s, s:I, s:[s, s, s]}", "boot_id", call->boot_id, "ifindex",
				    (json_int_t)ifindex, "owner", call->network, call->container,
				    call->ifname), 0);
	if (!text)
		return fail(call, IO, "a note cannot be written: name, container or interface "
			    "is not UTF-8, or memory is short");
	len = (ssize_t)strlen(text);
	snprintf(new, sizeof(new), ".%s", device);
	fd = openat(call->dir, new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	wrote = fd < 0 ? -1 : write(fd, text, (size_t)len);
	if (fd >= 0 && close(fd))
		wrote = -1;
	/* No fsync: it means nothing once the node is down. */
	if (wrote != len || renameat(call->dir, new, call->dir, device))
		return fail(call, IO, "%s/%s: %s", call->folder, device, strerror(errno));
	return 0;
}

/* One plugin at a time. Without the folder there is nothing to lock: -ENOENT. */
static int lock_notes(struct call *call)
{
	FILE *file;
	int lock;

	file = fopen(BOOT_ID, "re");
	if (!file || fscanf(file, "%63s", call->boot_id) != 1)
		return fail(call, IO, BOOT_ID ": %s", strerror(errno));
	fclose(file);
	call->dir = open(call->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (call->dir < 0 && errno == ENOENT)
		return -ENOENT;
	lock = call->dir < 0 ? -1 : openat(call->dir, ".lock",
					   O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0 || flock(lock, LOCK_EX))	/* held until the process ends */
		return fail(call, IO, "%s: %s", call->folder, strerror(errno));
	return 0;
}

static int make_and_lock_notes(struct call *call)
{
	char path[4096];
	int error, ret;

	if (snprintf(path, sizeof(path), "%s", call->folder) >= (int)sizeof(path))
		return fail(call, CONFIG, "dataDir is too long");
	for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		mkdir(path, 0755);
	}
	error = mkdir(path, 0700) ? errno : 0;
	ret = lock_notes(call);
	return ret == -ENOENT ? fail(call, IO, "%s: %s", call->folder, strerror(error)) : ret;
}

/* ---- What is done --------------------------------------------------------- */

/*
 * The link state that a VF is to have. At the start of an attachment LACP decides;
 * at its end what we disabled goes back to auto, and nothing else changes.
 */
static uint32_t wanted_state(uint32_t state, int verdict, bool ours, bool ends)
{
	if (!ends && verdict == PFS_DOWN)
		return state == PFS_VF_AUTO ? PFS_VF_DISABLE : state;
	if (ours && state == PFS_VF_DISABLE && (ends || verdict == PFS_UP))
		return PFS_VF_AUTO;
	return state;
}

static int settle_on(struct call *call, struct pfs *pfs, const char *device,
		     const struct note *note, bool ends)
{
	static struct pfs_vf list[MAX_VFS];
	struct pfs_link link = PFS_LINK_INIT;
	struct pfs_bond bond = PFS_BOND_INIT;
	struct pfs_vf setting = { 0, 0 };
	const struct pfs_vf *vf = NULL;
	struct pfs_vf_result result = { 0, 0, "" };
	char pf[16];
	bool ours;
	int lacp;
	int ret;

	ret = find_pf(call, device, pf, &setting.vf);
	if (ret)
		return ret;
	lacp = pfs_pf_get(pfs, 0, pf, &link, &bond, NULL, 0);
	if (lacp < 0 || lacp == PFS_LACP_ABSENT)
		return fail_kernel(call, pfs, lacp < 0 ? lacp : -ENODEV, pf);
	/* Another PF has other VFs. */
	ours = note->this_boot && note->ifindex == link.ifindex;
	if (!ours && pfs_lacp_verdict(lacp) != PFS_DOWN)
		return 0;	/* looking at VFs has its price */

	lacp = pfs_pf_get(pfs, link.ifindex, NULL, &link, &bond, list, MAX_VFS);
	if (lacp < 0 || lacp == PFS_LACP_ABSENT)
		return fail_kernel(call, pfs, lacp < 0 ? lacp : -ENODEV, pf);
	for (uint32_t i = 0; i < link.vf_count && i < MAX_VFS; i++)
		if (list[i].vf == setting.vf)
			vf = &list[i];
	if (!vf)
		return fail(call, LATER, "%s: the driver cannot tell of VF %u just now", pf,
			    setting.vf);

	setting.link_state = wanted_state(vf->link_state, pfs_lacp_verdict(lacp), ours, ends);
	if (!ends && setting.link_state == PFS_VF_DISABLE &&
	    (ours || vf->link_state != PFS_VF_DISABLE)) {	/* noted before it is done */
		ret = write_note(call, device, link.ifindex);
		if (ret)
			return ret;
	}
	if (setting.link_state != vf->link_state) {
		ret = pfs_vf_set(pfs, link.ifindex, &setting, 1, 0, &result);
		if (ret)
			return ret < 0 ? fail_kernel(call, pfs, ret, pf)
				       : fail_vf(call, pfs, &result, pf, setting.vf);
	}
	if (setting.link_state != PFS_VF_DISABLE)
		unlinkat(call->dir, device, 0);
	return 0;
}

static int open_session(struct call *call, struct pfs **pfs)
{
	struct pfs_options options = PFS_OPTIONS_INIT;
	int ret;

	options.flags = PFS_OPEN_NO_EVENTS;
	ret = pfs_open(pfs, &options);
	return ret ? fail_kernel(call, NULL, ret, "rtnetlink") : 0;
}

static int settle(struct call *call, const char *device, const struct note *note, bool ends)
{
	struct pfs *pfs;
	int ret = open_session(call, &pfs);

	if (!ret) {
		ret = settle_on(call, pfs, device, note, ends);
		pfs_close(pfs);
	}
	return ret;
}

/* Undoes what a note tells of, where it still is so, and forgets it. */
static int release(struct call *call, const char *device, const struct note *note)
{
	int ret = 0;

	/* A PF that is gone took its VFs along. */
	if (note->this_boot && !access(physfn(device, "/net"), F_OK))
		ret = settle(call, device, note, true);
	if (ret && call->gone)
		ret = 0;
	if (!ret)
		unlinkat(call->dir, device, 0);
	return ret;
}

static int add(struct call *call)
{
	char device[32], pf[16];
	struct note note;
	uint32_t number;
	int ret;

	ret = find_device(call, device);
	if (!ret)
		ret = find_pf(call, device, pf, &number);
	if (!ret)
		ret = find_data_dir(call);
	if (!ret)
		ret = make_and_lock_notes(call);
	if (ret)
		return ret;
	note = read_note(call, device);
	if (note.foreign)
		return fail(call, IO, "%s/%s is no note of this plugin: is dataDir right?",
			    call->folder, device);
	ret = settle(call, device, &note, false);
	if (ret)
		return ret;
	json_dumpf(json_object_get(call->config, "prevResult"), stdout, JSON_COMPACT);
	return puts("") < 0 || fflush(stdout) ? fail(call, IO, "stdout: %s", strerror(errno)) : 0;
}

/*
 * Releases all notes that @is_over says are over; goes on past what fails.
 * Gives how many failed; call->code and said tell of the last.
 */
static int release_all(struct call *call, const void *what,
		       bool (*is_over)(const struct call *, const struct note *, const void *))
{
	struct dirent **entries;
	int failures = 0;
	int n;

	n = scandir(call->folder, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		const char *device = entries[i]->d_name;
		struct note note;

		if (!is_pci_address(device))
			continue;
		note = read_note(call, device);
		if (!note.there || note.foreign || !is_over(call, &note, what))
			continue;
		if (release(call, device, &note)) {
			fprintf(stderr, "pfstatus-cni: %s is left as it is: %s\n", device,
				call->said);
			failures++;
		}
	}
	return failures;
}

static bool is_of_attachment(const struct call *call, const struct note *note, const void *unused)
{
	(void)unused;
	return owned_by(note, 1, call->container) && owned_by(note, 2, call->ifname) &&
	       (!call->network || owned_by(note, 0, call->network));
}

/*
 * Never fails: the plugin that takes the VF out of the pod comes after this one. A
 * note that cannot be settled now is by the next ADD of its VF, or by GC.
 */
static int delete(struct call *call)
{
	int ret = find_data_dir(call);

	call->network = json_string_value(json_object_get(call->config, "name"));
	if (!ret)
		ret = lock_notes(call);
	if (ret > 0)
		fprintf(stderr, "pfstatus-cni: no VF was given back: %s\n", call->said);
	if (!ret)
		release_all(call, NULL, is_of_attachment);
	return 0;
}

static bool is_garbage(const struct call *call, const struct note *note, const void *valid)
{
	const json_t *one;
	size_t i;

	if (!note->this_boot)
		return true;
	if (!owned_by(note, 0, call->network))
		return false;
	json_array_foreach((const json_t *)valid, i, one)
		if (owned_by(note, 1, json_string_value(json_object_get(one, "containerID"))) &&
		    owned_by(note, 2, json_string_value(json_object_get(one, "ifname"))))
			return false;
	return true;
}

/* GC: what DEL would have done for all attachments that are valid no more. */
static int collect(struct call *call)
{
	const char *container, *ifname;
	const json_t *valid, *one;
	size_t i;
	int ret;

	if (!json_object_get(call->config, "cni.dev/valid-attachments"))
		return 0;
	ret = get_objects(call, call->config, "", "cni.dev/valid-attachments", &valid);
	if (ret)
		return ret;
	json_array_foreach(valid, i, one) {
		ret = get_string(call, one, "", "containerID", &container);
		if (!ret)
			ret = get_string(call, one, "", "ifname", &ifname);
		if (ret)
			return ret;
		if (!container || !*container || !ifname || !*ifname)
			return fail(call, CONFIG, "cni.dev/valid-attachments must name "
				    "containerID and ifname");
	}
	ret = find_data_dir(call);
	if (!ret)
		ret = lock_notes(call);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	return release_all(call, valid, is_garbage) ? call->code : 0;
}

/* CHECK and STATUS: what would make an ADD fail, were LACP up or down. */
static int check(struct call *call, bool status)
{
	struct pfs_link link = PFS_LINK_INIT;
	char device[32], pf[16] = "lo";
	uint32_t number;
	struct pfs *pfs;
	int ret;

	ret = find_data_dir(call);
	if (!ret)
		ret = make_and_lock_notes(call);
	if (!ret && !status)
		ret = find_device(call, device);
	if (!ret && !status)
		ret = find_pf(call, device, pf, &number);
	if (!ret)
		ret = open_session(call, &pfs);
	if (ret)
		return ret;
	ret = status ? 0 : pfs_link_get(pfs, 0, pf, &link, NULL, 0);
	if (!ret)
		ret = pfs_vf_set_permitted(pfs);
	if (ret == -EPERM)
		ret = fail(call, KERNEL, "CAP_NET_ADMIN is missing: VFs could not be set");
	else if (ret)
		ret = fail_kernel(call, pfs, ret, pf);
	pfs_close(pfs);
	return ret;
}

static int run(struct call *call)
{
	const char *verb = call->command->name;
	int ret;

	if (!strcmp(verb, "DEL"))
		return delete(call);
	ret = check_version(call);
	if (!ret)
		ret = get_string(call, call->config, "", "name", &call->network);
	if (ret)
		return ret;
	if (!call->network || !*call->network)
		return fail(call, CONFIG, "name is missing");
	if (!strcmp(verb, "ADD"))
		return add(call);
	if (!strcmp(verb, "GC"))
		return collect(call);
	return check(call, !strcmp(verb, "STATUS"));
}

static int read_environment(struct call *call, const char *verb)
{
	const char *values[N_VARIABLES];
	char missing[64] = "";

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(verb, commands[i].name))
			call->command = &commands[i];
	if (!call->command)
		return fail(call, ENVIRONMENT, "CNI_COMMAND must be one of %s, not '%s'",
			    COMMANDS_TEXT, verb);
	for (size_t i = 0; i < N_VARIABLES; i++) {
		values[i] = getenv(variables[i]);
		if (!values[i])
			values[i] = "";
		if (*values[i] || i >= call->command->needs)
			continue;
		strcat(strcat(missing, *missing ? ", " : ""), variables[i]);
	}
	if (*missing)
		return fail(call, ENVIRONMENT, "missing in the environment: %s", missing);
	call->container = values[0];
	call->ifname = values[1];
	call->netns = values[2];
	return 0;
}

/* A name, or where it was cut, need not be UTF-8; JSON must. */
static json_t *as_json(char *text)
{
	json_t *string = json_string(text);

	for (char *c = text; !string && *c; c++)
		if (*c & 0x80)
			*c = '?';
	return string ? string : json_string(text);
}

int main(void)
{
	struct call call = { .version = versions[N_VERSIONS - 1] };
	const char *verb = getenv("CNI_COMMAND");
	int ret;

	if (verb && !strcmp(verb, "VERSION"))
		return json_dumpf(json_pack("{s:s, s:[s, s, s, s, s]}", "cniVersion", call.version,
					    "supportedVersions", versions[0], versions[1],
					    versions[2], versions[3], versions[4]),
				  stdout, JSON_COMPACT) < 0;
	ret = read_environment(&call, verb ? verb : "");
	if (!ret)
		ret = read_configuration(&call);
	if (!ret)
		ret = run(&call);
	if (!ret)
		return 0;
	if (!strcmp(call.command ? call.command->name : "", "STATUS") &&
	    (ret == IO || ret == KERNEL))
		ret = UNAVAILABLE;
	json_dumpf(json_pack("{s:s, s:i, s:o}", "cniVersion", call.version, "code", ret, "msg",
			     as_json(call.said)), stdout, JSON_COMPACT);
	return 1;
}
