// SPDX-License-Identifier: GPL-2.0
/*
 * What a test may turn and read, in debugfs, nicsim/nicsim0/ for port 0:
 *
 *   present       0 unregisters the PF's netdev and its VFs with it; 1 registers
 *                 it again: same name, new ifindex, no VFs
 *   set_delay_us  a firmware that takes that long to set a VF's link state, and
 *   get_delay_us  to read a VF: RTNL is held meanwhile
 *   vf_fail       "vf errno times [1]": setting that VF's link state fails that
 *                 often, -1 for ever, 0 no more; an empty line clears all. An errno
 *                 of 0 is a driver that says yes and does nothing; 1 at the end is
 *                 one that sets the VF, whatever it says
 *   vf_hide       list of VFs ("3,8-11") whose config answers EAGAIN
 *   sample_lacp   1: note in the trace each change of the PF's port states, as
 *                 seen every 2 ms, and not only what the kernel announces
 *   set_calls     how often the kernel set a VF's link state, and
 *   get_calls     read a VF; writable
 *   vf_state      "vf state" for each VF, as the NIC has it (read only)
 *   trace         see trace.c; any write resets it
 *
 * sriov_numvfs and sriov_totalvfs are where PCI has them: with the device, which
 * pci.c has the address of.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "nicsim.h"

struct dentry *nicsim_debugfs;

static int present_get(void *data, u64 *value)
{
	struct nicsim_port *port = data;

	*value = !!rcu_access_pointer(port->pf);
	return 0;
}

static int present_set(void *data, u64 value)
{
	struct nicsim_port *port = data;
	int err = 0;

	mutex_lock(&port->lock);
	if (value)
		err = nicsim_pf_add(port);
	else
		nicsim_pf_remove(port);
	mutex_unlock(&port->lock);
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(present_fops, present_get, present_set, "%llu\n");

static int sample_lacp_get(void *data, u64 *value)
{
	struct nicsim_port *port = data;

	*value = !!READ_ONCE(port->trace.sampler);
	return 0;
}

static int sample_lacp_set(void *data, u64 value)
{
	struct nicsim_port *port = data;
	int err;

	mutex_lock(&port->lock);
	err = nicsim_trace_sample(port, value);
	mutex_unlock(&port->lock);
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(sample_lacp_fops, sample_lacp_get, sample_lacp_set, "%llu\n");

/* Files of text: a show function, and a write function or NULL. */
#define NICSIM_TEXT_FILE(name, writer)						\
static int name##_open(struct inode *inode, struct file *file)			\
{										\
	return single_open(file, name##_show, inode->i_private);		\
}										\
static const struct file_operations name##_fops = {				\
	.open = name##_open,							\
	.read = seq_read,							\
	.write = writer,							\
	.llseek = seq_lseek,							\
	.release = single_release,						\
}

static struct nicsim_port *nicsim_file_port(struct file *file)
{
	return ((struct seq_file *)file->private_data)->private;
}

static int vf_fail_show(struct seq_file *file, void *unused)
{
	struct nicsim_port *port = file->private;
	unsigned int i;

	for (i = 0; i < NICSIM_MAX_VFS; i++)
		if (READ_ONCE(port->fault[i].times))
			seq_printf(file, "%u %d %d %d\n", i, port->fault[i].err,
				   port->fault[i].times, port->fault[i].done);
	return 0;
}

static ssize_t vf_fail_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	struct nicsim_port *port = nicsim_file_port(file);
	struct nicsim_fault fault = { .done = 0 };
	char line[32] = "";
	unsigned int vf;

	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, len))
		return -EFAULT;
	if (!*strim(line)) {
		rtnl_lock();
		memset(port->fault, 0, sizeof(port->fault));
		rtnl_unlock();
		return len;
	}
	if (sscanf(line, "%u %d %d %d", &vf, &fault.err, &fault.times, &fault.done) < 3 ||
	    vf >= NICSIM_MAX_VFS || fault.err < 0 || fault.err > MAX_ERRNO)
		return -EINVAL;
	rtnl_lock();
	port->fault[vf] = fault;
	rtnl_unlock();
	return len;
}
NICSIM_TEXT_FILE(vf_fail, vf_fail_write);

static int vf_hide_show(struct seq_file *file, void *unused)
{
	struct nicsim_port *port = file->private;

	seq_printf(file, "%*pbl\n", NICSIM_MAX_VFS, port->hidden);
	return 0;
}

static ssize_t vf_hide_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	struct nicsim_port *port = nicsim_file_port(file);
	DECLARE_BITMAP(hidden, NICSIM_MAX_VFS);
	int err;

	err = bitmap_parselist_user(from, len, hidden, NICSIM_MAX_VFS);
	if (err)
		return err;
	rtnl_lock();
	bitmap_copy(port->hidden, hidden, NICSIM_MAX_VFS);
	rtnl_unlock();
	return len;
}
NICSIM_TEXT_FILE(vf_hide, vf_hide_write);

static int vf_state_show(struct seq_file *file, void *unused)
{
	struct nicsim_port *port = file->private;
	unsigned int i;

	/* Keeps the VFs from going away; under RTNL a reader would wait for a slow NIC. */
	mutex_lock(&port->lock);
	for (i = 0; i < port->num_vfs; i++)
		seq_printf(file, "%u %s\n", i,
			   nicsim_link_states[READ_ONCE(port->vf[i].link_state)]);
	mutex_unlock(&port->lock);
	return 0;
}
NICSIM_TEXT_FILE(vf_state, NULL);

static int trace_show(struct seq_file *file, void *unused)
{
	struct nicsim_port *port = file->private;

	nicsim_trace_show(&port->trace, file);
	return 0;
}

static ssize_t trace_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	nicsim_trace_reset(&nicsim_file_port(file)->trace);
	return len;
}
NICSIM_TEXT_FILE(trace, trace_write);

void nicsim_knobs_add(struct nicsim_port *port)
{
	struct dentry *dir;
	char name[16];

	snprintf(name, sizeof(name), "nicsim%u", port->index);
	dir = debugfs_create_dir(name, nicsim_debugfs);
	port->debugfs = dir;
	debugfs_create_file_unsafe("present", 0644, dir, port, &present_fops);
	debugfs_create_file_unsafe("sample_lacp", 0644, dir, port, &sample_lacp_fops);
	debugfs_create_u32("set_delay_us", 0644, dir, &port->set_delay_us);
	debugfs_create_u32("get_delay_us", 0644, dir, &port->get_delay_us);
	debugfs_create_atomic_t("set_calls", 0644, dir, &port->set_calls);
	debugfs_create_atomic_t("get_calls", 0644, dir, &port->get_calls);
	debugfs_create_file("vf_fail", 0644, dir, port, &vf_fail_fops);
	debugfs_create_file("vf_hide", 0644, dir, port, &vf_hide_fops);
	debugfs_create_file("vf_state", 0444, dir, port, &vf_state_fops);
	debugfs_create_file("trace", 0644, dir, port, &trace_fops);
}

/* Waits for whoever is reading or writing. */
void nicsim_knobs_remove(struct nicsim_port *port)
{
	debugfs_remove(port->debugfs);
}
