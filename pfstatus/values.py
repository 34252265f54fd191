"""What the kernel says, as values: frozen, hashable, picklable, and ignorant of any I/O.

``to_dict()`` gives plain values for JSON: the words of ``str()`` for what has a word, a number
for what has none yet, null for what the kernel did not say. docs/status.schema.json describes
it; keys and words stay, new ones may be added. ``from_dict()`` makes the value of them again; keys
that it does not know are passed over, and ValueError says what it cannot read.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pfstatus.errors import Error

_E = TypeVar("_E", bound=Enum)


@contextmanager
def _reading(cls: type) -> Iterator[None]:
    """Say of plain values that cannot be read what is wrong with them."""
    try:
        yield
    except KeyError as exc:
        msg = f"no {cls.__name__}.to_dict(): it lacks {exc}"
        raise ValueError(msg) from None
    except (TypeError, AttributeError) as exc:
        msg = f"no {cls.__name__}.to_dict(): {exc}"
        raise ValueError(msg) from None


def _unword(kind: type[_E], word: str) -> _E:
    """The member of an enum whose ``str()`` this is."""
    for member in kind:
        if str(member) == word:
            return member
    msg = f"{word!r} is no {kind.__name__}: {', '.join(map(str, kind))}"
    raise ValueError(msg)


def _number(kind: type[_E], plain: str | int | None) -> _E | int | None:
    """What ``_word()`` made plain."""
    return _unword(kind, plain) if isinstance(plain, str) else plain


class VfLinkState(IntEnum):
    """Link state of a VF, uapi/linux/if_link.h ``IFLA_VF_LINK_STATE_*``."""

    AUTO = 0
    """The VF's link follows the PF's cable."""
    ENABLE = 1
    """Always up, whatever the cable does."""
    DISABLE = 2
    """Always down."""

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, value: VfLinkState | int | str) -> VfLinkState:
        """Take "auto", "enable", "disable" or the number.

        Raises:
            ValueError: it is none of them.
        """
        found = _LINK_STATE_WORDS.get(value.lower() if isinstance(value, str) else value)
        if found is not None and value is not True and value is not False:
            return found
        msg = f"link state must be auto, enable or disable, not {value!r}"
        raise ValueError(msg)


_LINK_STATE_WORDS: dict[VfLinkState | int | str, VfLinkState] = {
    key: state for state in VfLinkState for key in (str(state), state.value)
}


class PortState(IntFlag):
    """Bits of a port state, IEEE 802.1AX-2014 6.4.2.3, uapi/linux/if_bonding.h."""

    ACTIVITY = 0x01
    """Active LACP: the port speaks first."""
    TIMEOUT = 0x02
    """Short timeout: LACPDUs are wanted every second, and missed after three."""
    AGGREGATION = 0x04
    """The port may share its LAG with others. Clear in a LAG of one; no sign of health."""
    SYNCHRONIZATION = 0x08
    """The port is in the right aggregator."""
    COLLECTING = 0x10
    """Incoming frames are taken."""
    DISTRIBUTING = 0x20
    """Outgoing frames are sent."""
    DEFAULTED = 0x40
    """No partner was heard: its values are administrative defaults."""
    EXPIRED = 0x80
    """LACPDUs stopped."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values: the octet, and the names of its bits from the lowest on."""
        flags = [str(bit.name).lower() for bit in PortState if bit in self]
        return {"value": self.value, "flags": flags}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict()`` made plain; the octet counts."""
        with _reading(cls):
            return cls(plain["value"])


class BondMode(IntEnum):
    """Mode of a bond, uapi/linux/if_bonding.h ``BOND_MODE_*``."""

    BALANCE_RR = 0
    ACTIVE_BACKUP = 1
    BALANCE_XOR = 2
    BROADCAST = 3
    IEEE_802_3AD = 4
    BALANCE_TLB = 5
    BALANCE_ALB = 6

    def __str__(self) -> str:
        """The word that ``ip`` and sysfs use."""
        return "802.3ad" if self is BondMode.IEEE_802_3AD else self.name.lower().replace("_", "-")


class LacpRate(IntEnum):
    """How often a port wants LACPDUs, ``IFLA_BOND_AD_LACP_RATE``."""

    SLOW = 0
    """Every 30 s: a loss shows after 90 s."""
    FAST = 1
    """Every second: a loss shows after 3 s."""

    def __str__(self) -> str:
        return self.name.lower()


class OperState(IntEnum):
    """Operational state of a link, RFC 2863, uapi/linux/if.h ``IF_OPER_*``."""

    UNKNOWN = 0
    NOTPRESENT = 1
    DOWN = 2
    LOWERLAYERDOWN = 3
    TESTING = 4
    DORMANT = 5
    UP = 6

    def __str__(self) -> str:
        return self.name.lower()


class LacpStatus(Enum):
    """The answer in one word."""

    UP = "up"
    """Frames reach the switch."""
    DOWN = "down"
    """They do not: VFs should not follow the cable."""
    UNKNOWN = "unknown"
    """Nothing can be said of LACP; nothing should be done."""

    def __str__(self) -> str:
        return self.value


class LacpReason(IntEnum):
    """Why: ``enum pfs_lacp`` of pfstatus.h, which holds the rule."""

    UP = 0
    """Both ends are in sync, collect and distribute."""
    EXPIRED = 1
    """Down: LACPDUs stopped."""
    DEFAULTED = 2
    """Down: no partner."""
    NEGOTIATING = 3
    """Down: the ends are not both in sync, collecting and distributing."""
    ABSENT = 16
    """Unknown: no such interface."""
    NO_BOND = 17
    """Unknown: no master."""
    NOT_A_BOND = 18
    """Unknown: the master is a bridge, a team, a VRF..."""
    WRONG_MODE = 19
    """Unknown: the bond is not in mode 802.3ad."""
    NO_AGGREGATOR = 20
    """Unknown: the bond has not assigned the port to an aggregator."""
    LINK_DOWN = 21
    """Unknown: no cable, or set down."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Lacp:
    """LACP on one PF, judged.

    Attributes:
        status: Up, down, or unknown.
        reason: Which way of being so.
        sentence: The same for people.
    """

    status: LacpStatus
    reason: LacpReason
    sentence: str

    def __str__(self) -> str:
        if self.status.name == self.reason.name:
            return str(self.status)
        return f"{self.status} ({self.reason})"

    def __repr__(self) -> str:
        return f"<pfstatus.Lacp {self}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "status": str(self.status),
            "reason": str(self.reason),
            "sentence": self.sentence,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict()`` made plain."""
        with _reading(cls):
            reason = _unword(LacpReason, plain["reason"])
            return cls(_unword(LacpStatus, plain["status"]), reason, plain["sentence"])


class Vf(NamedTuple):
    """One virtual function of a PF.

    Attributes:
        vf: Its number, from 0.
        link_state: What it is told about the cable.
    """

    vf: int
    link_state: VfLinkState

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"vf": self.vf, "link_state": str(self.link_state)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict()`` made plain."""
        with _reading(cls):
            return cls(plain["vf"], VfLinkState.parse(plain["link_state"]))


class Switched(NamedTuple):
    """What ``Session.switch_vfs()`` read and did.

    Attributes:
        lacp: LACP, judged, at the moment at which the VFs were read.
        num_vfs: VFs that exist.
        vfs: Those that the kernel listed, as they were before.
        changed: VFs that were to be set, as far as it went.
        errors: What failed for each of these; empty where nothing did.
        read_at: When the VFs had been read, in seconds of ``time.monotonic()``.
    """

    lacp: Lacp
    num_vfs: int
    vfs: tuple[Vf, ...]
    changed: list[int]
    errors: list[Error | None]
    read_at: float


class Vfs(NamedTuple):
    """The VFs of a PF and its LACP at one moment: what a decision needs.

    Attributes:
        lacp: LACP, judged.
        num_vfs: VFs that exist.
        vfs: Those that the kernel listed: one whose driver could not answer is left out.
    """

    lacp: Lacp
    num_vfs: int
    vfs: tuple[Vf, ...]


def _word(value: IntEnum | int | None) -> str | int | None:
    """An enum's word; a number that has none stays one."""
    return str(value) if isinstance(value, IntEnum) else value


def _dict(value: PortState | Bond | None) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()


@dataclass(frozen=True, slots=True)
class Bond:
    """A PF's master, where that is a bond.

    Attributes:
        ifindex: Interface index of the bond.
        name: Its name.
        mode: Its mode; a plain integer where it is none that we know.
        lacp_rate: How often it asks the switch for LACPDUs.
        miimon: Link monitoring interval, milliseconds.
        min_links: Ports that must be active for the bond to have a carrier.
        aggregator_id: ``IFLA_BOND_AD_INFO``: the active aggregator; None where there is none.
        num_ports: Ports in the active aggregator.
        actor_key: Our operational key.
        partner_key: The switch's operational key.
        partner_mac: The switch's system identifier, "aa:bb:cc:dd:ee:ff".
    """

    ifindex: int
    name: str
    mode: BondMode | int | None
    lacp_rate: LacpRate | None
    miimon: int | None
    min_links: int | None
    aggregator_id: int | None
    num_ports: int | None
    actor_key: int | None
    partner_key: int | None
    partner_mac: str | None

    def __repr__(self) -> str:
        return f"<pfstatus.Bond {self.name} ifindex={self.ifindex} mode={_word(self.mode)}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "ifindex": self.ifindex,
            "name": self.name,
            "mode": _word(self.mode),
            "lacp_rate": _word(self.lacp_rate),
            "miimon": self.miimon,
            "min_links": self.min_links,
            "aggregator_id": self.aggregator_id,
            "num_ports": self.num_ports,
            "actor_key": self.actor_key,
            "partner_key": self.partner_key,
            "partner_mac": self.partner_mac,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict()`` made plain."""
        with _reading(cls):
            rate = plain["lacp_rate"]
            return cls(
                ifindex=plain["ifindex"],
                name=plain["name"],
                mode=_number(BondMode, plain["mode"]),
                lacp_rate=None if rate is None else _unword(LacpRate, rate),
                miimon=plain["miimon"],
                min_links=plain["min_links"],
                aggregator_id=plain["aggregator_id"],
                num_ports=plain["num_ports"],
                actor_key=plain["actor_key"],
                partner_key=plain["partner_key"],
                partner_mac=plain["partner_mac"],
            )


class LinkStatus(NamedTuple):
    """What the kernel said of one PF at one moment.

    Attributes:
        name: The name that it was asked by.
        lacp: LACP, judged.
        ifname: The kernel's own name; differs where ``name`` is an alternative one.
        ifindex: Interface index in the session's network namespace; None where absent.
        operstate: Operational state.
        master: Interface index of the master.
        master_kind: What the master is: "bond", "bridge", "team", "vrf"...
        bond: The master, where it is a bond.
        active: Whether the bond uses the port (``IFLA_BOND_SLAVE_STATE``).
        aggregator_id: The port's aggregator.
        actor: Our end's port state; None where the PF is no 802.3ad port with an aggregator.
        partner: The switch's port state, as far as we heard of it.
        num_vfs: VFs that exist; None where they were not asked for.
        vfs: The VFs, in the kernel's order. A list may be sparse: one whose driver could not
            answer is left out. None where they were not asked for.
        admin_up: ``IFF_UP``: whether it is set up. None where absent.
        carrier: ``IFF_LOWER_UP``: whether it is up and has a carrier. Tells of the cable where a
            driver sets no operational state. None where absent.
        parent: ``IFLA_PARENT_DEV_NAME``: the device it belongs to, by its PCI address
            ("0000:3b:00.0") where that is one. None where it has none, and before Linux 5.14.
    """

    name: str
    lacp: Lacp
    ifname: str | None = None
    ifindex: int | None = None
    operstate: OperState | int | None = None
    master: int | None = None
    master_kind: str | None = None
    bond: Bond | None = None
    active: bool | None = None
    aggregator_id: int | None = None
    actor: PortState | None = None
    partner: PortState | None = None
    num_vfs: int | None = None
    vfs: tuple[Vf, ...] | None = None
    admin_up: bool | None = None
    carrier: bool | None = None
    parent: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: LACP {self.lacp}"

    def __repr__(self) -> str:
        said = {
            "ifindex": self.ifindex,
            "operstate": _word(self.operstate),
            "bond": self.bond.name if self.bond else None,
            "actor": None if self.actor is None else f"{self.actor:#04x}",
            "partner": None if self.partner is None else f"{self.partner:#04x}",
            "num_vfs": self.num_vfs,
        }
        rest = "".join(f" {key}={value}" for key, value in said.items() if value is not None)
        return f"<pfstatus.LinkStatus {self}{rest}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "lacp": self.lacp.to_dict(),
            "ifname": self.ifname,
            "ifindex": self.ifindex,
            "operstate": _word(self.operstate),
            "master": self.master,
            "master_kind": self.master_kind,
            "bond": _dict(self.bond),
            "active": self.active,
            "aggregator_id": self.aggregator_id,
            "actor": _dict(self.actor),
            "partner": _dict(self.partner),
            "num_vfs": self.num_vfs,
            "vfs": None if self.vfs is None else [vf.to_dict() for vf in self.vfs],
            "admin_up": self.admin_up,
            "carrier": self.carrier,
            "parent": self.parent,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict()`` made plain."""
        with _reading(cls):
            bond, actor, partner = plain["bond"], plain["actor"], plain["partner"]
            vfs = plain["vfs"]
            return cls(
                name=plain["name"],
                lacp=Lacp.from_dict(plain["lacp"]),
                ifname=plain["ifname"],
                ifindex=plain["ifindex"],
                operstate=_number(OperState, plain["operstate"]),
                master=plain["master"],
                master_kind=plain["master_kind"],
                bond=None if bond is None else Bond.from_dict(bond),
                active=plain["active"],
                aggregator_id=plain["aggregator_id"],
                actor=None if actor is None else PortState.from_dict(actor),
                partner=None if partner is None else PortState.from_dict(partner),
                num_vfs=plain["num_vfs"],
                vfs=None if vfs is None else tuple([Vf.from_dict(vf) for vf in vfs]),
                admin_up=plain["admin_up"],
                carrier=plain["carrier"],
                parent=plain["parent"],
            )


Pf = str | LinkStatus
"""A PF: its name, one of its alternative names, or a status of it."""

VfSetting = VfLinkState | Literal["auto", "enable", "disable"]
"""What a VF can be set to."""


class VfResult(NamedTuple):
    """What became of one VF's setting.

    Attributes:
        vf: The VF.
        link_state: What it was to be set to.
        error: None: the driver accepted. Some accept and do nothing: reading again tells.
    """

    vf: int
    link_state: VfLinkState
    error: Error | None


class Cause(Enum):
    """What made a monitor look."""

    START = "start"
    """The present, when the monitor began."""
    EVENT = "event"
    """The kernel told."""
    ASKED = "asked"
    """We asked, since the kernel does not tell of everything."""
    RESYNC = "resync"
    """Events were lost, so everything was asked for."""

    def __str__(self) -> str:
        return self.value


class Direction(IntEnum):
    """Where a datagram goes: ``enum pfs_tap_direction`` of pfstatus.h."""

    REQUEST = 0
    """To the kernel."""
    ANSWER = 1
    """From the kernel, to a request."""
    EVENT = 2
    """From the kernel, unasked."""

    def __str__(self) -> str:
        return self.name.lower()


class Change(NamedTuple):
    """A PF as it was and as it is.

    Attributes:
        old: None for the first one of a PF.
        new: What holds now.
        cause: What made the monitor look.
    """

    old: LinkStatus | None
    new: LinkStatus
    cause: Cause

    @property
    def name(self) -> str:
        """The PF, as it was named to the monitor."""
        return self.new.name

    def __str__(self) -> str:
        was = f"{self.old.lacp} -> " if self.old else ""
        return f"{self.name}: LACP {was}{self.new.lacp} [{self.cause}]"

    def __repr__(self) -> str:
        return f"<pfstatus.Change {self}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values; ``old`` is null for the first one of a PF."""
        return {
            "name": self.name,
            "cause": str(self.cause),
            "old": None if self.old is None else self.old.to_dict(),
            "new": self.new.to_dict(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict()`` made plain."""
        with _reading(cls):
            old = plain["old"]
            return cls(
                None if old is None else LinkStatus.from_dict(old),
                LinkStatus.from_dict(plain["new"]),
                _unword(Cause, plain["cause"]),
            )


@dataclass(frozen=True, slots=True)
class LacpduEnd:
    """One end of a link, as a LACPDU tells of it. Source: IEEE 802.1AX-2014 6.4.2.3."""

    system: str
    """MAC address of the system, such as ``00:1b:21:00:00:01``."""
    system_priority: int
    key: int
    """The operational key: ports that may be aggregated have the same."""
    port: int
    """Number of the port, by which its system tells it from its others."""
    port_priority: int
    state: PortState


@dataclass(frozen=True, slots=True)
class Lacpdu:
    """What two ports of a link tell each other. Source: IEEE 802.1AX-2014 6.4.2.3."""

    source: str
    """MAC address of the port that sent it."""
    version: int
    actor: LacpduEnd
    """The sender."""
    partner: LacpduEnd
    """Whom the sender takes the other end for."""
    collector_max_delay: int
    """Tens of microseconds."""
    mark: int = 0
    """The last four reserved octets: not 0 where pfstatus sent it, and not the kernel."""


class Say(IntEnum):
    """What a port may send, see ``pfs_port_send()``."""

    ASK = 0
    """Our kernel's last LACPDU with one bit of what it says of the partner flipped."""
    COPY = 1
    """The same without the change."""
    REPEAT = 2
    """Our kernel's last LACPDU as it was."""
