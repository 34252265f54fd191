"""What rtnetlink does not tell of a PF: its driver, its bond's other ports, switchdev mode."""

from __future__ import annotations

import re
from pathlib import Path

from pfstatus.explain import Facts

_SYSFS = Path("/sys/class/net")
_IFF_UP = 0x1
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+vf\d+")


def facts(ifname: str, *, may_set_vfs: bool | None = None, root: Path = _SYSFS) -> Facts:
    """Read what ``explain()`` wants to know. What cannot be read is not known; never raises.

    Args:
        ifname: the kernel's own name of the PF, in the network namespace that sysfs shows.
        may_set_vfs: what ``Session.may_set_vfs()`` said.
        root: where sysfs shows network interfaces.
    """
    here = root / ifname
    device = here / "device"
    total = _text(device / "sriov_totalvfs")
    flags = _text(here / "flags")
    address = _link(device)
    return Facts(
        may_set_vfs=may_set_vfs,
        driver=_link(device / "driver"),
        pci_address=address if address and _PCI_ADDRESS.fullmatch(address) else None,
        total_vfs=_total_vfs(total, known=here.exists()),
        admin_up=None if flags is None else bool(int(flags, 16) & _IFF_UP),
        switchdev=_switchdev(here, root),
        bond_ports=tuple((_text(here / "master" / "bonding" / "slaves") or "").split()),
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


def _total_vfs(text: str | None, *, known: bool) -> int | None:
    if text is not None:
        return int(text)
    return 0 if known else None


def _switchdev(here: Path, root: Path) -> bool | None:
    """Whether VFs have representors: netdevs of the same switch whose port is a VF's.

    A NIC that belongs to no switch is in legacy mode. One that does may be in either: some
    drivers always name one, so that without a representor nothing is known.
    """
    switch = _text(here / "phys_switch_id")
    if not switch:
        return False if here.exists() else None
    for netdev in root.iterdir():
        port = _text(netdev / "phys_port_name") or ""
        if _REPRESENTOR.fullmatch(port) and _text(netdev / "phys_switch_id") == switch:
            return True
    return None
