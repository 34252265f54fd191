"""What exists in the fake kernel, and how each tells of itself.

Sources: net/core/rtnetlink.c (rtnl_fill_ifinfo, rtnl_fill_vfinfo, do_setlink),
drivers/net/bonding/bond_netlink.c and bond_3ad.c; docs/kernel.md for what raises an event.
"""

from __future__ import annotations

import errno
import struct
import time
from typing import TYPE_CHECKING, Protocol

from pfstatus.recording.netlink import (
    IFLA_ALT_IFNAME,
    IFLA_BOND_AD_LACP_RATE,
    IFLA_BOND_MODE,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_NUM_VF,
    IFLA_OPERSTATE,
    IFLA_VF_INFO,
    IFLA_VF_LINK_STATE,
    IFLA_VFINFO_LIST,
    RTEXT_FILTER_VF,
    RTM_NEWLINK,
    ifinfomsg,
    nla,
    nlmsg,
    string,
)
from pfstatus.values import BondMode, LacpRate, OperState, PortState, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager


IFLA_ADDRESS, IFLA_MTU, IFLA_CARRIER = 1, 4, 33
IFLA_PROP_LIST, IFLA_PARENT_DEV_NAME = 52, 56
RTEXT_FILTER_SKIP_STATS = 0x8

IFLA_BOND_MIIMON, IFLA_BOND_MIN_LINKS, IFLA_BOND_AD_INFO = 3, 18, 23

IFLA_VF_MAC, IFLA_VF_VLAN, IFLA_VF_TX_RATE, IFLA_VF_SPOOFCHK = 1, 2, 3, 4
IFLA_VF_RATE, IFLA_VF_RSS_QUERY_EN, IFLA_VF_STATS, IFLA_VF_TRUST = 6, 7, 8, 9
IFLA_VF_VLAN_LIST, IFLA_VF_BROADCAST = 12, 13

NLA_F_NESTED = 0x8000
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_NO_CARRIER = (OperState.NOTPRESENT, OperState.DOWN, OperState.LOWERLAYERDOWN)
_U8, _U16, _U32 = struct.Struct("=B").pack, struct.Struct("=H").pack, struct.Struct("=I").pack
_2U32, _3U32 = struct.Struct("=2I").pack, struct.Struct("=3I").pack

_PORT = PortState.ACTIVITY | PortState.TIMEOUT | PortState.AGGREGATION
_PORT_SYNC = _PORT | PortState.SYNCHRONIZATION
_PORT_UP = _PORT_SYNC | PortState.COLLECTING | PortState.DISTRIBUTING


def _vf_info(vf: int, state: VfLinkState, *, stats: bool) -> bytes:
    """IFLA_VF_INFO as rtnl_fill_vfinfo() writes it: 196 bytes, 296 with statistics."""
    mac = bytes([2, 0, 0, 0, vf >> 8 & 0xFF, vf & 0xFF])
    attributes = [
        nla(IFLA_VF_MAC, _U32(vf), mac.ljust(32, b"\0")),
        nla(IFLA_VF_BROADCAST, b"\xff" * 6 + bytes(26)),
        nla(IFLA_VF_VLAN, _3U32(vf, 0, 0)),
        nla(IFLA_VF_RATE, _3U32(vf, 0, 0)),
        nla(IFLA_VF_TX_RATE, _2U32(vf, 0)),
        nla(IFLA_VF_SPOOFCHK, _2U32(vf, 1)),
        nla(IFLA_VF_LINK_STATE, _2U32(vf, state)),
        nla(IFLA_VF_RSS_QUERY_EN, _2U32(vf, 0)),
        nla(IFLA_VF_TRUST, _2U32(vf, 0)),
        nla(IFLA_VF_VLAN_LIST, nla(1, _3U32(vf, 0, 0), b"\x81\x00")),
    ]
    if stats:
        attributes.append(nla(IFLA_VF_STATS, *(nla(kind, bytes(8)) for kind in range(8))))
    return nla(IFLA_VF_INFO, *attributes)


class Kernel(Protocol):
    """What a link wants of the kernel that it is in."""

    @property
    def links(self) -> list[FakeLink]:
        """All that exist."""

    def change(self, link: FakeLink, *, announce: bool = True) -> AbstractContextManager[None]:
        """Change a link under the kernel's lock, then announce it."""


class FakeLink:
    """A link: PF, bond or bridge. Made by ``FakeKernel.add_...``."""

    kind = ""
    """``IFLA_INFO_KIND``; empty for a NIC."""

    def __init__(self, kernel: Kernel, ifindex: int, name: str, altnames: Iterable[str]) -> None:
        self.kernel = kernel
        self.ifindex = ifindex
        self.name = name
        self.altnames = tuple(altnames)
        self.up = True
        """IFF_UP: ``ip link set ... up``. The kernel announces no VF change of a PF without."""
        self.operstate = OperState.UP
        self.parent: str | None = None
        """The device it belongs to, by its PCI address."""
        self.master: FakeLink | None = None
        self.malformed = False
        """Have the kernel send messages of it that contradict themselves."""

    def message(
        self, mask: int = 0, *, kind: int = RTM_NEWLINK, flags: int = 0, seq: int = 0
    ) -> bytes:
        """The link as rtnl_fill_ifinfo() tells it.

        Args:
            mask: RTEXT_FILTER_*. Without RTEXT_FILTER_VF there is nothing of VFs.
            kind: RTM_NEWLINK or RTM_DELLINK.
            flags: NLM_F_*.
            seq: nlmsg_seq.
        """
        carrier = self.operstate not in _NO_CARRIER
        if self.malformed:
            return nlmsg(kind, b"", flags=flags, seq=seq)
        said = (_IFF_UP | (_IFF_LOWER_UP if carrier else 0)) if self.up else 0
        attributes = [
            nla(IFLA_IFNAME, string(self.name)),
            nla(IFLA_MTU, _U32(1500)),
            nla(IFLA_OPERSTATE, _U8(self.operstate)),
            nla(IFLA_MASTER, _U32(self.master.ifindex)) if self.master else b"",
            nla(IFLA_CARRIER, _U8(carrier)),
            nla(IFLA_ADDRESS, b"\x02\0\0\0" + struct.pack(">H", self.ifindex & 0xFFFF)),
            self._vf_attributes(mask),
            self._linkinfo(),
        ]
        if self.altnames:
            names = [nla(IFLA_ALT_IFNAME, string(name)) for name in self.altnames]
            attributes.append(nla(IFLA_PROP_LIST | NLA_F_NESTED, *names))
        if self.parent:
            attributes.append(nla(IFLA_PARENT_DEV_NAME, string(self.parent)))
        body = ifinfomsg(self.ifindex, flags=said) + b"".join(attributes)
        return nlmsg(kind, body, flags=flags, seq=seq)

    def _vf_attributes(self, mask: int) -> bytes:  # noqa: ARG002 - a PF minds it
        return b""

    def _linkinfo(self) -> bytes:
        info = []
        if self.kind:
            info += [nla(IFLA_INFO_KIND, string(self.kind)), nla(IFLA_INFO_DATA, self._data())]
        if self.master:
            info.append(nla(IFLA_INFO_SLAVE_KIND, string(self.master.kind)))
            info.append(nla(IFLA_INFO_SLAVE_DATA, self._slave_data()))
        return nla(IFLA_LINKINFO, *info) if info else b""

    def _data(self) -> bytes:
        return b""

    def _slave_data(self) -> bytes:
        return b""


class FakeBridge(FakeLink):
    """A master that is no bond."""

    kind = "bridge"


class FakeBond(FakeLink):
    """A bond."""

    kind = "bond"
    mode: BondMode | int = BondMode.IEEE_802_3AD
    lacp_rate = LacpRate.FAST
    aggregator_id: int | None = 1
    """The active aggregator; None for none, which leaves out IFLA_BOND_AD_INFO."""

    def _data(self) -> bytes:
        links = [link for link in self.kernel.links if link.master is self]
        ports = [
            link
            for link in links
            if isinstance(link, FakePf) and link.aggregator_id == self.aggregator_id
        ]
        data = [
            nla(IFLA_BOND_MODE, _U8(self.mode)),
            nla(IFLA_BOND_MIIMON, _U32(100)),
            nla(IFLA_BOND_MIN_LINKS, _U32(0)),
            nla(IFLA_BOND_AD_LACP_RATE, _U8(self.lacp_rate)),
        ]
        if self.mode == BondMode.IEEE_802_3AD and self.aggregator_id is not None:
            words = [self.aggregator_id, len(ports), 15, 32768]
            info = [nla(kind, _U16(word)) for kind, word in enumerate(words, 1)]
            info.append(nla(5, bytes.fromhex("02005e000001")))
            data.append(nla(IFLA_BOND_AD_INFO, *info))
        return b"".join(data)


class FakePf(FakeLink):
    """A PF: a NIC with VFs that can be a bond's port."""

    def __init__(
        self, kernel: Kernel, ifindex: int, name: str, altnames: Iterable[str], vfs: int
    ) -> None:
        super().__init__(kernel, ifindex, name, altnames)
        self.vfs: dict[int, VfLinkState] = dict.fromkeys(range(vfs), VfLinkState.AUTO)
        """Link state by VF, in the order of the list."""
        self.hidden: set[int] = set()
        """VFs that the driver could not read just now: the list leaves them out."""
        self.supported = True
        """False: the driver has no setter, EOPNOTSUPP."""
        self.vf_errors: dict[int, tuple[int, float]] = {}
        """(errno, how often) by VF: what the driver's setter answers; math.inf for always."""
        self.ignores: set[VfLinkState] = set()
        """States for which the driver answers 0 and does nothing."""
        self.delay = 0.0
        """Seconds that the driver needs to set a VF, under the kernel's lock."""
        self.read_delay = 0.0
        """Seconds that it needs to read one."""
        self.active = True
        """``IFLA_BOND_SLAVE_STATE``."""
        self.aggregator_id: int | None = 1
        """None leaves out the port's AD attributes; 0 is what a port has that has none yet."""
        self.actor = _PORT_UP
        self.partner = _PORT_UP

    # What a bond's port goes through. ``announce`` says whether an event tells of it; None is
    # what the kernel does.

    def lacp_set(self, actor: int, partner: int, *, announce: bool = False) -> None:
        """Any pair of port states."""
        with self.kernel.change(self, announce=announce):
            self.actor, self.partner = PortState(actor), PortState(partner)

    def lacp_up(self, *, announce: bool | None = None) -> None:
        """LACPDUs flow. Announced only if they had stopped for less than three seconds."""
        expired = bool(self.actor & PortState.EXPIRED)
        self.lacp_set(_PORT_UP, _PORT_UP, announce=expired if announce is None else announce)

    def lacp_expire(self, *, announce: bool = True) -> None:
        """LACPDUs have stopped."""
        partner = _PORT_UP & ~PortState.SYNCHRONIZATION
        self.lacp_set(_PORT_SYNC | PortState.EXPIRED, partner, announce=announce)

    def lacp_default(self, *, announce: bool = True) -> None:
        """They have stopped for three seconds more."""
        self.lacp_set(_PORT_SYNC | PortState.DEFAULTED, PortState.ACTIVITY, announce=announce)

    def set_carrier(self, up: bool) -> None:
        """Plug the cable, or pull it."""
        with self.kernel.change(self):
            self.operstate = OperState.UP if up else OperState.DOWN

    def set_vf(self, vf: int, state: VfLinkState) -> int:
        """What the driver does of one VF's setting. Returns 0 or an errno."""
        time.sleep(self.delay)
        code, times = self.vf_errors.get(vf, (0, 0))
        if not self.supported:
            return errno.EOPNOTSUPP
        if vf not in self.vfs:
            return errno.EINVAL
        if times > 0:
            self.vf_errors[vf] = (code, times - 1)
            return code
        if state not in self.ignores:
            self.vfs[vf] = state
        return 0

    def _vf_attributes(self, mask: int) -> bytes:
        if not mask & RTEXT_FILTER_VF:
            return b""
        time.sleep(self.read_delay * len(self.vfs))
        stats = not mask & RTEXT_FILTER_SKIP_STATS
        listed = [(vf, state) for vf, state in self.vfs.items() if vf not in self.hidden]
        return nla(IFLA_NUM_VF, _U32(len(self.vfs))) + nla(
            IFLA_VFINFO_LIST, *(_vf_info(vf, state, stats=stats) for vf, state in listed)
        )

    def _slave_data(self) -> bytes:
        if not isinstance(self.master, FakeBond):
            return b""
        data = nla(1, _U8(not self.active)) + nla(2, _U8(0)) + nla(3, _U32(0))
        if self.master.mode == BondMode.IEEE_802_3AD and self.aggregator_id is not None:
            # The partner's octet travels in 16 bits.
            data += nla(6, _U16(self.aggregator_id)) + nla(7, _U8(self.actor))
            data += nla(8, _U16(self.partner))
        return data
