// SPDX-License-Identifier: GPL-2.0
/*
 * VFs: made and removed by sriov_numvfs, read and set through their PF.
 *
 * Each VF has a device of its own, for the physfn link by which a CNI maps a VF
 * to its PF; the PF's device has virtfn0, virtfn1, ... in return, as PCI has.
 */
#include <linux/delay.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "nicsim.h"

const char *const nicsim_link_states[] = {
	[IFLA_VF_LINK_STATE_AUTO] = "auto",
	[IFLA_VF_LINK_STATE_ENABLE] = "enable",
	[IFLA_VF_LINK_STATE_DISABLE] = "disable",
};

static void nicsim_vf_release(struct device *dev)
{
	kfree(container_of(dev, struct nicsim_vf, dev));
	nicsim_device_put();
}

static const struct device_type nicsim_vf_type = {
	.name = "nicsim_vf",
	.release = nicsim_vf_release,
};

static void nicsim_vf_unlink(struct nicsim_vf *vf)
{
	char name[16];

	snprintf(name, sizeof(name), "virtfn%u", vf->id);
	sysfs_remove_link(&vf->port->dev.kobj, name);
	sysfs_remove_link(&vf->dev.kobj, "physfn");
}

static int nicsim_vf_link(struct nicsim_vf *vf)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "virtfn%u", vf->id);
	err = sysfs_create_link(&vf->port->dev.kobj, &vf->dev.kobj, name);
	if (!err)
		err = sysfs_create_link(&vf->dev.kobj, &vf->port->dev.kobj, "physfn");
	if (err)
		nicsim_vf_unlink(vf);
	return err;
}

static int nicsim_vf_add(struct nicsim_port *port, unsigned int id)
{
	struct nicsim_vf *vf = kzalloc(sizeof(*vf), GFP_KERNEL);
	int err;

	if (!vf)
		return -ENOMEM;
	vf->port = port;
	vf->id = id;
	vf->link_state = IFLA_VF_LINK_STATE_AUTO;

	nicsim_device_get();
	device_initialize(&vf->dev);
	vf->dev.bus = &nicsim_bus;
	vf->dev.type = &nicsim_vf_type;
	vf->dev.parent = &port->dev;
	err = dev_set_name(&vf->dev, "%sv%u", dev_name(&port->dev), id);
	if (!err)
		err = device_add(&vf->dev);
	if (err)
		goto out_put;
	err = nicsim_vf_link(vf);
	if (err)
		goto out_del;

	err = -ENOMEM;
	vf->netdev = nicsim_vf_netdev_alloc(vf);
	if (!vf->netdev)
		goto out_unlink;
	ether_addr_copy(vf->mac, vf->netdev->dev_addr);
	rtnl_lock();
	err = register_netdevice(vf->netdev);
	if (!err)
		rcu_assign_pointer(port->vf[id], vf);
	rtnl_unlock();
	if (!err)
		return 0;

	free_netdev(vf->netdev);
out_unlink:
	nicsim_vf_unlink(vf);
out_del:
	device_del(&vf->dev);
out_put:
	put_device(&vf->dev);
	return err;
}

/* All at once: one wait for RCU, however many there are and wherever they went. */
static void nicsim_vfs_remove(struct nicsim_port *port)
{
	struct nicsim_vf *vf, *next;
	LIST_HEAD(netdevs);
	LIST_HEAD(vfs);
	unsigned int i;

	rtnl_lock();
	port->num_vfs = 0;
	for (i = 0; i < NICSIM_MAX_VFS; i++) {
		vf = rtnl_dereference(port->vf[i]);
		if (!vf)
			break;
		RCU_INIT_POINTER(port->vf[i], NULL);
		list_add_tail(&vf->gone, &vfs);
	}
	if (!list_empty(&vfs)) {
		synchronize_net();
		list_for_each_entry(vf, &vfs, gone)
			unregister_netdevice_queue(vf->netdev, &netdevs);
		unregister_netdevice_many(&netdevs);
	}
	rtnl_unlock();

	list_for_each_entry_safe(vf, next, &vfs, gone) {
		nicsim_vf_unlink(vf);
		device_unregister(&vf->dev);
	}
}

/* As for PCI: from none to some or from some to none. Under port->lock. */
int nicsim_sriov_set(struct nicsim_port *port, unsigned int num_vfs)
{
	unsigned int i;
	int err = 0;

	if (num_vfs == port->num_vfs)
		return 0;
	if (!num_vfs) {
		nicsim_vfs_remove(port);
		return 0;
	}
	if (!rcu_access_pointer(port->pf))
		return -ENODEV;
	if (port->num_vfs)
		return -EBUSY;

	for (i = 0; i < num_vfs && !err; i++)
		err = nicsim_vf_add(port, i);
	if (err) {
		nicsim_vfs_remove(port);
		return err;
	}
	/* rtnetlink sizes its answer by this number: it must not change on the way. */
	rtnl_lock();
	port->num_vfs = num_vfs;
	rtnl_unlock();
	return 0;
}

static ssize_t sriov_numvfs_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", container_of(dev, struct nicsim_port, dev)->num_vfs);
}

static ssize_t sriov_numvfs_store(struct device *dev, struct device_attribute *attr,
				  const char *buf, size_t len)
{
	struct nicsim_port *port = container_of(dev, struct nicsim_port, dev);
	unsigned int num_vfs;
	int err;

	err = kstrtouint(buf, 0, &num_vfs);
	if (err)
		return err;
	if (num_vfs > NICSIM_MAX_VFS)
		return -ERANGE;
	mutex_lock(&port->lock);
	err = nicsim_sriov_set(port, num_vfs);
	mutex_unlock(&port->lock);
	return err ?: len;
}
static DEVICE_ATTR_RW(sriov_numvfs);

static ssize_t sriov_totalvfs_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", NICSIM_MAX_VFS);
}
static DEVICE_ATTR_RO(sriov_totalvfs);

static struct attribute *nicsim_sriov_attrs[] = {
	&dev_attr_sriov_numvfs.attr,
	&dev_attr_sriov_totalvfs.attr,
	NULL,
};

static const struct attribute_group nicsim_sriov_group = {
	.attrs = nicsim_sriov_attrs,
};

const struct attribute_group *nicsim_sriov_groups[] = {
	&nicsim_sriov_group,
	NULL,
};

/* What rtnetlink asks of the PF, under RTNL */

static struct nicsim_vf *nicsim_vf_get(struct net_device *pf, int id)
{
	struct nicsim_port *port = nicsim_netdev_port(pf);

	if (id < 0 || id >= port->num_vfs)
		return NULL;
	return rtnl_dereference(port->vf[id]);
}

static bool busy;
module_param(busy, bool, 0644);
MODULE_PARM_DESC(busy, "a slow firmware is waited for by turning, not by sleeping");

/*
 * RTNL is held meanwhile. fsleep() may take twice as long as it is told, and where the clock counts
 * instructions a sleep is as inexact as the host is busy.
 */
static void nicsim_firmware_takes(u32 us)
{
	if (busy)
		for (; us; us -= min(us, 1000u))
			udelay(min(us, 1000u));
	else if (us)
		usleep_range(us, us);
}

int nicsim_get_vf_config(struct net_device *pf, int id, struct ifla_vf_info *info)
{
	struct nicsim_port *port = nicsim_netdev_port(pf);
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);

	atomic_inc(&port->get_calls);
	nicsim_firmware_takes(port->get_delay_us);
	if (!vf)
		return -EINVAL;
	if (test_bit(id, port->hidden))
		return -EAGAIN;
	info->vf = id;
	info->linkstate = vf->link_state;
	ether_addr_copy(info->mac, vf->mac);
	return 0;
}

int nicsim_get_vf_stats(struct net_device *pf, int id, struct ifla_vf_stats *stats)
{
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);
	struct rtnl_link_stats64 link;

	if (!vf)
		return -EINVAL;
	dev_get_stats(vf->netdev, &link);
	stats->rx_packets = link.rx_packets;
	stats->tx_packets = link.tx_packets;
	stats->rx_bytes = link.rx_bytes;
	stats->tx_bytes = link.tx_bytes;
	stats->rx_dropped = link.rx_dropped;
	stats->tx_dropped = link.tx_dropped;
	return 0;
}

int nicsim_set_vf_mac(struct net_device *pf, int id, u8 *mac)
{
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);

	if (!vf || is_multicast_ether_addr(mac))
		return -EINVAL;
	ether_addr_copy(vf->mac, mac);
	return 0;
}

static int nicsim_vf_fault(struct nicsim_fault *fault)
{
	if (!fault->times)
		return 0;
	if (fault->times > 0)
		fault->times--;
	return -fault->err;
}

int nicsim_set_vf_link_state(struct net_device *pf, int id, int link_state)
{
	struct nicsim_port *port = nicsim_netdev_port(pf);
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);
	int err;

	atomic_inc(&port->set_calls);
	nicsim_firmware_takes(port->set_delay_us);
	if (!vf || link_state < 0 || link_state > IFLA_VF_LINK_STATE_DISABLE)
		return -EINVAL;
	err = nicsim_vf_fault(&port->fault[id]);
	if (!err) {
		WRITE_ONCE(vf->link_state, link_state);
		nicsim_vf_link_update(vf);
	}
	nicsim_trace_set(port, id, link_state, err);
	return err;
}
