// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI bus that a port is on, and the drivers of PF, VFs, and VFs of DPDK's.
 *
 * Programs that manage VFs go by /sys/bus/pci/devices: physfn, virtfnN, driver,
 * sriov_numvfs. All of that is the kernel's own for real PCI devices, and those
 * need no more than a bus whose configuration space is memory. Port N is function
 * 0001:3b+3N:00.0 and VF K of it lies 0x10 + K functions further.
 */
#include <linux/pci.h>
#include <linux/slab.h>

#include "nicsim.h"

#define NICSIM_DOMAIN		1	/* the machine's own devices are in 0 */
#define NICSIM_FIRST_BUS	0x3b
#define NICSIM_BUSES		3	/* for 0x10 + NICSIM_MAX_VFS functions */
#define NICSIM_VF_OFFSET	0x10

#define NICSIM_VENDOR		0x6e73
#define NICSIM_DEVICE_PF	1
#define NICSIM_DEVICE_VF	2

#define NICSIM_EXPRESS		0x40
#define NICSIM_SRIOV		PCI_CFG_SPACE_SIZE

/* What all functions show, and what a PF shows besides; all else is zeroes. */
static const struct nicsim_register {
	u16 where;
	u8 size;
	bool pf_only;
	bool writable;
	u32 value;
} nicsim_registers[] = {
	{ PCI_COMMAND, 2, true, true, 0 },
	{ PCI_STATUS, 2, false, false, PCI_STATUS_CAP_LIST },
	{ PCI_CLASS_REVISION, 4, false, false, PCI_CLASS_NETWORK_ETHERNET << 16 },
	{ PCI_SUBSYSTEM_VENDOR_ID, 2, false, false, NICSIM_VENDOR },
	{ PCI_SUBSYSTEM_ID, 2, false, false, 1 },
	{ PCI_CAPABILITY_LIST, 1, false, false, NICSIM_EXPRESS },
	{ NICSIM_EXPRESS, 2, false, false, PCI_CAP_ID_EXP },
	{ NICSIM_EXPRESS + PCI_EXP_FLAGS, 2, false, false, 2 },	/* an endpoint */
	{ NICSIM_EXPRESS + PCI_EXP_DEVCAP, 4, false, false, PCI_EXP_DEVCAP_FLR },
	{ NICSIM_EXPRESS + PCI_EXP_DEVCTL, 2, true, true, 0 },

	{ NICSIM_SRIOV, 4, true, false, PCI_EXT_CAP_ID_SRIOV | 1 << 16 },
	{ NICSIM_SRIOV + PCI_SRIOV_CTRL, 2, true, true, 0 },
	{ NICSIM_SRIOV + PCI_SRIOV_INITIAL_VF, 2, true, false, NICSIM_MAX_VFS },
	{ NICSIM_SRIOV + PCI_SRIOV_TOTAL_VF, 2, true, false, NICSIM_MAX_VFS },
	{ NICSIM_SRIOV + PCI_SRIOV_NUM_VF, 2, true, true, 0 },
	{ NICSIM_SRIOV + PCI_SRIOV_VF_OFFSET, 2, true, false, NICSIM_VF_OFFSET },
	{ NICSIM_SRIOV + PCI_SRIOV_VF_STRIDE, 2, true, false, 1 },
	{ NICSIM_SRIOV + PCI_SRIOV_VF_DID, 2, true, false, NICSIM_DEVICE_VF },
	{ NICSIM_SRIOV + PCI_SRIOV_SUP_PGSIZE, 4, true, false, 1 },	/* 4 KiB */
	{ NICSIM_SRIOV + PCI_SRIOV_SYS_PGSIZE, 4, true, true, 1 },
};

/* Configuration space, little-endian; under pci_lock, which the core holds. */

static u32 nicsim_config_get(const u8 *config, unsigned int where, int size)
{
	u32 value = 0;

	while (size--)
		value = value << 8 | config[where + size];
	return value;
}

static void nicsim_config_set(u8 *config, unsigned int where, int size, u32 value)
{
	for (; size--; value >>= 8)
		config[where++] = value;
}

static void nicsim_config_fill(u8 *config, bool pf)
{
	const struct nicsim_register *reg;

	for (reg = nicsim_registers; reg < nicsim_registers + ARRAY_SIZE(nicsim_registers); reg++)
		if (pf || !reg->pf_only)
			nicsim_config_set(config, reg->where, reg->size, reg->value);
	/* A VF's own say nothing: PCI Express 9.3.4.1. */
	nicsim_config_set(config, PCI_VENDOR_ID, 4,
			  pf ? NICSIM_VENDOR | NICSIM_DEVICE_PF << 16 : ~0);
}

static struct nicsim_port *nicsim_bus_port(const struct pci_bus *bus)
{
	return container_of(bus->sysdata, struct nicsim_port, pci.sysdata);
}

/* Of the function at an address; NULL where there is none. */
static const u8 *nicsim_config_of(struct pci_bus *bus, unsigned int devfn)
{
	struct nicsim_pci *pci = &nicsim_bus_port(bus)->pci;
	unsigned int function = (bus->number - pci->bus_number) << 8 | devfn;
	u32 control, vfs;

	if (!function)
		return pci->pf_config;
	control = nicsim_config_get(pci->pf_config, NICSIM_SRIOV + PCI_SRIOV_CTRL, 2);
	vfs = nicsim_config_get(pci->pf_config, NICSIM_SRIOV + PCI_SRIOV_NUM_VF, 2);
	if (control & PCI_SRIOV_CTRL_VFE && function >= NICSIM_VF_OFFSET &&
	    function - NICSIM_VF_OFFSET < vfs)
		return pci->vf_config;
	return NULL;
}

static int nicsim_config_read(struct pci_bus *bus, unsigned int devfn, int where, int size,
			      u32 *value)
{
	const u8 *config = nicsim_config_of(bus, devfn);

	if (!config || where + size > PCI_CFG_SPACE_EXP_SIZE) {
		*value = ~0;
		return PCIBIOS_DEVICE_NOT_FOUND;
	}
	*value = nicsim_config_get(config, where, size);
	return PCIBIOS_SUCCESSFUL;
}

/* What is not writable keeps its value, as BARs do that are not there. */
static int nicsim_config_write(struct pci_bus *bus, unsigned int devfn, int where, int size,
			       u32 value)
{
	struct nicsim_pci *pci = &nicsim_bus_port(bus)->pci;
	const u8 *config = nicsim_config_of(bus, devfn);
	const struct nicsim_register *reg;

	if (!config)
		return PCIBIOS_DEVICE_NOT_FOUND;
	for (reg = nicsim_registers; reg < nicsim_registers + ARRAY_SIZE(nicsim_registers); reg++)
		if (config == pci->pf_config && reg->writable && reg->where >= where &&
		    reg->where + reg->size <= where + size)
			nicsim_config_set(pci->pf_config, reg->where, reg->size,
					  value >> 8 * (reg->where - where));
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops nicsim_pci_ops = {
	.read = nicsim_config_read,
	.write = nicsim_config_write,
};

/* Drivers */

static int nicsim_pf_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct nicsim_port *port = nicsim_bus_port(pdev->bus);
	int err;

	mutex_lock(&port->lock);
	port->pci.pf = pdev;
	err = nicsim_pf_add(port);
	mutex_unlock(&port->lock);
	return err;
}

static void nicsim_pf_driver_remove(struct pci_dev *pdev)
{
	struct nicsim_port *port = nicsim_bus_port(pdev->bus);

	mutex_lock(&port->lock);
	nicsim_pf_remove(port);
	mutex_unlock(&port->lock);
}

static int nicsim_sriov_configure(struct pci_dev *pdev, int num_vfs)
{
	struct nicsim_port *port = nicsim_bus_port(pdev->bus);
	int err;

	mutex_lock(&port->lock);
	err = nicsim_sriov_set(port, num_vfs);
	mutex_unlock(&port->lock);
	return err ?: num_vfs;
}

static int nicsim_vf_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return nicsim_vf_netdev_add(nicsim_bus_port(pdev->bus), pci_iov_vf_id(pdev), &pdev->dev);
}

static void nicsim_vf_driver_remove(struct pci_dev *pdev)
{
	nicsim_vf_netdev_remove(nicsim_bus_port(pdev->bus), pci_iov_vf_id(pdev));
}

static const struct pci_device_id nicsim_pf_ids[] = {
	{ PCI_DEVICE(NICSIM_VENDOR, NICSIM_DEVICE_PF) },
	{}
};

static const struct pci_device_id nicsim_vf_ids[] = {
	{ PCI_DEVICE(NICSIM_VENDOR, NICSIM_DEVICE_VF) },
	{}
};

static struct pci_driver nicsim_pf_driver = {
	.name = "nicsim",
	.id_table = nicsim_pf_ids,
	.probe = nicsim_pf_probe,
	.remove = nicsim_pf_driver_remove,
	.sriov_configure = nicsim_sriov_configure,
};

static struct pci_driver nicsim_vf_driver = {
	.name = "nicsimvf",
	.id_table = nicsim_vf_ids,
	.probe = nicsim_vf_probe,
	.remove = nicsim_vf_driver_remove,
};

/*
 * For a VF that DPDK has: by driver_override, as there. The true vfio-pci wants an
 * IOMMU, and must not be loaded beside this one.
 */
static int nicsim_no_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return 0;
}

static struct pci_driver nicsim_vfio_driver = {
	.name = "vfio-pci",
	.probe = nicsim_no_probe,
};

static struct pci_driver *const nicsim_drivers[] = {
	&nicsim_vfio_driver, &nicsim_vf_driver, &nicsim_pf_driver,
};

static void nicsim_drivers_unregister(unsigned int count)
{
	while (count--)
		pci_unregister_driver(nicsim_drivers[count]);
}

int nicsim_pci_register(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(nicsim_drivers); i++) {
		err = pci_register_driver(nicsim_drivers[i]);
		if (err) {
			nicsim_drivers_unregister(i);
			return err;
		}
	}
	return 0;
}

void nicsim_pci_unregister(void)
{
	nicsim_drivers_unregister(ARRAY_SIZE(nicsim_drivers));
}

/* A port's bus, with its PF on it */

int nicsim_pci_add(struct nicsim_port *port)
{
	struct nicsim_pci *pci = &port->pci;
	LIST_HEAD(resources);

	pci->sysdata.domain = NICSIM_DOMAIN;
	pci->sysdata.node = NUMA_NO_NODE;
	pci->bus_number = NICSIM_FIRST_BUS + NICSIM_BUSES * port->index;
	pci->pf_config = kzalloc(PCI_CFG_SPACE_EXP_SIZE, GFP_KERNEL);
	pci->vf_config = kzalloc(PCI_CFG_SPACE_EXP_SIZE, GFP_KERNEL);
	if (!pci->pf_config || !pci->vf_config)
		goto out_free;
	nicsim_config_fill(pci->pf_config, true);
	nicsim_config_fill(pci->vf_config, false);

	pci_lock_rescan_remove();
	pci->bus = pci_scan_root_bus(NULL, pci->bus_number, &nicsim_pci_ops, &pci->sysdata,
				     &resources);
	if (pci->bus)
		pci_bus_add_devices(pci->bus);
	pci_unlock_rescan_remove();
	if (!pci->bus)
		goto out_free;
	if (rcu_access_pointer(port->pf))
		return 0;
	nicsim_pci_remove(port);	/* the driver said why */
	return -ENODEV;

out_free:
	kfree(pci->pf_config);
	kfree(pci->vf_config);
	return -ENOMEM;
}

/* The PF's netdev and its VFs are gone by now. */
void nicsim_pci_remove(struct nicsim_port *port)
{
	pci_lock_rescan_remove();
	pci_stop_root_bus(port->pci.bus);
	pci_remove_root_bus(port->pci.bus);
	pci_unlock_rescan_remove();
	kfree(port->pci.pf_config);
	kfree(port->pci.vf_config);
}
