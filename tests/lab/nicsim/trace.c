// SPDX-License-Identifier: GPL-2.0
/*
 * When something happened, by CLOCK_MONOTONIC (time.monotonic_ns() in Python):
 *
 *   <ns> changelowerstate link_up=1 tx_enabled=0 actor=0x47 partner=0x3f
 *   <ns> change actor=0x3f partner=0x3f
 *        The kernel told its notifiers of the PF, which is when rtnetlink sends
 *        RTM_NEWLINK; we stand before rtnetlink in the chain.
 *   <ns> sample actor=0x3f partner=0x3f
 *        The port states as first seen different from the last sample. Recovery
 *        from DEFAULTED calls no notifier at all, so someone has to look.
 *   <ns> set vf=3 state=disable result=0
 *        The driver had set a VF's link state, or refused with -errno.
 *
 * States are what the bond would tell rtnetlink, -1 where it tells none. Records
 * are kept until the trace is reset; those beyond NICSIM_TRACE_RECORDS are only
 * counted, in a last line "lost <n>".
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>
#include <net/netlink.h>
#include <net/rtnetlink.h>

#include "nicsim.h"

#define NICSIM_SAMPLE_US	2000

enum nicsim_record_kind {
	NICSIM_CHANGELOWERSTATE,
	NICSIM_CHANGE,
	NICSIM_SAMPLE,
	NICSIM_SET,
};

struct nicsim_port_states {
	int actor;
	int partner;
};

struct nicsim_record {
	u64 ns;
	enum nicsim_record_kind kind;
	union {
		struct {
			struct nicsim_port_states states;
			bool link_up;
			bool tx_enabled;
		};
		struct {
			int vf;
			int link_state;
			int result;
		};
	};
};

int nicsim_trace_init(struct nicsim_trace *trace)
{
	spin_lock_init(&trace->lock);
	trace->records = vcalloc(NICSIM_TRACE_RECORDS, sizeof(*trace->records));
	trace->slave_info = nlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (trace->records && trace->slave_info)
		return 0;
	nicsim_trace_free(trace);
	return -ENOMEM;
}

void nicsim_trace_free(struct nicsim_trace *trace)
{
	kfree_skb(trace->slave_info);
	vfree(trace->records);
}

void nicsim_trace_reset(struct nicsim_trace *trace)
{
	spin_lock(&trace->lock);
	trace->count = 0;
	trace->lost = 0;
	spin_unlock(&trace->lock);
}

static void nicsim_trace_add(struct nicsim_trace *trace, struct nicsim_record record)
{
	spin_lock(&trace->lock);
	record.ns = ktime_get_ns();
	if (trace->count < NICSIM_TRACE_RECORDS)
		trace->records[trace->count++] = record;
	else
		trace->lost++;
	spin_unlock(&trace->lock);
}

void nicsim_trace_set(struct nicsim_port *port, int vf, int link_state, int result)
{
	nicsim_trace_add(&port->trace, (struct nicsim_record){
		.kind = NICSIM_SET, .vf = vf, .link_state = link_state, .result = result });
}

/* Asks the bond through the function by which it fills IFLA_INFO_SLAVE_DATA. */
static struct nicsim_port_states nicsim_port_states(struct sk_buff *skb, struct net_device *pf)
{
	struct net_device *bond = netdev_master_upper_dev_get(pf);
	struct nicsim_port_states states = { -1, -1 };
	struct nlattr *attr;

	if (!bond || !netif_is_bond_master(bond))
		return states;
	skb_trim(skb, 0);
	if (bond->rtnl_link_ops->fill_slave_info(skb, bond, pf))
		return states;
	attr = nla_find((struct nlattr *)skb->data, skb->len,
			IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE);
	if (attr)
		states.actor = nla_get_u8(attr);
	attr = nla_find((struct nlattr *)skb->data, skb->len,
			IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE);
	if (attr)
		states.partner = nla_get_u16(attr);
	return states;
}

static int nicsim_trace_notify(struct notifier_block *notifier, unsigned long event, void *info)
{
	struct net_device *netdev = netdev_notifier_info_to_dev(info);
	struct netdev_notifier_changelowerstate_info *lower = info;
	struct netdev_lag_lower_state_info *lag;
	struct nicsim_port *port;
	struct nicsim_record record = {};

	if (event != NETDEV_CHANGELOWERSTATE && event != NETDEV_CHANGE)
		return NOTIFY_DONE;
	port = nicsim_port_of_pf(netdev);
	if (!port)
		return NOTIFY_DONE;

	record.kind = NICSIM_CHANGE;
	record.states = nicsim_port_states(port->trace.slave_info, netdev);
	if (event == NETDEV_CHANGELOWERSTATE) {
		record.kind = NICSIM_CHANGELOWERSTATE;
		lag = lower->lower_state_info;
		record.link_up = lag->link_up;
		record.tx_enabled = lag->tx_enabled;
	}
	nicsim_trace_add(&port->trace, record);
	return NOTIFY_DONE;
}

struct notifier_block nicsim_trace_notifier = {
	.notifier_call = nicsim_trace_notify,
	.priority = 1,		/* rtnetlink has 0 */
};

/*
 * Never waits for RTNL, so that looking does not disturb what is looked at. While
 * someone else holds it no program could see the states either.
 */
static int nicsim_sampler(void *data)
{
	struct nicsim_port *port = data;
	struct nicsim_port_states last;
	struct nicsim_port_states now;
	struct net_device *pf;
	bool first = true;

	while (!kthread_should_stop()) {
		if (rtnl_trylock()) {
			now = (struct nicsim_port_states){ -1, -1 };
			pf = rtnl_dereference(port->pf);
			if (pf)
				now = nicsim_port_states(port->trace.slave_info, pf);
			if (!first && (now.actor != last.actor || now.partner != last.partner))
				nicsim_trace_add(&port->trace, (struct nicsim_record){
					.kind = NICSIM_SAMPLE, .states = now });
			last = now;
			first = false;
			rtnl_unlock();
		}
		fsleep(NICSIM_SAMPLE_US);
	}
	return 0;
}

/* Under port->lock, or when nobody else can find the port any more. */
int nicsim_trace_sample(struct nicsim_port *port, bool on)
{
	struct task_struct *sampler = port->trace.sampler;

	if (on == !!sampler)
		return 0;
	if (!on) {
		port->trace.sampler = NULL;
		return kthread_stop(sampler);
	}
	sampler = kthread_run(nicsim_sampler, port, "nicsim%u", port->index);
	if (IS_ERR(sampler))
		return PTR_ERR(sampler);
	port->trace.sampler = sampler;
	return 0;
}

static void nicsim_state_show(const char *name, int state, struct seq_file *file)
{
	seq_printf(file, state < 0 ? " %s=%d" : " %s=%#x", name, state);
}

static void nicsim_record_show(const struct nicsim_record *record, struct seq_file *file)
{
	seq_printf(file, "%llu ", record->ns);
	switch (record->kind) {
	case NICSIM_SET:
		seq_printf(file, "set vf=%d state=%s result=%d\n", record->vf,
			   nicsim_link_states[record->link_state], record->result);
		return;
	case NICSIM_CHANGELOWERSTATE:
		seq_printf(file, "changelowerstate link_up=%d tx_enabled=%d",
			   record->link_up, record->tx_enabled);
		break;
	case NICSIM_CHANGE:
		seq_puts(file, "change");
		break;
	case NICSIM_SAMPLE:
		seq_puts(file, "sample");
		break;
	}
	nicsim_state_show("actor", record->states.actor, file);
	nicsim_state_show("partner", record->states.partner, file);
	seq_putc(file, '\n');
}

void nicsim_trace_show(struct nicsim_trace *trace, struct seq_file *file)
{
	struct nicsim_record record;
	unsigned int lost;
	unsigned int i;

	for (i = 0;; i++) {
		spin_lock(&trace->lock);
		lost = trace->lost;
		if (i >= trace->count)
			break;
		record = trace->records[i];
		spin_unlock(&trace->lock);
		nicsim_record_show(&record, file);
	}
	spin_unlock(&trace->lock);
	if (lost)
		seq_printf(file, "lost %u\n", lost);
}
