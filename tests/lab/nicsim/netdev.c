// SPDX-License-Identifier: GPL-2.0
/*
 * The three kinds of netdev and what lies between them:
 *
 *   pf0 --+
 *   pf0v0-+-- embedded switch --- cable --- sw0
 *   pf0v1-+
 *
 * The cable has a link while both its ends, PF and switch port, are up.
 */
#include <linux/ethtool.h>

#include "nicsim.h"

#define NICSIM_SPEED	25000
#define NICSIM_MAX_MTU	9216

/* The kind of netdev in the fourth octet of its address. */
enum nicsim_kind { NICSIM_PF, NICSIM_SWITCH, NICSIM_VF };

struct nicsim_netdev {
	struct nicsim_port *port;
	struct nicsim_vf *vf;		/* NULL for PF and switch port */
};

struct nicsim_vf *nicsim_netdev_vf(const struct net_device *netdev)
{
	return ((struct nicsim_netdev *)netdev_priv(netdev))->vf;
}

struct nicsim_port *nicsim_netdev_port(const struct net_device *netdev)
{
	return ((struct nicsim_netdev *)netdev_priv(netdev))->port;
}

/* Carrier */

static bool nicsim_cable_has_link(struct nicsim_port *port)
{
	struct net_device *pf = rtnl_dereference(port->pf);

	return pf && netif_running(pf) && netif_running(port->sw);
}

static void nicsim_carrier_set(struct net_device *netdev, bool on)
{
	if (on)
		netif_carrier_on(netdev);
	else
		netif_carrier_off(netdev);
}

void nicsim_vf_link_update(struct nicsim_vf *vf)
{
	struct net_device *netdev = rtnl_dereference(vf->netdev);
	bool on;

	if (!netdev)
		return;
	on = netif_running(netdev);
	if (vf->link_state == IFLA_VF_LINK_STATE_AUTO)
		on = on && nicsim_cable_has_link(vf->port);
	else
		on = on && vf->link_state == IFLA_VF_LINK_STATE_ENABLE;
	nicsim_carrier_set(netdev, on);
}

static void nicsim_cable_update(struct nicsim_port *port)
{
	struct net_device *pf = rtnl_dereference(port->pf);
	bool on = nicsim_cable_has_link(port);
	unsigned int i;

	nicsim_carrier_set(port->sw, on);
	if (pf)
		nicsim_carrier_set(pf, on);
	for (i = 0; i < port->num_vfs; i++)
		nicsim_vf_link_update(&port->vf[i]);
}

/* Serves as ndo_open and ndo_stop: netif_running() is right in both. */
static int nicsim_updown(struct net_device *netdev)
{
	struct nicsim_vf *vf = nicsim_netdev_vf(netdev);

	if (vf)
		nicsim_vf_link_update(vf);
	else
		nicsim_cable_update(nicsim_netdev_port(netdev));
	return 0;
}

/* Forwarding */

static void nicsim_deliver(struct net_device *to, struct sk_buff *skb)
{
	unsigned int len = skb->len;

	if (!to || !netif_running(to) || !netif_carrier_ok(to)) {
		kfree_skb(skb);
		return;
	}
	if (dev_forward_skb(to, skb) != NET_RX_SUCCESS) {
		DEV_STATS_INC(to, rx_dropped);
		return;
	}
	DEV_STATS_INC(to, rx_packets);
	DEV_STATS_ADD(to, rx_bytes, len);
}

static void nicsim_deliver_copy(struct net_device *to, struct sk_buff *skb)
{
	struct sk_buff *copy;

	if (!to || to == skb->dev)
		return;
	copy = skb_clone(skb, GFP_ATOMIC);
	if (copy)
		nicsim_deliver(to, copy);
}

static void nicsim_flood(struct nicsim_port *port, struct sk_buff *skb)
{
	unsigned int vfs = READ_ONCE(port->num_vfs);
	unsigned int i;

	nicsim_deliver_copy(port->sw, skb);
	nicsim_deliver_copy(rcu_dereference(port->pf), skb);
	for (i = 0; i < vfs; i++)
		nicsim_deliver_copy(rcu_dereference(port->vf[i].netdev), skb);
	consume_skb(skb);
}

/* The VF that @mac belongs to, other than the sender. */
static struct net_device *nicsim_find(struct nicsim_port *port, const u8 *mac,
				      const struct net_device *from)
{
	unsigned int vfs = READ_ONCE(port->num_vfs);
	struct net_device *netdev;
	unsigned int i;

	for (i = 0; i < vfs; i++) {
		netdev = rcu_dereference(port->vf[i].netdev);
		if (netdev && netdev != from && ether_addr_equal(netdev->dev_addr, mac))
			return netdev;
	}
	return NULL;
}

/*
 * LACP is between the PF and its switch port. Unicast goes to the VF, or from a
 * VF to the PF, that has the address, else across the cable; on the PF's side of
 * it the PF takes what no VF wants, as its bond or bridge may.
 */
static void nicsim_forward(struct nicsim_port *port, struct sk_buff *skb)
{
	const struct ethhdr *eth = (const struct ethhdr *)skb->data;
	struct net_device *from = skb->dev;
	struct net_device *pf = rcu_dereference(port->pf);
	struct net_device *across = from == port->sw ? pf : port->sw;
	struct net_device *to;

	if (eth->h_proto == htons(ETH_P_SLOW)) {
		nicsim_deliver(nicsim_netdev_vf(from) ? NULL : across, skb);
		return;
	}
	if (is_multicast_ether_addr(eth->h_dest)) {
		nicsim_flood(port, skb);
		return;
	}
	to = nicsim_find(port, eth->h_dest, from);
	if (!to && pf && pf != from && ether_addr_equal(pf->dev_addr, eth->h_dest))
		to = pf;
	nicsim_deliver(to ?: across, skb);
}

static netdev_tx_t nicsim_start_xmit(struct sk_buff *skb, struct net_device *netdev)
{
	if (!netif_carrier_ok(netdev) || !pskb_may_pull(skb, ETH_HLEN)) {
		DEV_STATS_INC(netdev, tx_dropped);
		kfree_skb(skb);
		return NETDEV_TX_OK;
	}
	DEV_STATS_INC(netdev, tx_packets);
	DEV_STATS_ADD(netdev, tx_bytes, skb->len);
	skb_tx_timestamp(skb);

	rcu_read_lock();
	nicsim_forward(nicsim_netdev_port(netdev), skb);
	rcu_read_unlock();
	return NETDEV_TX_OK;
}

/* What the kernel asks of a netdev */

/* All frames are taken; without this, SIOCADDMULTI, by which teamd asks for LACPDUs, is refused. */
static void nicsim_set_rx_mode(struct net_device *netdev)
{
}

#define NICSIM_NETDEV_OPS				\
	.ndo_open = nicsim_updown,			\
	.ndo_stop = nicsim_updown,			\
	.ndo_start_xmit = nicsim_start_xmit,		\
	.ndo_set_rx_mode = nicsim_set_rx_mode,		\
	.ndo_set_mac_address = eth_mac_addr,		\
	.ndo_validate_addr = eth_validate_addr

static const struct net_device_ops nicsim_netdev_ops = {
	NICSIM_NETDEV_OPS,
};

static const struct net_device_ops nicsim_pf_ops = {
	NICSIM_NETDEV_OPS,
	.ndo_get_vf_config = nicsim_get_vf_config,
	.ndo_get_vf_stats = nicsim_get_vf_stats,
	.ndo_set_vf_mac = nicsim_set_vf_mac,
	.ndo_set_vf_vlan = nicsim_set_vf_vlan,
	.ndo_set_vf_spoofchk = nicsim_set_vf_spoofchk,
	.ndo_set_vf_trust = nicsim_set_vf_trust,
	.ndo_set_vf_link_state = nicsim_set_vf_link_state,
};

/* 802.3ad refuses a port without speed and full duplex. */
static int nicsim_get_link_ksettings(struct net_device *netdev,
				     struct ethtool_link_ksettings *settings)
{
	settings->base.speed = NICSIM_SPEED;
	settings->base.duplex = DUPLEX_FULL;
	settings->base.port = PORT_FIBRE;
	settings->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

/* By bus_info a CNI finds the device of a VF that is in a pod. */
static void nicsim_get_drvinfo(struct net_device *netdev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	if (netdev->dev.parent)	/* the switch port has none */
		strscpy(info->bus_info, dev_name(netdev->dev.parent), sizeof(info->bus_info));
}

static const struct ethtool_ops nicsim_ethtool_ops = {
	.get_drvinfo = nicsim_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = nicsim_get_link_ksettings,
};

static struct net_device *nicsim_netdev_alloc(struct nicsim_port *port, enum nicsim_kind kind,
					      const char *name, unsigned int id)
{
	u8 mac[ETH_ALEN] = { 0x02, 0x6e, port->index, kind, id >> 8, id };
	struct nicsim_netdev *priv;
	struct net_device *netdev;

	netdev = alloc_netdev(sizeof(*priv), name, NET_NAME_ENUM, ether_setup);
	if (!netdev)
		return NULL;
	priv = netdev_priv(netdev);
	priv->port = port;
	netdev->netdev_ops = &nicsim_netdev_ops;
	netdev->ethtool_ops = &nicsim_ethtool_ops;
	netdev->needs_free_netdev = true;
	netdev->max_mtu = NICSIM_MAX_MTU;
	netdev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	eth_hw_addr_set(netdev, mac);
	netif_carrier_off(netdev);
	return netdev;
}

/* Before register_netdevice() nobody but us frees a netdev. */
static int nicsim_netdev_register(struct net_device *netdev)
{
	int err;

	if (!netdev)
		return -ENOMEM;
	err = register_netdevice(netdev);
	if (err)
		free_netdev(netdev);
	return err;
}

int nicsim_switch_port_add(struct nicsim_port *port)
{
	char name[IFNAMSIZ];
	int err;

	snprintf(name, sizeof(name), "sw%u", port->index);
	port->sw = nicsim_netdev_alloc(port, NICSIM_SWITCH, name, 0);
	rtnl_lock();
	err = nicsim_netdev_register(port->sw);
	rtnl_unlock();
	return err;
}

void nicsim_switch_port_remove(struct nicsim_port *port)
{
	unregister_netdev(port->sw);
}

int nicsim_pf_add(struct nicsim_port *port)
{
	struct net_device *pf;
	char name[IFNAMSIZ];
	int err = 0;

	if (rcu_access_pointer(port->pf))
		return 0;
	snprintf(name, sizeof(name), "pf%u", port->index);
	pf = nicsim_netdev_alloc(port, NICSIM_PF, name, 0);
	if (pf) {
		pf->netdev_ops = &nicsim_pf_ops;
		SET_NETDEV_DEV(pf, &port->pci.pf->dev);
	}
	rtnl_lock();
	err = nicsim_netdev_register(pf);
	if (!err)
		rcu_assign_pointer(port->pf, pf);
	rtnl_unlock();
	return err;
}

/* As when a driver is unloaded: its VFs go first. */
void nicsim_pf_remove(struct nicsim_port *port)
{
	struct net_device *pf;

	nicsim_sriov_set(port, 0);
	rtnl_lock();
	pf = rtnl_dereference(port->pf);
	if (pf) {
		RCU_INIT_POINTER(port->pf, NULL);
		nicsim_cable_update(port);
		synchronize_net();
		unregister_netdevice(pf);
	}
	rtnl_unlock();
}

int nicsim_vf_netdev_add(struct nicsim_port *port, unsigned int id, struct device *parent)
{
	struct nicsim_vf *vf = &port->vf[id];
	struct net_device *netdev;
	char name[IFNAMSIZ];
	int err;

	snprintf(name, sizeof(name), "pf%uv%u", port->index, id);
	netdev = nicsim_netdev_alloc(port, NICSIM_VF, name, id);
	if (netdev) {
		((struct nicsim_netdev *)netdev_priv(netdev))->vf = vf;
		SET_NETDEV_DEV(netdev, parent);
	}
	rtnl_lock();
	err = nicsim_netdev_register(netdev);
	if (!err) {
		ether_addr_copy(vf->mac, netdev->dev_addr);
		rcu_assign_pointer(vf->netdev, netdev);
	}
	rtnl_unlock();
	return err;
}

void nicsim_vf_netdev_remove(struct nicsim_port *port, unsigned int id)
{
	struct net_device *netdev;

	rtnl_lock();
	netdev = rtnl_dereference(port->vf[id].netdev);
	if (netdev) {
		RCU_INIT_POINTER(port->vf[id].netdev, NULL);
		synchronize_net();
		unregister_netdevice(netdev);
	}
	rtnl_unlock();
}

/* All at once: one wait for RCU, however many there are and wherever they went. */
void nicsim_vf_netdevs_remove(struct nicsim_port *port)
{
	struct net_device *netdev;
	LIST_HEAD(gone);
	unsigned int i;

	rtnl_lock();
	for (i = 0; i < port->num_vfs; i++) {
		netdev = rtnl_dereference(port->vf[i].netdev);
		if (netdev)
			unregister_netdevice_queue(netdev, &gone);
		RCU_INIT_POINTER(port->vf[i].netdev, NULL);
	}
	if (!list_empty(&gone)) {
		synchronize_net();
		unregister_netdevice_many(&gone);
	}
	rtnl_unlock();
}
