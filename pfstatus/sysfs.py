"""What rtnetlink does not tell of a PF: driver, the devices of its VFs, ports of its bond, users.

sysfs shows the network namespace that it was mounted in, which need not be ours (``nsenter -n``, a
container's mounts): it is believed only where an interface has the ifindex that netlink told.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.explain import Facts

if TYPE_CHECKING:
    from pfstatus.values import LinkStatus

_SYSFS = Path("/sys/class/net")
_PROCFS = Path("/proc/self/net")
_IFF_UP = 0x1
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+vf\d+")


class VfDevice(NamedTuple):
    """A VF as the host's PCI bus has it.

    Attributes:
        vf: Its number, from 0.
        pci_address: Where it is: "0000:5e:00.2".
        driver: What drives it: "iavf", "vfio-pci"... None: nothing.
        netdev: Its interface, where it has one in the network namespace that sysfs shows.
    """

    vf: int
    pci_address: str
    driver: str | None
    netdev: str | None


def vf_devices(pf: LinkStatus, *, root: Path = _SYSFS) -> tuple[VfDevice, ...]:
    """The VFs of a PF as devices, by number. None that cannot be read; never raises.

    Args:
        pf: a status of it.
        root: where sysfs shows network interfaces.
    """
    here = _shown(pf, root)
    found = here.glob("device/virtfn*") if here else ()
    numbered = sorted((int(link.name.removeprefix("virtfn")), link) for link in found)
    return tuple(
        VfDevice(vf, address, _link(link / "driver"), _netdev(link))
        for vf, link in numbered
        if (address := _link(link))
    )


def _shown(pf: LinkStatus, root: Path) -> Path | None:
    """An interface's folder, if it is that interface's and not a namesake's."""
    here = root / (pf.ifname or pf.name)
    return here if pf.ifindex and _text(here / "ifindex") == str(pf.ifindex) else None


def facts(
    pf: LinkStatus,
    *,
    may_set_vfs: bool | None = None,
    root: Path = _SYSFS,
    procfs: Path = _PROCFS,
) -> Facts:
    """Read what ``explain()`` wants to know. What cannot be read is not known; never raises.

    Args:
        pf: a status of it.
        may_set_vfs: what ``Session.may_set_vfs()`` said.
        root: where sysfs shows network interfaces.
        procfs: where procfs shows their routes.
    """
    here = _shown(pf, root)
    if here is None:
        return Facts(may_set_vfs=may_set_vfs)
    device = here / "device"
    total = _text(device / "sriov_totalvfs")
    flags = _text(here / "flags")
    address = _link(device)
    return Facts(
        may_set_vfs=may_set_vfs,
        driver=_link(device / "driver"),
        pci_address=address if address and _PCI_ADDRESS.fullmatch(address) else None,
        total_vfs=0 if total is None else int(total),
        admin_up=None if flags is None else bool(int(flags, 16) & _IFF_UP),
        switchdev=_switchdev(here, root),
        bond_ports=tuple((_text(here / "master" / "bonding" / "slaves") or "").split()),
        kind=_kind(here),
        pf=_pf_of(device),
        routed=_routed({here.name, *_above(here)}, procfs),
    )


def _text(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _link(file: Path) -> str | None:
    try:
        return file.resolve(strict=True).name
    except OSError:
        return None


def _kind(here: Path) -> str | None:
    """What an interface is that is no PF: a VF, one's representor, or the kernel's word for it."""
    if (here / "device" / "physfn").exists():
        return "vf"
    if _REPRESENTOR.fullmatch(_text(here / "phys_port_name") or ""):
        return "representor"
    words = dict(line.split("=", 1) for line in (_text(here / "uevent") or "").splitlines())
    return words.get("DEVTYPE")


def _pf_of(device: Path) -> str | None:
    """The name of a VF's PF, where that has a netdev here."""
    return _netdev(device / "physfn")


def _netdev(device: Path) -> str | None:
    """The interface of a device, the first by name where it has several."""
    try:
        return min(netdev.name for netdev in (device / "net").iterdir())
    except (OSError, ValueError):
        return None


def _above(here: Path) -> set[str]:
    """What stands on an interface: its bond, and bridges and VLANs on that."""
    found: set[str] = set()
    waiting = [here]
    while waiting:
        for link in waiting.pop().glob("upper_*"):
            name = link.name.removeprefix("upper_")
            if name not in found:
                found.add(name)
                waiting.append(here.parent / name)
    return found


def _routed(names: set[str], procfs: Path) -> bool | None:
    """Whether one of these carries a route; link-local ones and multicast are no use to a host."""
    ipv4, ipv6 = _text(procfs / "route"), _text(procfs / "ipv6_route")
    if ipv4 is None:
        return None
    by_ipv4 = {line.split()[0] for line in ipv4.splitlines()[1:]}
    by_ipv6 = {
        line.split()[-1] for line in (ipv6 or "").splitlines() if not line.startswith(("fe8", "ff"))
    }
    return not names.isdisjoint(by_ipv4 | by_ipv6)


def _switchdev(here: Path, root: Path) -> bool | None:
    """Whether VFs have representors: netdevs of the same switch whose port is a VF's.

    A NIC that belongs to no switch is in legacy mode. One that does may be in either: some
    drivers always name one, so that without a representor nothing is known.
    """
    switch = _text(here / "phys_switch_id")
    if not switch:
        return False
    for netdev in root.iterdir():
        port = _text(netdev / "phys_port_name") or ""
        if _REPRESENTOR.fullmatch(port) and _text(netdev / "phys_switch_id") == switch:
            return True
    return None
