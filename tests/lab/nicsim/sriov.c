// SPDX-License-Identifier: GPL-2.0
/*
 * VFs: made and removed by sriov_numvfs, read and set through their PF.
 */
#include <linux/delay.h>
#include <linux/if_vlan.h>
#include <linux/minmax.h>
#include <linux/module.h>

#include "nicsim.h"

const char *const nicsim_link_states[] = {
	[IFLA_VF_LINK_STATE_AUTO] = "auto",
	[IFLA_VF_LINK_STATE_ENABLE] = "enable",
	[IFLA_VF_LINK_STATE_DISABLE] = "disable",
};

static void nicsim_num_vfs_set(struct nicsim_port *port, unsigned int num_vfs)
{
	rtnl_lock();
	port->num_vfs = num_vfs;
	rtnl_unlock();
}

/* As for PCI: from none to some or from some to none. Under port->lock. */
int nicsim_sriov_set(struct nicsim_port *port, unsigned int num_vfs)
{
	unsigned int i;
	int err;

	if (num_vfs == port->num_vfs)
		return 0;
	if (!num_vfs) {
		nicsim_vf_netdevs_remove(port);
		pci_disable_sriov(port->pci.pf);
		nicsim_num_vfs_set(port, 0);
		return 0;
	}
	if (!rcu_access_pointer(port->pf))
		return -ENODEV;
	if (port->num_vfs)
		return -EBUSY;

	for (i = 0; i < num_vfs; i++)
		port->vf[i] = (struct nicsim_vf){
			.port = port,
			.id = i,
			.link_state = IFLA_VF_LINK_STATE_AUTO,
			.vlan_proto = htons(ETH_P_8021Q),
			.spoofchk = true,
		};
	nicsim_num_vfs_set(port, num_vfs);
	err = pci_enable_sriov(port->pci.pf, num_vfs);
	if (err)
		nicsim_num_vfs_set(port, 0);
	return err;
}

/* What rtnetlink asks of the PF, under RTNL */

static struct nicsim_vf *nicsim_vf_get(struct net_device *pf, int id)
{
	struct nicsim_port *port = nicsim_netdev_port(pf);

	return id >= 0 && id < port->num_vfs ? &port->vf[id] : NULL;
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
	info->vlan = vf->vlan;
	info->qos = vf->qos;
	info->vlan_proto = vf->vlan_proto;
	info->spoofchk = vf->spoofchk;
	info->trusted = vf->trusted;
	return 0;
}

int nicsim_get_vf_stats(struct net_device *pf, int id, struct ifla_vf_stats *stats)
{
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);
	struct net_device *netdev;
	struct rtnl_link_stats64 link;

	if (!vf)
		return -EINVAL;
	netdev = rtnl_dereference(vf->netdev);
	if (!netdev)
		return 0;
	dev_get_stats(netdev, &link);
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

int nicsim_set_vf_vlan(struct net_device *pf, int id, u16 vlan, u8 qos, __be16 proto)
{
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);

	if (!vf || vlan >= VLAN_N_VID || qos > 7)
		return -EINVAL;
	vf->vlan = vlan;
	vf->qos = qos;
	vf->vlan_proto = proto;
	return 0;
}

int nicsim_set_vf_spoofchk(struct net_device *pf, int id, bool on)
{
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);

	if (!vf)
		return -EINVAL;
	vf->spoofchk = on;
	return 0;
}

int nicsim_set_vf_trust(struct net_device *pf, int id, bool on)
{
	struct nicsim_vf *vf = nicsim_vf_get(pf, id);

	if (!vf)
		return -EINVAL;
	vf->trusted = on;
	return 0;
}

/* What the driver says, and in *done what it does. */
static int nicsim_vf_fault(struct nicsim_fault *fault, bool *done)
{
	*done = !fault->times || fault->done;
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
	bool done;
	int err;

	atomic_inc(&port->set_calls);
	nicsim_firmware_takes(port->set_delay_us);
	if (!vf || link_state < 0 || link_state > IFLA_VF_LINK_STATE_DISABLE)
		return -EINVAL;
	err = nicsim_vf_fault(&port->fault[id], &done);
	if (done) {
		WRITE_ONCE(vf->link_state, link_state);
		nicsim_vf_link_update(vf);
	}
	nicsim_trace_set(port, id, link_state, err);
	return err;
}
