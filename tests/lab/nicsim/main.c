// SPDX-License-Identifier: GPL-2.0
/*
 * nicsim - the module, its bus, and its ports.
 *
 * The bus is there for its num_vf callback: rtnetlink shows a netdev's VFs when
 * the bus of its parent device counts some. A port's device stays for the
 * module's life; PF and VFs come and go beneath it.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "nicsim.h"

static unsigned int ports = 2;
module_param(ports, uint, 0444);
MODULE_PARM_DESC(ports, "number of NIC ports (default 2)");

static struct nicsim_port **nicsim_ports;

/* Devices whose release function, which is in this module, has yet to run. */
static atomic_t nicsim_devices;
static DECLARE_WAIT_QUEUE_HEAD(nicsim_devices_gone);

void nicsim_device_get(void)
{
	atomic_inc(&nicsim_devices);
}

void nicsim_device_put(void)
{
	if (atomic_dec_and_test(&nicsim_devices))
		wake_up(&nicsim_devices_gone);
}

static void nicsim_port_release(struct device *dev)
{
	struct nicsim_port *port = container_of(dev, struct nicsim_port, dev);

	nicsim_trace_free(&port->trace);
	kfree(port);
	nicsim_device_put();
}

const struct device_type nicsim_port_type = {
	.name = "nicsim_port",
	.groups = nicsim_sriov_groups,
	.release = nicsim_port_release,
};

static int nicsim_num_vf(struct device *dev)
{
	if (dev->type != &nicsim_port_type)
		return 0;
	return container_of(dev, struct nicsim_port, dev)->num_vfs;
}

struct bus_type nicsim_bus = {
	.name = "nicsim",
	.num_vf = nicsim_num_vf,
};

/* The port whose PF @netdev is, or NULL. Under RTNL. */
struct nicsim_port *nicsim_port_of_pf(const struct net_device *netdev)
{
	unsigned int i;

	for (i = 0; i < ports; i++)
		if (nicsim_ports[i] && rtnl_dereference(nicsim_ports[i]->pf) == netdev)
			return nicsim_ports[i];
	return NULL;
}

static void nicsim_port_remove(struct nicsim_port *port)
{
	nicsim_knobs_remove(port);
	nicsim_trace_sample(port, false);

	/* Without a PF a late write to sriov_numvfs finds nothing to do. */
	mutex_lock(&port->lock);
	nicsim_pf_remove(port);
	mutex_unlock(&port->lock);

	nicsim_switch_port_remove(port);
	rtnl_lock();
	nicsim_ports[port->index] = NULL;
	rtnl_unlock();
	device_unregister(&port->dev);
}

static int nicsim_port_add(unsigned int index)
{
	struct nicsim_port *port = kzalloc(sizeof(*port), GFP_KERNEL);
	int err;

	if (!port)
		return -ENOMEM;
	port->index = index;
	mutex_init(&port->lock);
	err = nicsim_trace_init(&port->trace);
	if (err) {
		kfree(port);
		return err;
	}

	nicsim_device_get();
	device_initialize(&port->dev);
	port->dev.bus = &nicsim_bus;
	port->dev.type = &nicsim_port_type;
	err = dev_set_name(&port->dev, "nicsim%u", index);
	if (!err)
		err = device_add(&port->dev);
	if (err) {
		put_device(&port->dev);
		return err;
	}

	err = nicsim_switch_port_add(port);
	if (err) {
		device_unregister(&port->dev);
		return err;
	}
	rtnl_lock();
	nicsim_ports[index] = port;
	rtnl_unlock();

	mutex_lock(&port->lock);
	err = nicsim_pf_add(port);
	mutex_unlock(&port->lock);
	if (err) {
		nicsim_port_remove(port);
		return err;
	}
	nicsim_knobs_add(port);
	return 0;
}

static void nicsim_ports_remove(void)
{
	unsigned int i;

	for (i = 0; i < ports; i++)
		if (nicsim_ports[i])
			nicsim_port_remove(nicsim_ports[i]);
	wait_event(nicsim_devices_gone, !atomic_read(&nicsim_devices));
}

static int __init nicsim_init(void)
{
	unsigned int i;
	int err;

	nicsim_ports = kcalloc(ports, sizeof(*nicsim_ports), GFP_KERNEL);
	if (!nicsim_ports)
		return -ENOMEM;
	nicsim_debugfs = debugfs_create_dir("nicsim", NULL);
	err = bus_register(&nicsim_bus);
	if (err)
		goto out_debugfs;
	err = register_netdevice_notifier(&nicsim_trace_notifier);
	if (err)
		goto out_bus;
	for (i = 0; i < ports; i++) {
		err = nicsim_port_add(i);
		if (err)
			goto out_ports;
	}
	return 0;

out_ports:
	nicsim_ports_remove();
	unregister_netdevice_notifier(&nicsim_trace_notifier);
out_bus:
	bus_unregister(&nicsim_bus);
out_debugfs:
	debugfs_remove(nicsim_debugfs);
	kfree(nicsim_ports);
	return err;
}

static void __exit nicsim_exit(void)
{
	nicsim_ports_remove();
	unregister_netdevice_notifier(&nicsim_trace_notifier);
	bus_unregister(&nicsim_bus);
	debugfs_remove(nicsim_debugfs);
	kfree(nicsim_ports);
}

module_init(nicsim_init);
module_exit(nicsim_exit);
MODULE_DESCRIPTION("SR-IOV NICs cabled to switch ports, simulated");
MODULE_LICENSE("GPL");
