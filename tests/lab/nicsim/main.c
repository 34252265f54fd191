// SPDX-License-Identifier: GPL-2.0
/*
 * nicsim - the module and its ports.
 *
 * A port's PCI bus and PF stay for the module's life; the netdevs and the VFs come
 * and go beneath.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "nicsim.h"

static unsigned int ports = 2;
module_param(ports, uint, 0444);
MODULE_PARM_DESC(ports, "number of NIC ports (default 2)");

static struct nicsim_port **nicsim_ports;

/* The port whose PF @netdev is, or NULL. Under RTNL. */
struct nicsim_port *nicsim_port_of_pf(const struct net_device *netdev)
{
	unsigned int i;

	for (i = 0; i < ports; i++)
		if (nicsim_ports[i] && rtnl_dereference(nicsim_ports[i]->pf) == netdev)
			return nicsim_ports[i];
	return NULL;
}

static void nicsim_port_free(struct nicsim_port *port)
{
	nicsim_trace_free(&port->trace);
	kfree(port);
}

static void nicsim_port_remove(struct nicsim_port *port)
{
	nicsim_knobs_remove(port);
	nicsim_trace_sample(port, false);

	/* Without a PF a late write to sriov_numvfs finds nothing to do. */
	mutex_lock(&port->lock);
	nicsim_pf_remove(port);
	mutex_unlock(&port->lock);

	nicsim_pci_remove(port);
	nicsim_switch_port_remove(port);
	rtnl_lock();
	nicsim_ports[port->index] = NULL;
	rtnl_unlock();
	nicsim_port_free(port);
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
	err = nicsim_switch_port_add(port);
	if (err) {
		nicsim_port_free(port);
		return err;
	}
	rtnl_lock();
	nicsim_ports[index] = port;
	rtnl_unlock();

	err = nicsim_pci_add(port);
	if (err) {
		nicsim_switch_port_remove(port);
		rtnl_lock();
		nicsim_ports[index] = NULL;
		rtnl_unlock();
		nicsim_port_free(port);
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
}

static int __init nicsim_init(void)
{
	unsigned int i;
	int err;

	nicsim_ports = kcalloc(ports, sizeof(*nicsim_ports), GFP_KERNEL);
	if (!nicsim_ports)
		return -ENOMEM;
	nicsim_debugfs = debugfs_create_dir("nicsim", NULL);
	err = nicsim_pci_register();
	if (err)
		goto out_debugfs;
	err = register_netdevice_notifier(&nicsim_trace_notifier);
	if (err)
		goto out_pci;
	for (i = 0; i < ports; i++) {
		err = nicsim_port_add(i);
		if (err)
			goto out_ports;
	}
	return 0;

out_ports:
	nicsim_ports_remove();
	unregister_netdevice_notifier(&nicsim_trace_notifier);
out_pci:
	nicsim_pci_unregister();
out_debugfs:
	debugfs_remove(nicsim_debugfs);
	kfree(nicsim_ports);
	return err;
}

static void __exit nicsim_exit(void)
{
	nicsim_ports_remove();
	unregister_netdevice_notifier(&nicsim_trace_notifier);
	nicsim_pci_unregister();
	debugfs_remove(nicsim_debugfs);
	kfree(nicsim_ports);
}

module_init(nicsim_init);
module_exit(nicsim_exit);
MODULE_DESCRIPTION("SR-IOV NICs cabled to switch ports, simulated");
MODULE_LICENSE("GPL");
