"""The C core, as Python calls: values in, values out.

One ``Wire`` is one ``struct pfs`` and some scratch memory: one thread at a time.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
import time
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from pfstatus._busy import Owner, call
from pfstatus._core import ffi, lib
from pfstatus.errors import EventsLostError, LinkNotFoundError, driver_error, error
from pfstatus.values import (
    Bond,
    BondMode,
    Direction,
    Lacp,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    OperState,
    PortState,
    Switched,
    Vf,
    VfLinkState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pfstatus.errors import Error

    Tap = Callable[[Direction, bytes], object]

RTM_DELLINK = 17
WATCH_MAX: int = lib.PFS_WATCH_MAX
_OPERSTATE: int = lib.PFS_LINK_OPERSTATE
_SLAVE_STATE: int = lib.PFS_LINK_SLAVE_STATE
_AGGREGATOR_ID: int = lib.PFS_LINK_AGGREGATOR_ID
_ACTOR_STATE: int = lib.PFS_LINK_ACTOR_STATE
_PARTNER_STATE: int = lib.PFS_LINK_PARTNER_STATE
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_LOST = (-errno.ENOBUFS, -errno.EBADMSG, -errno.EMSGSIZE)
_KEPT = 1024  # values that are kept because they come again, of each kind
_LINK_STATES = tuple(VfLinkState)
# By number: looked up rather than made, on the path from an event to a setting.
_OPER_STATES: dict[int, OperState] = {state.value: state for state in OperState}
_BOND_MODES: dict[int, BondMode] = {mode.value: mode for mode in BondMode}
_DIRECTIONS = tuple(Direction)
_VERDICTS = {
    lib.PFS_UP: LacpStatus.UP,
    lib.PFS_DOWN: LacpStatus.DOWN,
    lib.PFS_UNKNOWN: LacpStatus.UNKNOWN,
}
# struct pfs_link and what it holds, read at once: an attribute of C data costs as much as all.
_LINK = struct.Struct("=7IH4B16s16s16s32s")
_VF = struct.Struct("=II")


class _Watcher:
    """A tap, and what it raised that is not for us to keep."""

    __slots__ = ("raised", "tap")

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.raised: BaseException | None = None


@ffi.def_extern(name="_tap")  # type: ignore[untyped-decorator]
def _call_tap(watcher: Any, direction: int, buf: Any, length: int) -> None:
    # The message was sent or taken off its socket: whoever looks on must not keep it from us.
    watcher = ffi.from_handle(watcher)
    try:
        watcher.tap(_DIRECTIONS[direction], ffi.buffer(buf, length)[:] if length else b"")
    except Exception:
        import logging  # noqa: PLC0415 - one program in a thousand has need of it here

        logging.getLogger("pfstatus").exception("the tap failed")
    except BaseException as exc:  # Ctrl-C: raised when the call is over
        watcher.raised = exc


@functools.lru_cache(_KEPT)
def _name(chars: bytes) -> str:
    # The kernel allows any byte in a name but '/', white space and NUL.
    return chars.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _text(chars: Any) -> str:
    text: str = ffi.string(chars).decode("utf-8", "surrogateescape")
    return text


_encode = functools.lru_cache(_KEPT)(os.fsencode)
_port_state = functools.lru_cache(256)(PortState)

LACP: dict[int, Lacp] = {
    int(reason): Lacp(
        _VERDICTS[lib.pfs_lacp_verdict(reason)], reason, _text(lib.pfs_lacp_sentence(reason))
    )
    for reason in LacpReason
}


class _Vfs(dict[int, Vf | None]):
    """``struct pfs_vf`` to its value: most reads meet the same few again.

    A link state that we have no word for is not known: as if the VF were left out.
    """

    def __missing__(self, key: int) -> Vf | None:
        vf, state = _VF.unpack(struct.pack("=Q", key))
        value = Vf(vf, _LINK_STATES[state]) if state < len(_LINK_STATES) else None
        if vf < _KEPT and value:
            self[key] = value
        return value


_VFS = _Vfs()


def absent(name: str) -> LinkStatus:
    """The status of a PF that does not exist."""
    return LinkStatus(name, LACP[lib.PFS_LACP_ABSENT])


class Event(NamedTuple):
    """One RTM_NEWLINK or RTM_DELLINK; ``Wire.event_status()`` reads the rest of it."""

    gone: bool
    ifindex: int
    ifname: str
    master: int
    said: bytes
    """``struct pfs_link``."""


@functools.lru_cache(_KEPT)
def _event(kind: int, said: bytes) -> Event:
    """What an event said: a PF's are often what they were."""
    _, _, ifindex, _, master, *_, ifname, _, _, _ = _LINK.unpack_from(said)
    return Event(kind == RTM_DELLINK, ifindex, _name(ifname), master, said)


class _Scratch:
    """A C struct that is filled again and again: the core allocates nothing, nor do we in C."""

    __slots__ = ("bytes", "c")

    def __init__(self, kind: str) -> None:
        self.c = ffi.new(f"struct {kind} *", {"size": ffi.sizeof(f"struct {kind}")})
        self.bytes = ffi.buffer(self.c)


@functools.lru_cache(_KEPT)
def _bond(said: bytes) -> Bond | None:
    """``struct pfs_bond`` as a value; None where it is empty."""
    bond = ffi.from_buffer("struct pfs_bond *", said)
    if not bond.ifindex:
        return None
    known = bond.known
    info = known & lib.PFS_BOND_AD_INFO
    return Bond(
        ifindex=bond.ifindex,
        name=_text(bond.name),
        mode=_BOND_MODES.get(bond.mode, bond.mode) if known & lib.PFS_BOND_MODE else None,
        lacp_rate=LacpRate(bool(bond.ad_lacp_rate)) if known & lib.PFS_BOND_AD_LACP_RATE else None,
        miimon=bond.miimon if known & lib.PFS_BOND_MIIMON else None,
        min_links=bond.min_links if known & lib.PFS_BOND_MIN_LINKS else None,
        aggregator_id=bond.ad_aggregator if info else None,
        num_ports=bond.ad_num_ports if info else None,
        actor_key=bond.ad_actor_key if info else None,
        partner_key=bond.ad_partner_key if info else None,
        partner_mac=ffi.buffer(bond.ad_partner_mac)[:].hex(":") if info else None,
    )


@functools.lru_cache(64)
def _vf_list(said: bytes) -> tuple[Vf, ...]:
    """An array of ``struct pfs_vf`` as values: a PF's list is often what it was."""
    return tuple(filter(None, map(_VFS.__getitem__, memoryview(said).cast("Q"))))


def _status(
    name: str, said: Any, lacp: int, bond: Bond | None, vfs: tuple[Vf, ...] | None
) -> LinkStatus:
    """``struct pfs_link`` as a value."""
    # fmt: off
    (_, known, ifindex, flags, master, num_vf, _,
     aggregator_id, actor, partner, operstate, slave_state,
     ifname, _, slave_kind, parent) = _LINK.unpack_from(said)
    # fmt: on
    return LinkStatus(
        name,
        LACP[lacp],
        _name(ifname),
        ifindex,
        _OPER_STATES.get(operstate, operstate) if known & _OPERSTATE else None,
        master or None,
        _name(slave_kind) or None,
        bond,
        slave_state == 0 if known & _SLAVE_STATE else None,
        aggregator_id if known & _AGGREGATOR_ID else None,
        _port_state(actor) if known & _ACTOR_STATE else None,
        _port_state(partner) if known & _PARTNER_STATE else None,
        None if vfs is None else num_vf,
        vfs,
        bool(flags & _IFF_UP),
        bool(flags & _IFF_LOWER_UP),
        _name(parent) or None,
    )


class Wire(Owner):
    """One ``struct pfs``."""

    __slots__ = (
        "_bond",
        "_capacity",
        "_event",
        "_link",
        "_mode",
        "_results",
        "_seen",
        "_set",
        "_set_capacity",
        "_tap",
        "_told",
        "_vfs",
        "_watcher",
    )

    def __init__(
        self,
        *,
        netns_fd: int = -1,
        fds: tuple[int, int] | None = None,
        events: bool = True,
        kernel_filter: bool = True,
        timeout: float = 5.0,
        event_buffer: int = 0,
        tap: Tap | None = None,
    ) -> None:
        options = ffi.new("struct pfs_options *")
        options.size = ffi.sizeof("struct pfs_options")
        options.flags = (
            (0 if events else lib.PFS_OPEN_NO_EVENTS)
            | (0 if kernel_filter else lib.PFS_OPEN_NO_FILTER)
            | (0 if netns_fd < 0 else lib.PFS_OPEN_NETNS)
        )
        options.netns_fd = netns_fd
        options.timeout_ms = max(1, round(timeout * 1000))
        options.event_buffer = event_buffer
        out = ffi.new("struct pfs **")
        ret = lib.pfs_open_fds(out, *fds, options) if fds else lib.pfs_open(out, options)
        if ret < 0:
            raise error(-ret)
        super().__init__("session", out[0], lib.pfs_close)
        self._watcher = None if tap is None else _Watcher(tap)
        if self._watcher:
            self._tap = ffi.new_handle(self._watcher)  # which keeps it alive
            lib.pfs_tap(self._c, lib._tap, self._tap)
            self._unsettled = True  # what it raises is raised at the end of a call
        self._link = _Scratch("pfs_link")
        self._bond = _Scratch("pfs_bond")
        self._event = _Scratch("pfs_link")
        self._mode = _Scratch("pfs_bond").c
        self._mode.known = lib.PFS_BOND_MODE
        # What was said of each name, without and with VFs: most questions have the same answer.
        self._seen: tuple[dict[str, tuple[bytes, LinkStatus]], ...] = ({}, {})
        self._told: dict[tuple[str, bytes], LinkStatus] = {}  # the same of events
        self._reserve_vfs(64)
        self._reserve_set(64)

    def _reserve_vfs(self, capacity: int) -> None:
        self._capacity = capacity
        self._vfs = ffi.new("struct pfs_vf[]", capacity)

    def _reserve_set(self, capacity: int) -> None:
        self._set_capacity = capacity
        self._set = ffi.new("struct pfs_vf[]", capacity)
        self._results = ffi.new("struct pfs_vf_result[]", capacity)

    def _settle(self) -> None:
        super()._settle()
        if self._watcher and self._watcher.raised and not self._busy:
            raised, self._watcher.raised = self._watcher.raised, None
            raise raised

    def _fail(self, ret: int, interface: str | None) -> NoReturn:
        raise error(-ret, interface, _text(lib.pfs_extack(self._c)))

    def _ask(self, index: int, name: bytes, bond: Bond | None, *, vfs: bool) -> int:
        """Fill the scratch. Returns enum pfs_lacp or a negative errno."""
        link = self._link.c
        while True:
            array = self._vfs if vfs else ffi.NULL
            if bond is None:
                ret = lib.pfs_pf_get(
                    self._c, index, name, link, self._bond.c, array, self._capacity
                )
            else:
                ret = lib.pfs_link_get(self._c, index, name, link, array, self._capacity)
                if ret == 0 and link.master_ifindex != bond.ifindex:
                    bond = None
                    continue
            if ret < 0:
                return ret
            if vfs and link.vf_count > self._capacity:
                self._reserve_vfs(2 * link.vf_count)
                continue
            return ret if bond is None else lib.pfs_lacp_status(link, self._mode_of(bond))

    @call
    def status(self, name: str, *, vfs: bool, bond: Bond | None = None) -> LinkStatus:
        """Ask for a PF and, unless ``bond`` is its master as known, for its bond.

        Raises:
            LinkNotFoundError: there is none.
            Error: anything else.
        """
        lacp = self._ask(0, _encode(name), bond, vfs=vfs)
        if lacp == lib.PFS_LACP_ABSENT:
            lacp = -errno.ENODEV
        if lacp < 0:
            self._fail(lacp, name)
        link = self._link
        if bond is None or link.c.master_ifindex != bond.ifindex:
            bond = _bond(self._bond.bytes[:])
        vf_bytes = ffi.buffer(self._vfs, 8 * link.c.vf_count)[:] if vfs else b""
        said = link.bytes[:] + vf_bytes
        seen = self._seen[vfs]
        before = seen.get(name)
        if before is not None and before[0] == said and before[1].bond is bond:
            return before[1]
        status = _status(name, said, lacp, bond, _vf_list(vf_bytes) if vfs else None)
        if len(seen) >= _KEPT:
            seen.clear()
        seen[name] = said, status
        return status

    @call
    def ports(self) -> list[LinkStatus]:
        """Every link that is a port of a bond, without VFs."""
        capacity = 256
        while True:
            links = ffi.new("struct pfs_link[]", capacity)
            links[0].size = ffi.sizeof("struct pfs_link")
            count = lib.pfs_link_dump(self._c, links, capacity)
            if count == -errno.EAGAIN:
                cause = "the interfaces kept changing while they were listed: ask again"
                raise error(errno.EAGAIN, cause=cause)
            if count < 0:
                self._fail(count, None)
            if count <= capacity:
                break
            capacity = 2 * count
        names = [
            _text(links[i].name) for i in range(count) if ffi.string(links[i].slave_kind) == b"bond"
        ]
        ports = []
        for name in names:
            with suppress(LinkNotFoundError):  # it went since
                ports.append(self.status(name, vfs=False))
        return [port for port in ports if port.master_kind == "bond"]

    @call
    def vf_set(
        self, status: LinkStatus, vfs: Sequence[int], states: Sequence[VfLinkState], chunk: int
    ) -> list[Error | None]:
        """Set link states. Returns what failed for each, or nothing where nothing did."""
        count = len(vfs)
        if count > self._set_capacity:
            self._reserve_set(2 * count)
        pairs = array("I", bytes(8 * count))
        pairs[0::2] = array("I", vfs)
        pairs[1::2] = array("I", states)
        ffi.memmove(self._set, pairs, 8 * count)
        failed = lib.pfs_vf_set(
            self._c, status.ifindex or 0, self._set, count, chunk, self._results
        )
        if failed < 0:
            self._fail(failed, status.name)
        return self._failures(status.name, count) if failed else []

    def _failures(self, name: str, count: int) -> list[Error | None]:
        errors: list[Error | None] = []
        for result in self._results[0:count]:
            make = driver_error if result.scope == lib.PFS_SCOPE_VF else error
            errors.append(make(-result.error, name, _text(result.extack)) if result.error else None)
        return errors

    @call
    def set_permitted(self) -> bool:
        """Whether the kernel would let us set VFs; changes nothing."""
        ret = lib.pfs_vf_set_permitted(self._c)
        if ret < 0 and ret != -errno.EPERM:
            self._fail(ret, None)
        return bool(ret == 0)

    @call
    def fileno(self) -> int:
        """The event socket."""
        fd: int = lib.pfs_fd(self._c)
        if fd < 0:
            msg = "the session was opened without events"
            raise ValueError(msg)
        return fd

    @call
    def watch(self, ifindexes: Iterable[int], names: Iterable[str]) -> None:
        """Let only these links wake us."""
        indexes = list(ifindexes)
        # Kept until the call returns: cffi does not own what the array points to.
        strings = [ffi.new("char[]", os.fsencode(name)) for name in names]
        ret = lib.pfs_watch(
            self._c,
            ffi.new("uint32_t[]", indexes),
            len(indexes),
            ffi.new("char *[]", strings),
            len(strings),
        )
        if ret < 0:
            self._fail(ret, None)

    # What call() does for the others, these two do themselves: an outage goes through them.

    def next_event(self) -> Event | None:
        """The next event, or None.

        Raises:
            EventsLostError: some are gone, or could not be read.
            Error: anything else.
        """
        self._busy += 1
        try:
            if self._c is None or self._closing:
                self._refuse()
            ret: int = lib.pfs_event_next(self._c, self._event.c)
            if ret > 0:
                return _event(ret, self._event.bytes[:])
            if ret in _LOST:
                raise EventsLostError(errno.ENOBUFS)
            if ret != -errno.EAGAIN:
                self._fail(ret, None)
            return None
        finally:
            self._busy -= 1
            if self._unsettled:
                self._settle()

    def switch(
        self,
        status: LinkStatus,
        when: LacpStatus,
        was: VfLinkState,
        to: VfLinkState,
        *,
        first: int,
        quick: float,
    ) -> Switched:
        """Read a PF's VFs and, where LACP is as said, set those in one state to another.

        Raises:
            LinkNotFoundError: it is gone.
            Error: they could not be read; nothing was set.
        """
        self._busy += 1
        try:
            if self._c is None or self._closing:
                self._refuse()
            lacp, num_vf, listed = self._read_vfs(status)
            read_at = time.monotonic()
            todo = count = failed = 0
            if lacp.status is when:
                if listed > self._set_capacity:
                    self._reserve_set(2 * listed)
                todo = lib.pfs_vf_choose(self._vfs, listed, was, to, self._set, listed)
                count = min(first, todo)
            if count:
                index = status.ifindex or 0
                failed = lib.pfs_vf_set(self._c, index, self._set, count, 0, self._results)
                rest = todo - count
                if rest and not failed and time.monotonic() - read_at < quick * count:
                    chosen, results = self._set + count, self._results + count
                    failed = lib.pfs_vf_set(self._c, index, chosen, rest, 0, results)
                    count = todo
            vfs = _vf_list(ffi.buffer(self._vfs, 8 * listed)[:])
            changed = memoryview(ffi.buffer(self._set, 8 * count)).cast("I")[::2].tolist()
            errors = self._failures(status.name, count) if failed else []
            return Switched(lacp, num_vf, vfs, changed, errors, read_at)
        finally:
            self._busy -= 1
            if self._unsettled:
                self._settle()

    def event_status(self, event: Event, old: LinkStatus) -> LinkStatus:
        """What the event that next_event() just returned says of a PF.

        Args:
            event: it.
            old: what was known of the PF; name, index and master are those of the event.
        """
        key = old.name, event.said
        status = self._told.get(key)
        if status is not None and status.bond is old.bond:
            return status
        lacp = lib.pfs_lacp_status(self._event.c, self._mode_of(old.bond))
        if len(self._told) >= _KEPT:
            self._told.clear()
        status = self._told[key] = _status(old.name, event.said, lacp, old.bond, None)
        return status

    @call
    def vfs(self, status: LinkStatus) -> tuple[Lacp, int, tuple[Vf, ...]]:
        """Read a PF's VFs, and no more than must be known to act upon them.

        Returns:
            LACP at the same moment, how many VFs there are, and those that were listed.

        Raises:
            LinkNotFoundError: it is gone.
            Error: anything else.
        """
        lacp, num_vf, listed = self._read_vfs(status)
        return lacp, num_vf, _vf_list(ffi.buffer(self._vfs, 8 * listed)[:])

    def _read_vfs(self, status: LinkStatus) -> tuple[Lacp, int, int]:
        """Fill the array. Returns LACP, how many VFs there are, and how many were listed."""
        link = self._link.c
        ifindex = status.ifindex or 0
        while True:
            ret = lib.pfs_link_get(self._c, ifindex, ffi.NULL, link, self._vfs, self._capacity)
            if ret < 0:
                self._fail(ret, status.name)
            listed: int = link.vf_count
            if listed <= self._capacity:
                lacp = lib.pfs_lacp_status(link, self._mode_of(status.bond))
                return LACP[lacp], link.num_vf, listed
            self._reserve_vfs(2 * listed)

    def _mode_of(self, bond: Bond | None) -> Any:
        """As much of a bond as pfs_lacp_status() reads."""
        if bond is None or bond.mode is None:
            return ffi.NULL
        self._mode.mode = bond.mode
        return self._mode


def decode(message: bytes) -> tuple[LinkStatus, Bond | None, tuple[Vf, ...]] | None:
    """Read one link message, for tests and tools that have bytes and no kernel.

    Returns:
        The link, judged without its bond; the link as a bond, where it is one; its VFs. None
        where the message is well-formed but tells nothing of a link.

    Raises:
        MalformedError: it contradicts itself.
    """
    buf = ffi.new("char[]", message)  # cffi's memory is aligned to 8
    link, bond = _Scratch("pfs_link"), _Scratch("pfs_bond")
    capacity = len(message) // 16 + 1
    array = ffi.new("struct pfs_vf[]", capacity)
    ret = lib.pfs_link_decode(buf, len(message), link.c, bond.c, array, capacity)
    if ret == -errno.ENOMSG:
        return None
    if ret < 0:
        raise error(-ret)
    vfs = _vf_list(ffi.buffer(array, 8 * link.c.vf_count)[:])
    lacp = lib.pfs_lacp_status(link.c, ffi.NULL)
    is_bond = ffi.string(link.c.kind) == b"bond"
    return (
        _status(_text(link.c.name), link.bytes, lacp, None, vfs),
        _bond(bond.bytes[:]) if is_bond else None,
        vfs,
    )
