#!/usr/bin/env python3
"""The straw relay by pyroute2, to be compared with; the port states it leaves to sysfs."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from pyroute2 import IPRoute

AUTO, DISABLE = 0, 2
UP, MASK = 0x38, 0xF8


def lacp_up(name):
    where = Path(f"/sys/class/net/{name}/bonding_slave")
    ends = [(where / f"ad_{end}_oper_port_state").read_text() for end in ("actor", "partner")]
    return all(int(octet) & MASK == UP for octet in ends)


def vfs(link):
    """VF and link state."""
    for info in link.get_attr("IFLA_VFINFO_LIST").get_attrs("IFLA_VF_INFO"):
        found = info.get_attr("IFLA_VF_LINK_STATE")
        yield found["vf"], found["link_state"]


def follow(route, ifindex, name, was):
    up = lacp_up(name)
    if up != was:
        (link,) = route.link("get", index=ifindex, ext_mask=9)
        have, want = (DISABLE, AUTO) if up else (AUTO, DISABLE)
        todo = [{"vf": vf, "link_state": want} for vf, state in vfs(link) if state == have]
        if todo:
            route.link("set", index=ifindex, vf=todo)
    return up


def main():
    with IPRoute() as route, IPRoute() as events:
        events.bind(groups=1)
        names = {route.link_lookup(ifname=name)[0]: name for name in sys.argv[1:]}
        seen = dict.fromkeys(names)
        due = 0.0
        while True:
            wait = max(0.0, due - time.monotonic())
            if select.select([events.fileno()], [], [], wait)[0]:
                touched = {message.get("index") for message in events.get()} & names.keys()
            else:
                due = time.monotonic() + 0.1
                touched = names.keys()
            for ifindex in touched:
                seen[ifindex] = follow(route, ifindex, names[ifindex], seen[ifindex])


if __name__ == "__main__":
    main()
