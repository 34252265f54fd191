"""Whether failover would work on a PF, what is missing, and the command that mends it.

``explain()`` is pure: a status, and what a session and sysfs know besides. Agents use it as
``pfstatus explain`` does::

    from pfstatus import Session
    from pfstatus.explain import explain, works
    from pfstatus.sysfs import facts

    with Session() as session:
        status = session.get("ens5f0")
        findings = explain(status, facts("ens5f0", may_set_vfs=session.may_set_vfs()))
        assert works(findings), [finding.sentence for finding in findings]
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pfstatus.values import (
    BondMode,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    PortState,
    VfLinkState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pfstatus.values import Bond

_NO_SETTER = frozenset({"igb"})
"""Drivers with VFs and without ndo_set_vf_link_state."""
_NAME_MAX = 15


class Level(Enum):
    """What a finding means for failover."""

    GOOD = "good"
    """It is as it should be."""
    NOTE = "note"
    """Worth knowing, or not to be seen from here."""
    WARNING = "warning"
    """Failover works, but not as well as it could."""
    PROBLEM = "problem"
    """Failover does not work, or not for all VFs."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    """A word that stays the same: "bond", "lacp-rate", "vfs-enable"..."""
    level: Level
    """What it means."""
    sentence: str
    """The same for people."""
    command: str | None = None
    """A shell command that mends it, or shows more where nothing on this host can mend it."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "topic": self.topic,
            "level": str(self.level),
            "sentence": self.sentence,
            "command": self.command,
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """What a status does not tell; None where it is not known."""

    may_set_vfs: bool | None = None
    """Whether the kernel would let this process set VFs."""
    driver: str | None = None
    """The PF's driver."""
    pci_address: str | None = None
    """Where it is: "0000:5e:00.0"."""
    total_vfs: int | None = None
    """VFs that the device can have; 0 where it has no SR-IOV."""
    admin_up: bool | None = None
    """Whether the PF is set up (IFF_UP), link or not."""
    switchdev: bool | None = None
    """Whether its VFs have representors, as in switchdev mode."""
    bond_ports: tuple[str, ...] = ()
    """All ports of its bond, active or not."""


def works(findings: Iterable[Finding]) -> bool:
    """Whether failover would work, as far as can be seen."""
    return all(finding.level is not Level.PROBLEM for finding in findings)


def explain(status: LinkStatus, facts: Facts | None = None) -> tuple[Finding, ...]:
    """Judge one PF.

    Args:
        status: with its VFs: ``session.get(name)``.
        facts: without, what they would tell is passed over.

    Returns:
        What was looked at, from the cable up to this process; an absent PF has one finding.
    """
    facts = facts or Facts()
    if status.lacp.reason is LacpReason.ABSENT:
        sentence = f"There is no interface {status.name} in this network namespace."
        return (Finding("absent", Level.PROBLEM, sentence, "ip -br link"),)
    found = [*_link(status, facts), *_bond(status, facts), *_lacp(status)]
    found += [*_vfs(status, facts), *_device(status, facts), *_process(status, facts)]
    return tuple(found)


def _name(status: LinkStatus) -> str:
    return shlex.quote(status.ifname or status.name)


def _link(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    name = _name(status)
    if status.operstate is None or str(status.operstate) == "up":
        yield Finding("link", Level.GOOD, f"The link of {name} is up.")
    elif facts.admin_up is False:
        sentence = f"{name} is set down."
        yield Finding("link", Level.PROBLEM, sentence, f"ip link set {name} up")
    else:
        sentence = (
            f"The link of {name} is {status.operstate}: cable, transceiver or switch port. VFs in "
            "auto follow it by themselves, but nothing can be said of LACP."
        )
        yield Finding("link", Level.PROBLEM, sentence, f"ethtool {name}")


def _into_bond(status: LinkStatus) -> str:
    name = _name(status)
    bond = shlex.quote(f"bond-{status.ifname or status.name}"[:_NAME_MAX])
    return (
        f"ip link add {bond} type bond mode 802.3ad miimon 100 lacp_rate fast min_links 1 && "
        f"ip link set {name} down && ip link set {name} master {bond} && ip link set {bond} up"
    )


def _bond(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    name = _name(status)
    if status.master is None:
        sentence = f"{name} is in no bond: LACP runs in a bond of mode 802.3ad, with it alone."
        yield Finding("bond", Level.PROBLEM, sentence, _into_bond(status))
    elif status.bond is None:
        sentence = f"The master of {name} is no bond but a {status.master_kind or 'stranger'}."
        command = f"ip link set {name} nomaster && {_into_bond(status)}"
        yield Finding("bond", Level.PROBLEM, sentence, command)
    elif status.bond.mode != BondMode.IEEE_802_3AD:
        yield _wrong_mode(status, status.bond, facts)
    else:
        yield from _lacp_bond(status, status.bond, facts)


def _wrong_mode(status: LinkStatus, bond: Bond, facts: Facts) -> Finding:
    # The kernel changes the mode of a bond only while it is down and has no port.
    name, master = _name(status), shlex.quote(bond.name)
    ports = [shlex.quote(port) for port in facts.bond_ports] or [name]
    out = [f"ip link set {port} nomaster" for port in ports]
    steps = [
        f"ip link set {master} down",
        *out,
        f"ip link set {master} type bond mode 802.3ad miimon 100 lacp_rate fast min_links 1",
        f"ip link set {name} master {master}",
        f"ip link set {master} up",
    ]
    sentence = f"{bond.name} is in mode {bond.mode}; LACP runs in mode 802.3ad only."
    return Finding("bond-mode", Level.PROBLEM, sentence, " && ".join(steps))


def _lacp_bond(status: LinkStatus, bond: Bond, facts: Facts) -> Iterator[Finding]:
    name, master = _name(status), shlex.quote(bond.name)
    change = f"ip link set {master} type bond"
    others = [port for port in facts.bond_ports if port != status.ifname]
    ports = max(len(others) + 1, bond.num_ports or 0)
    if ports > 1:
        sentence = (
            f"{bond.name} has {ports} ports. The switch sends what is for a VF of {name} to any "
            "of them, and the VF does not get it; each PF needs a bond of its own."
        )
        out = " && ".join(f"ip link set {shlex.quote(port)} nomaster" for port in others)
        yield Finding("ports", Level.PROBLEM, sentence, out or f"cat /proc/net/bonding/{master}")
    else:
        sentence = f"It is the only port of {bond.name}, which is in mode 802.3ad."
        yield Finding("bond", Level.GOOD, sentence)
    if bond.lacp_rate is LacpRate.SLOW:
        sentence = f"{bond.name} asks for LACPDUs at the slow rate: a loss shows after 90 s, not 3."
        # Bonding changes the rate only while the bond is down.
        command = f"ip link set {master} down && {change} lacp_rate fast && ip link set {master} up"
        yield Finding("lacp-rate", Level.WARNING, sentence, command)
    elif bond.lacp_rate is LacpRate.FAST:
        sentence = "It asks for LACPDUs at the fast rate: a loss shows after 3 s."
        yield Finding("lacp-rate", Level.GOOD, sentence)
    if bond.miimon == 0:
        sentence = f"{bond.name} does not look at its cable (miimon 0)."
        yield Finding("miimon", Level.WARNING, sentence, f"{change} miimon 100")
    if bond.min_links == 0:
        sentence = (
            f"{bond.name} keeps its carrier when it has no active port (min_links 0): what runs "
            "on the bond itself does not notice."
        )
        yield Finding("min-links", Level.WARNING, sentence, f"{change} min_links 1")


def _lacp(status: LinkStatus) -> Iterator[Finding]:
    bond = status.bond
    if bond is None or bond.mode != BondMode.IEEE_802_3AD:
        return
    if status.lacp.reason is LacpReason.LINK_DOWN:
        return
    if status.lacp.status is LacpStatus.UP:
        partner = f" The partner is {bond.partner_mac}." if bond.partner_mac else ""
        yield Finding("lacp", Level.GOOD, status.lacp.sentence + partner)
        if status.partner is not None and PortState.TIMEOUT not in status.partner:
            sentence = (
                "The switch asks for LACPDUs at the slow rate: it notices a loss after 90 s, "
                "and goes on sending here until then. Set the short timeout there."
            )
            yield Finding("partner-rate", Level.NOTE, sentence)
    elif status.lacp.reason is LacpReason.NO_AGGREGATOR:
        command = f"ip link set {shlex.quote(bond.name)} up"
        yield Finding("lacp", Level.PROBLEM, status.lacp.sentence, command)
    else:
        sentence = (
            f"{status.lacp.sentence} A relay has the VFs disabled until it is up; if it never "
            "was, the switch port does not speak LACP."
        )
        command = f"cat /proc/net/bonding/{shlex.quote(bond.name)}"
        yield Finding("lacp", Level.PROBLEM, sentence, command)


def ranges(vfs: Iterable[int]) -> str:
    """VF numbers as people write them: "0-3,7"."""
    runs = []
    for _, run in groupby(enumerate(sorted(vfs)), lambda pair: pair[1] - pair[0]):
        members = [vf for _, vf in run]
        runs.append(f"{members[0]}-{members[-1]}" if len(members) > 1 else f"{members[0]}")
    return ",".join(runs)


def _some(vfs: list[int]) -> str:
    return f"VF {vfs[0]} is" if len(vfs) == 1 else f"VFs {ranges(vfs)} are"


def _vfs(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    name = _name(status)
    if status.vfs is None:
        return
    if not status.num_vfs:
        if facts.total_vfs == 0:
            sentence = f"{name} can have no VFs: it has no SR-IOV, or the firmware keeps it off."
            yield Finding("vfs", Level.PROBLEM, sentence)
            return
        command = f"echo {min(4, facts.total_vfs or 4)} > /sys/class/net/{name}/device/sriov_numvfs"
        yield Finding("vfs", Level.PROBLEM, f"{name} has no VFs.", command)
        return
    by_state = {
        state: [vf.vf for vf in status.vfs if vf.link_state is state] for state in VfLinkState
    }
    auto, enabled, disabled = by_state.values()
    if auto:
        yield Finding("vfs", Level.GOOD, f"{_some(auto)} in auto, as a relay wants it.")
    if enabled:
        sentence = f"{_some(enabled)} in enable: no relay touches that, it does not fail over."
        command = f"pfstatus set {name} {ranges(enabled)}=auto"
        yield Finding("vfs-enable", Level.PROBLEM, sentence, command)
    if disabled and status.lacp.status is LacpStatus.UP:
        sentence = f"{_some(disabled)} in disable though LACP is up: nobody gave the link back."
        command = f"pfstatus set {name} {ranges(disabled)}=auto"
        yield Finding("vfs-disable", Level.WARNING, sentence, command)
    elif disabled:
        sentence = f"{_some(disabled)} in disable, which is right while LACP is not up."
        yield Finding("vfs-disable", Level.NOTE, sentence)
    missing = status.num_vfs - len(status.vfs)
    if missing > 0:
        sentence = f"The driver could not tell of {missing} of {status.num_vfs} VFs just now."
        yield Finding("vfs-missing", Level.WARNING, sentence, f"pfstatus status {name}")


def _device(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    if facts.driver is None:
        sentence = "The driver is not to be seen from here: whether it can set VFs, setting tells."
        yield Finding("driver", Level.NOTE, sentence)
    elif facts.driver in _NO_SETTER:
        sentence = f"The driver {facts.driver} has no setter for VF link states: use another NIC."
        yield Finding("driver", Level.PROBLEM, sentence, f"ethtool -i {_name(status)}")
    else:
        sentence = f"The driver is {facts.driver}; whether it sets VF link states, setting tells."
        yield Finding("driver", Level.NOTE, sentence)
    where = f"pci/{facts.pci_address}" if facts.pci_address else "DEVICE"
    if facts.switchdev:
        sentence = (
            "The NIC is in switchdev mode (its VFs have representors), where drivers refuse to "
            "set VF link states."
        )
        command = f"devlink dev eswitch set {where} mode legacy"
        yield Finding("switchdev", Level.PROBLEM, sentence, command)
    elif facts.switchdev is None and facts.pci_address:
        sentence = "Whether the NIC is in switchdev mode is not to be seen from here."
        command = f"devlink dev eswitch show {where}"
        yield Finding("switchdev", Level.NOTE, sentence, command)


def _process(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    if facts.may_set_vfs is False:
        sentence = "This process may not set VFs: a relay that runs like it lacks CAP_NET_ADMIN."
        command = f"sudo pfstatus explain {_name(status)}"
        yield Finding("capability", Level.PROBLEM, sentence, command)
    elif facts.may_set_vfs:
        yield Finding("capability", Level.GOOD, "This process may set VFs (CAP_NET_ADMIN).")
