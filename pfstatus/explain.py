"""Whether failover would work on a PF, what is missing, and the command that mends it.

``explain()`` is pure: a status, and what a session and sysfs know besides. Agents use it as
``pfstatus explain`` does::

    from pfstatus import Session
    from pfstatus.explain import explain, works
    from pfstatus.sysfs import facts

    with Session() as session:
        status = session.get("ens5f0")
        findings = explain(status, facts(status, may_set_vfs=session.may_set_vfs()))
        assert works(findings), [finding.sentence for finding in findings]
"""

from __future__ import annotations

import os
import re
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
    OperState,
    PortState,
    VfLinkState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pfstatus.heartbeat.values import Partner
    from pfstatus.values import Bond

_NO_SETTER = frozenset({"igb"})
"""Drivers with VFs and without ndo_set_vf_link_state."""
_NAME_MAX = 15
_USABLE = (None, OperState.UP, OperState.UNKNOWN)
"""Operational states in which a link may carry data: Documentation/networking/operstates.rst."""


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
    """All ports of its bond, active or not; of a bond, its own."""
    kind: str | None = None
    """What it is where it is no PF: "bond", "bridge", "loopback", "vf"..."""
    pf: str | None = None
    """Of a VF, the PF's name."""
    routed: bool | None = None
    """Whether routes of the host go through it, its bond, or what stands on that."""
    partner: Partner | str | None = None
    """What was learned of the switch by asking it, or why it could not be asked; None: nobody
    tried."""
    netns: str | None = None
    """The network namespace that commands must enter, a path; None for the one they are run in."""


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
        return (Finding("absent", Level.PROBLEM, sentence, _shell(facts, "ip -br link")),)
    # What can have no VFs is no PF, and what would make a good PF of it would break it.
    if facts.kind or (status.num_vfs == 0 and not facts.total_vfs):
        return (_no_pf(status, facts),)
    found = [*_link(status, facts), *_bond(status, facts), *_lacp(status, facts)]
    found += [*_heartbeat(status, facts), *_vfs(status, facts)]
    found += [*_device(status, facts), *_process(status, facts)]
    if facts.routed and any(_takes_down(finding.command) for finding in found):
        found.append(_uplink(status))
    return tuple(found)


def _name(status: LinkStatus) -> str:
    return shlex.quote(status.ifname or status.name)


def _shell(facts: Facts, *steps: str) -> str:
    """Steps of which each needs the one before, in the PF's network namespace."""
    enter = f"nsenter --net={shlex.quote(facts.netns)} " if facts.netns else ""
    return " && ".join(enter + step for step in steps)


def _takes_down(command: str | None) -> bool:
    return command is not None and bool(re.search(r"ip link set \S+ (down|nomaster)", command))


def _uplink(status: LinkStatus) -> Finding:
    sentence = (
        f"Routes of this host go through {_name(status)}: it is cut off by commands that set that "
        "or its bond down, and may stay so. Have a console at hand."
    )
    return Finding("uplink", Level.WARNING, sentence)


def _no_pf(status: LinkStatus, facts: Facts) -> Finding:
    name = _name(status)
    if facts.kind == "bond":
        ports = " ".join(map(shlex.quote, facts.bond_ports))
        sentence = f"{name} is a bond. What has VFs is its port: name that."
        return Finding("kind", Level.PROBLEM, sentence, _shell(facts, f"pfstatus explain {ports}"))
    if facts.kind == "vf":
        sentence = f"{name} is a VF of {facts.pf or 'a PF that is not to be seen from here'}."
        pf = shlex.quote(facts.pf) if facts.pf else ""
        return Finding("kind", Level.PROBLEM, sentence, f"pfstatus explain {pf}".rstrip())
    if facts.kind:
        sentence = f"{name} is no PF, but of kind {facts.kind}."
        return Finding("kind", Level.PROBLEM, sentence, _shell(facts, "pfstatus explain"))
    if facts.total_vfs == 0:
        sentence = f"{name} can have no VFs: it has no SR-IOV, or the firmware keeps it off."
        return Finding("vfs", Level.PROBLEM, sentence)
    sentence = f"{name} has no VFs, and whether it can have any is not to be seen from here."
    return Finding("vfs", Level.PROBLEM, sentence)


def _link(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    name = _name(status)
    down = status.operstate not in _USABLE or status.lacp.reason is LacpReason.LINK_DOWN
    if down and False in (status.admin_up, facts.admin_up):
        command = _shell(facts, f"ip link set {name} up")
        yield Finding("link", Level.PROBLEM, f"{name} is set down.", command)
    elif down:
        sentence = (
            f"The link of {name} is {status.operstate}: cable, transceiver or switch port. VFs in "
            "auto follow it by themselves, but nothing can be said of LACP."
        )
        yield Finding("link", Level.PROBLEM, sentence, _shell(facts, f"ethtool {name}"))
    elif status.operstate is OperState.UNKNOWN:
        sentence = f"The driver of {name} tells nothing of its link, so that it counts as up."
        yield Finding("link", Level.NOTE, sentence)
    else:
        yield Finding("link", Level.GOOD, f"The link of {name} is up.")


def _into_bond(status: LinkStatus) -> tuple[str, ...]:
    name = _name(status)
    # Cut off at the kernel's limit, two ports of a NIC would have one name.
    bond = f"bond-{status.ifname or status.name}"
    bond = shlex.quote(bond if len(os.fsencode(bond)) <= _NAME_MAX else f"bond-{status.ifindex}")
    return (
        f"ip link add {bond} type bond mode 802.3ad miimon 100 lacp_rate fast min_links 1",
        f"ip link set {name} down",
        f"ip link set {name} master {bond}",
        f"ip link set {bond} up",
    )


def _bond(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    name = _name(status)
    if status.master is None:
        sentence = f"{name} is in no bond: LACP runs in a bond of mode 802.3ad, with it alone."
        command = _shell(facts, *_into_bond(status))
        yield Finding("bond", Level.PROBLEM, sentence, command)
    elif status.bond is None:
        sentence = f"The master of {name} is no bond but a {status.master_kind or 'stranger'}."
        command = _shell(facts, f"ip link set {name} nomaster", *_into_bond(status))
        yield Finding("bond", Level.PROBLEM, sentence, command)
    elif status.bond.mode != BondMode.IEEE_802_3AD:
        yield _wrong_mode(status, status.bond, facts)
    else:
        yield from _lacp_bond(status, status.bond, facts)


def _wrong_mode(status: LinkStatus, bond: Bond, facts: Facts) -> Finding:
    # The kernel changes the mode of a bond only while it is down and has no port.
    name, master = _name(status), shlex.quote(bond.name)
    ports = [shlex.quote(port) for port in facts.bond_ports] or [name]
    command = _shell(
        facts,
        f"ip link set {master} down",
        *(f"ip link set {port} nomaster" for port in ports),
        f"ip link set {master} type bond mode 802.3ad miimon 100 lacp_rate fast min_links 1",
        f"ip link set {name} master {master}",
        f"ip link set {master} up",
    )
    sentence = f"{bond.name} is in mode {bond.mode}; LACP runs in mode 802.3ad only."
    return Finding("bond-mode", Level.PROBLEM, sentence, command)


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
        steps = [f"ip link set {shlex.quote(port)} nomaster" for port in others]
        steps = steps or [f"cat /proc/net/bonding/{master}"]
        yield Finding("ports", Level.PROBLEM, sentence, _shell(facts, *steps))
    else:
        sentence = f"It is the only port of {bond.name}, which is in mode 802.3ad."
        yield Finding("bond", Level.GOOD, sentence)
    if bond.lacp_rate is LacpRate.SLOW:
        sentence = f"{bond.name} asks for LACPDUs at the slow rate: a loss shows after 90 s, not 3."
        # Bonding changes the rate only while the bond is down.
        steps = [
            f"ip link set {master} down",
            f"{change} lacp_rate fast",
            f"ip link set {master} up",
        ]
        yield Finding("lacp-rate", Level.WARNING, sentence, _shell(facts, *steps))
    elif bond.lacp_rate is LacpRate.FAST:
        sentence = "It asks for LACPDUs at the fast rate: a loss shows after 3 s."
        yield Finding("lacp-rate", Level.GOOD, sentence)
    if bond.miimon == 0:
        sentence = f"{bond.name} does not look at its cable (miimon 0)."
        command = _shell(facts, f"{change} miimon 100")
        yield Finding("miimon", Level.WARNING, sentence, command)
    if bond.min_links == 0:
        sentence = (
            f"{bond.name} keeps its carrier when it has no active port (min_links 0): what runs "
            "on the bond itself does not notice."
        )
        command = _shell(facts, f"{change} min_links 1")
        yield Finding("min-links", Level.WARNING, sentence, command)


def _lacp(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
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
        command = _shell(facts, f"ip link set {shlex.quote(bond.name)} up")
        yield Finding("lacp", Level.PROBLEM, status.lacp.sentence, command)
    else:
        # What failover is for. Whether it took place, the VFs tell.
        sentence = (
            f"{status.lacp.sentence} If it never was up, the switch port does not speak LACP."
        )
        command = _shell(facts, f"cat /proc/net/bonding/{shlex.quote(bond.name)}")
        yield Finding("lacp", Level.WARNING, sentence, command)


def _heartbeat(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    partner = facts.partner
    if partner is None:
        return
    if isinstance(partner, str):
        sentence = f"Whether the heartbeat would work is not known: {partner}."
        yield Finding("heartbeat", Level.NOTE, sentence)
    elif not partner.usable:
        sentence = (
            "The heartbeat would be of no use: the switch does not answer, and LACP alone tells "
            f"when it is silent ({partner})."
        )
        yield Finding("heartbeat", Level.NOTE, sentence)
    elif status.bond and status.bond.lacp_rate is LacpRate.SLOW:
        sentence = (
            "The switch answers, but at the slow rate, where silence is normal, the heartbeat of a "
            f"relay concludes nothing ({partner})."
        )
        yield Finding("heartbeat", Level.NOTE, sentence)
    else:
        sentence = f"The heartbeat would work: the switch answers ({partner})."
        command = _shell(facts, f"pfstatus relay --heartbeat watch {_name(status)}")
        yield Finding("heartbeat", Level.GOOD, sentence, command)


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
        sentence = "The kernel cannot list its VFs: whether they are in auto is not known."
        yield Finding("vfs", Level.WARNING, sentence)
        return
    if not status.num_vfs:
        yield Finding("vfs", Level.PROBLEM, f"{name} has no VFs.", _make_vfs(name, facts))
        return
    by_state = {
        state: [vf.vf for vf in status.vfs if vf.link_state is state] for state in VfLinkState
    }
    auto, enabled, disabled = by_state.values()
    if auto and status.lacp.status is LacpStatus.DOWN:
        sentence = f"{_some(auto)} in auto though LACP is down: no relay runs, or it cannot set it."
        command = _shell(facts, f"pfstatus relay {name}")
        yield Finding("vfs-auto", Level.PROBLEM, sentence, command)
    elif auto:
        yield Finding("vfs", Level.GOOD, f"{_some(auto)} in auto, as a relay wants it.")
    if enabled:
        sentence = f"{_some(enabled)} in enable: no relay touches that, it does not fail over."
        command = _shell(facts, f"pfstatus set {name} {ranges(enabled)}=auto")
        yield Finding("vfs-enable", Level.PROBLEM, sentence, command)
    if disabled and status.lacp.status is LacpStatus.UP:
        sentence = f"{_some(disabled)} in disable though LACP is up: nobody gave the link back."
        command = _shell(facts, f"pfstatus set {name} {ranges(disabled)}=auto")
        yield Finding("vfs-disable", Level.WARNING, sentence, command)
    elif disabled:
        sentence = f"{_some(disabled)} in disable, which is right while LACP is not up."
        yield Finding("vfs-disable", Level.GOOD, sentence)
    missing = sorted(set(range(status.num_vfs)) - {vf.vf for vf in status.vfs})
    if missing:
        sentence = (
            f"The driver could not tell of VF {ranges(missing)} just now. What it cannot tell of "
            "does not fail over."
        )
        yield Finding("vfs-missing", Level.WARNING, sentence, _shell(facts, f"ip link show {name}"))


def _make_vfs(name: str, facts: Facts) -> str | None:
    if not facts.netns:
        where = f"/sys/class/net/{name}/device"
    elif facts.pci_address:  # sysfs shows devices of all network namespaces, but not their names
        where = f"/sys/bus/pci/devices/{facts.pci_address}"
    else:
        return None
    return f"echo {min(4, facts.total_vfs or 4)} > {where}/sriov_numvfs"


def _device(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    if facts.driver is None:
        sentence = "The driver is not to be seen from here: whether it can set VFs, setting tells."
        yield Finding("driver", Level.NOTE, sentence)
    elif facts.driver in _NO_SETTER:
        sentence = f"The driver {facts.driver} has no setter for VF link states: use another NIC."
        command = _shell(facts, f"ethtool -i {_name(status)}")
        yield Finding("driver", Level.PROBLEM, sentence, command)
    else:
        sentence = f"The driver is {facts.driver}; whether it sets VF link states, setting tells."
        yield Finding("driver", Level.NOTE, sentence)
    where = f"pci/{facts.pci_address}" if facts.pci_address else "DEVICE"
    if facts.switchdev:
        sentence = (
            "The NIC is in switchdev mode (its VFs have representors), where drivers refuse to "
            "set VF link states."
        )
        command = _shell(facts, f"devlink dev eswitch set {where} mode legacy")
        yield Finding("switchdev", Level.PROBLEM, sentence, command)
    elif facts.switchdev is None and facts.pci_address:
        sentence = "Whether the NIC is in switchdev mode is not to be seen from here."
        command = _shell(facts, f"devlink dev eswitch show {where}")
        yield Finding("switchdev", Level.NOTE, sentence, command)


def _process(status: LinkStatus, facts: Facts) -> Iterator[Finding]:
    if facts.may_set_vfs is False:
        sentence = "This process may not set VFs: a relay that runs like it lacks CAP_NET_ADMIN."
        command = f"sudo {_shell(facts, f'pfstatus explain {_name(status)}')}"
        yield Finding("capability", Level.PROBLEM, sentence, command)
    elif facts.may_set_vfs:
        yield Finding("capability", Level.GOOD, "This process may set VFs (CAP_NET_ADMIN).")
