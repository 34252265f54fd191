/* SPDX-License-Identifier: GPL-2.0 */
/*
 * nicsim - SR-IOV NICs, each cabled to a switch port, in software.
 *
 *   main.c    the module and its ports
 *   pci.c     the PCI bus that a port is on, and the drivers of PF and VFs
 *   netdev.c  PF, VF and switch-port netdevs: carrier and forwarding
 *   sriov.c   making VFs, reading and setting them
 *   trace.c   when the bond announced something, when a VF was set
 *   knobs.c   debugfs: what a test may turn and read (the list is there)
 *
 * Locks, outermost first:
 *   port->lock   one change of present or sriov_numvfs at a time
 *   RTNL         num_vfs, pf, every VF's netdev and state, fault and hidden
 *   trace->lock  the records
 * The forwarding path takes none: it finds netdevs by RCU, and whoever removes
 * one takes the pointer away, waits for synchronize_net(), then unregisters.
 */
#ifndef NICSIM_H
#define NICSIM_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/device.h>
#include <linux/etherdevice.h>
#include <linux/if_link.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <linux/spinlock.h>

#define NICSIM_MAX_VFS		512
#define NICSIM_TRACE_RECORDS	8192

struct nicsim_port;
struct nicsim_record;

/* What the NIC knows of a VF, whichever driver the VF has. */
struct nicsim_vf {
	struct net_device __rcu *netdev;	/* NULL: no driver of ours */
	struct nicsim_port *port;
	unsigned int id;
	u32 link_state;			/* IFLA_VF_LINK_STATE_* */
	u8 mac[ETH_ALEN];		/* as the PF's administrator set it; so are the rest */
	u16 vlan;
	u8 qos;
	__be16 vlan_proto;
	bool spoofchk;
	bool trusted;
};

/* How setting one VF's link state fails: -err, times times (-1: for ever). */
struct nicsim_fault {
	int err;	/* 0: the driver says that it was done */
	int times;
	int done;	/* it was done, whatever the driver says */
};

struct nicsim_trace {
	spinlock_t lock;
	struct nicsim_record *records;
	unsigned int count;
	unsigned int lost;
	struct sk_buff *slave_info;	/* what the bond fills; under RTNL */
	struct task_struct *sampler;	/* under port->lock */
};

struct nicsim_pci {
	struct pci_sysdata sysdata;	/* by which a bus finds its port */
	unsigned int bus_number;
	u8 *pf_config;
	u8 *vf_config;			/* all VFs look the same */
	struct pci_bus *bus;
	struct pci_dev *pf;
};

struct nicsim_port {
	unsigned int index;
	struct nicsim_pci pci;		/* for the module's life */
	struct mutex lock;
	struct net_device *sw;		/* registered longer than pf and vf[] */
	struct net_device __rcu *pf;
	struct nicsim_vf vf[NICSIM_MAX_VFS];
	unsigned int num_vfs;		/* of vf[] that exist, or are being made */

	struct nicsim_fault fault[NICSIM_MAX_VFS];
	DECLARE_BITMAP(hidden, NICSIM_MAX_VFS);
	u32 set_delay_us;
	u32 get_delay_us;
	atomic_t set_calls;
	atomic_t get_calls;

	struct nicsim_trace trace;
	struct dentry *debugfs;
};

/* main.c */
struct nicsim_port *nicsim_port_of_pf(const struct net_device *netdev);

/* pci.c */
int nicsim_pci_register(void);
void nicsim_pci_unregister(void);
int nicsim_pci_add(struct nicsim_port *port);
void nicsim_pci_remove(struct nicsim_port *port);

/* netdev.c */
struct nicsim_vf *nicsim_netdev_vf(const struct net_device *netdev);
struct nicsim_port *nicsim_netdev_port(const struct net_device *netdev);
int nicsim_switch_port_add(struct nicsim_port *port);
void nicsim_switch_port_remove(struct nicsim_port *port);
int nicsim_pf_add(struct nicsim_port *port);
void nicsim_pf_remove(struct nicsim_port *port);
int nicsim_vf_netdev_add(struct nicsim_port *port, unsigned int id, struct device *parent);
void nicsim_vf_netdev_remove(struct nicsim_port *port, unsigned int id);
void nicsim_vf_netdevs_remove(struct nicsim_port *port);
void nicsim_vf_link_update(struct nicsim_vf *vf);

/* sriov.c */
extern const char *const nicsim_link_states[];
int nicsim_sriov_set(struct nicsim_port *port, unsigned int num_vfs);
int nicsim_get_vf_config(struct net_device *pf, int id, struct ifla_vf_info *info);
int nicsim_get_vf_stats(struct net_device *pf, int id, struct ifla_vf_stats *stats);
int nicsim_set_vf_mac(struct net_device *pf, int id, u8 *mac);
int nicsim_set_vf_vlan(struct net_device *pf, int id, u16 vlan, u8 qos, __be16 proto);
int nicsim_set_vf_spoofchk(struct net_device *pf, int id, bool on);
int nicsim_set_vf_trust(struct net_device *pf, int id, bool on);
int nicsim_set_vf_link_state(struct net_device *pf, int id, int link_state);

/* trace.c */
extern struct notifier_block nicsim_trace_notifier;
int nicsim_trace_init(struct nicsim_trace *trace);
void nicsim_trace_free(struct nicsim_trace *trace);
void nicsim_trace_reset(struct nicsim_trace *trace);
void nicsim_trace_set(struct nicsim_port *port, int vf, int link_state, int result);
int nicsim_trace_sample(struct nicsim_port *port, bool on);
struct seq_file;
void nicsim_trace_show(struct nicsim_trace *trace, struct seq_file *file);

/* knobs.c */
void nicsim_knobs_add(struct nicsim_port *port);
void nicsim_knobs_remove(struct nicsim_port *port);
extern struct dentry *nicsim_debugfs;

#endif
