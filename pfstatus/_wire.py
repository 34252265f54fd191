"""The C core, as Python calls: values in, values out. Sole importer of ``_core``.

One ``Wire`` is one ``struct pfs`` and some scratch memory: one thread at a time.
"""

from __future__ import annotations

import errno
import os
import struct
import weakref
from array import array
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pfstatus._core import ffi, lib
from pfstatus.errors import EventsLostError, LinkNotFoundError, error
from pfstatus.values import (
    Bond,
    BondMode,
    Direction,
    Lacp,
    Lacpdu,
    LacpduEnd,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    OperState,
    PortState,
    Vf,
    VfLinkState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pfstatus.values import Say

    Tap = Callable[[Direction, bytes], object]

RTM_DELLINK = 17
_LINK_STATES = tuple(VfLinkState)
# By octet: looked up rather than made, on the path from an event to a setting.
_PORT_STATES: dict[int, PortState] = {}
_LOST = (-errno.ENOBUFS, -errno.EBADMSG, -errno.EMSGSIZE)
_OPER_STATES: dict[int, OperState] = {state.value: state for state in OperState}
_BOND_MODES: dict[int, BondMode] = {mode.value: mode for mode in BondMode}
_DOWN = (LacpReason.EXPIRED, LacpReason.DEFAULTED, LacpReason.NEGOTIATING)

WATCH_MAX: int = lib.PFS_WATCH_MAX
_DIRECTIONS = tuple(Direction)


@ffi.def_extern(name="_tap")  # type: ignore[untyped-decorator]
def _call_tap(tap: Any, direction: int, buf: Any, length: int) -> None:
    # The message was sent or taken off its socket: whoever looks on must not keep it from us.
    try:
        ffi.from_handle(tap)(_DIRECTIONS[direction], ffi.buffer(buf, length)[:] if length else b"")
    except Exception:
        import logging  # noqa: PLC0415 - one program in a thousand has need of it here

        logging.getLogger("pfstatus").exception("the tap failed")


def _text(chars: Any) -> str:
    # The kernel allows any byte in a name but '/', white space and NUL.
    text: str = ffi.string(chars).decode("utf-8", "surrogateescape")
    return text


def _lacp(reason: LacpReason) -> Lacp:
    if reason is LacpReason.UP:
        status = LacpStatus.UP
    else:
        status = LacpStatus.DOWN if reason in _DOWN else LacpStatus.UNKNOWN
    return Lacp(status, reason, _text(lib.pfs_lacp_sentence(reason)))


LACP: dict[int, Lacp] = {int(reason): _lacp(reason) for reason in LacpReason}


class _Vfs(dict[int, Vf | None]):
    """``struct pfs_vf``, read as one number, to its value: most reads meet the same few again.

    A link state that we have no word for is not known: as if the VF were left out.
    """

    def __missing__(self, key: int) -> Vf | None:
        vf, state = struct.unpack("=II", struct.pack("=Q", key))
        value = self[key] = Vf(vf, _LINK_STATES[state]) if state < len(_LINK_STATES) else None
        return value


_VFS = _Vfs()


def _port_state(octet: int) -> PortState:
    state = _PORT_STATES.get(octet)
    if state is None:
        state = _PORT_STATES[octet] = PortState(octet)
    return state


def absent(name: str) -> LinkStatus:
    """The status of a PF that does not exist."""
    return LinkStatus(name, LACP[lib.pfs_lacp_status(ffi.NULL, ffi.NULL)])


class Event(NamedTuple):
    """One RTM_NEWLINK or RTM_DELLINK; ``Wire.event_status()`` reads the rest of it."""

    gone: bool
    ifindex: int
    ifname: str
    master: int


class Closable(Protocol):
    """What has a close()."""

    def close(self) -> None:
        """Close it; may be called again."""


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_in_child(owner: Closable) -> None:
    """Have fork() close this in the child.

    The child shares sockets, epoll and timers with us: what it read would be lost to us, what it
    set would wake us. Closing its copies leaves ours as they are.
    """
    _open.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_open):
        owner.close()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Wire:
    """One ``struct pfs``."""

    __slots__ = (
        "__weakref__",
        "_bond",
        "_capacity",
        "_link",
        "_mode",
        "_pfs",
        "_pid",
        "_results",
        "_set",
        "_set_capacity",
        "_tap",
        "_vfs",
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
        self._pfs: Any = ffi.NULL
        options = ffi.new("struct pfs_options *")
        options.size = ffi.sizeof("struct pfs_options")
        options.flags = (0 if events else lib.PFS_OPEN_NO_EVENTS) | (
            0 if kernel_filter else lib.PFS_OPEN_NO_FILTER
        )
        options.netns_fd = netns_fd
        options.timeout_ms = max(1, round(timeout * 1000))
        options.event_buffer = event_buffer
        out = ffi.new("struct pfs **")
        ret = lib.pfs_open_fds(out, *fds, options) if fds else lib.pfs_open(out, options)
        if ret < 0:
            raise error(-ret)
        self._pfs = out[0]
        self._pid = os.getpid()
        close_in_child(self)
        self._tap = None if tap is None else ffi.new_handle(tap)  # which keeps it alive
        if tap is not None:
            lib.pfs_tap(self._pfs, lib._tap, self._tap)
        # Scratch memory for every call: the core allocates nothing, nor do we in C.
        self._link = ffi.new("struct pfs_link *", {"size": ffi.sizeof("struct pfs_link")})
        self._bond = ffi.new("struct pfs_bond *", {"size": ffi.sizeof("struct pfs_bond")})
        self._mode = ffi.new("struct pfs_bond *", {"known": lib.PFS_BOND_MODE})
        self._reserve_vfs(64)
        self._reserve_set(64)

    def _reserve_vfs(self, capacity: int) -> None:
        self._capacity = capacity
        self._vfs = ffi.new("struct pfs_vf[]", capacity)

    def _reserve_set(self, capacity: int) -> None:
        self._set_capacity = capacity
        self._set = ffi.new("struct pfs_vf[]", capacity)
        self._results = ffi.new("int32_t[]", capacity)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return bool(self._pfs == ffi.NULL)

    def close(self) -> None:
        """Close the sockets. May be called again."""
        pfs, self._pfs = self._pfs, ffi.NULL
        lib.pfs_close(pfs)

    def _context(self) -> Any:
        if self._pfs == ffi.NULL:
            msg = "the session is closed"
            if self._pid != os.getpid():
                msg += ": it is its process's own, and a child of fork() opens another"
            raise ValueError(msg)
        return self._pfs

    def _fail(self, ret: int, interface: str | None) -> None:
        raise error(-ret, interface, _text(lib.pfs_extack(self._pfs)))

    def status(self, name: str, *, vfs: bool, bond: Bond | None = None) -> LinkStatus:
        """Ask for a PF and, unless ``bond`` is its master as known, for its bond.

        Raises:
            LinkNotFoundError: there is none.
            Error: anything else.
        """
        context = self._context()
        encoded = os.fsencode(name)
        ret = lib.pfs_link_get(
            context, 0, encoded, self._link, self._vfs if vfs else ffi.NULL, self._capacity
        )
        while ret == 0 and vfs and self._link.vf_count > self._capacity:
            self._reserve_vfs(2 * self._link.vf_count)
            ret = lib.pfs_link_get(context, 0, encoded, self._link, self._vfs, self._capacity)
        if ret < 0:
            self._fail(ret, name)
        master = self._link.master_ifindex
        if bond is None or bond.ifindex != master:
            bond = self._bond_of(name, master)
        return self._status(name, bond, vfs=vfs)

    def _bond_of(self, name: str, master: int) -> Bond | None:
        if not master:
            return None
        ret = lib.pfs_bond_get(self._context(), master, self._bond)
        if ret in (-errno.EMEDIUMTYPE, -errno.ENODEV):
            return None  # no bond, or gone since: the next look will see
        if ret < 0:
            self._fail(ret, name)
        return _to_bond(self._bond)

    def _status(
        self, name: str, bond: Bond | None, *, vfs: bool, old: LinkStatus | None = None
    ) -> LinkStatus:
        """The scratch link as a value; ``old`` spares reading names that are known."""
        link = self._link
        known = link.known
        return LinkStatus(
            name,
            LACP[lib.pfs_lacp_status(link, self._mode_of(bond))],
            old.ifname if old else _text(link.name),
            link.ifindex,
            _OPER_STATES.get(link.operstate, link.operstate)
            if known & lib.PFS_LINK_OPERSTATE
            else None,
            link.master_ifindex or None,
            old.master_kind if old else _text(link.slave_kind) or None,
            bond,
            link.slave_state == 0 if known & lib.PFS_LINK_SLAVE_STATE else None,
            link.aggregator_id if known & lib.PFS_LINK_AGGREGATOR_ID else None,
            _port_state(link.actor_oper_port_state) if known & lib.PFS_LINK_ACTOR_STATE else None,
            _port_state(link.partner_oper_port_state)
            if known & lib.PFS_LINK_PARTNER_STATE
            else None,
            link.num_vf if vfs else None,
            self._vf_list(link.vf_count) if vfs else None,
        )

    def _vf_list(self, count: int) -> tuple[Vf, ...]:
        keys = memoryview(ffi.buffer(self._vfs, 8 * count)).cast("Q")
        return tuple(filter(None, map(_VFS.__getitem__, keys)))

    def ports(self) -> list[LinkStatus]:
        """Every link that is a port of a bond, without VFs."""
        context = self._context()
        capacity = 256
        while True:
            links = ffi.new("struct pfs_link[]", capacity)
            links[0].size = ffi.sizeof("struct pfs_link")
            count = lib.pfs_link_dump(context, links, capacity)
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

    def vf_set(self, ifindex: int, vfs: Sequence[tuple[int, VfLinkState]], chunk: int) -> list[int]:
        """Set link states. Returns 0 or an errno (positive) for each."""
        count = len(vfs)
        if count > self._set_capacity:
            self._reserve_set(2 * count)
        ffi.memmove(self._set, array("I", chain.from_iterable(vfs)), 8 * count)
        ret = lib.pfs_vf_set(self._context(), ifindex, self._set, count, chunk, self._results)
        if ret < 0:
            self._fail(ret, None)
        if ret == 0:
            return [0] * count
        return [-result for result in ffi.unpack(self._results, count)]

    def extack(self) -> str:
        """The kernel's words for the last request that failed."""
        return _text(lib.pfs_extack(self._context()))

    def set_permitted(self) -> bool:
        """Whether the kernel would let us set VFs; changes nothing."""
        ret = lib.pfs_vf_set_permitted(self._context())
        if ret < 0 and ret != -errno.EPERM:
            self._fail(ret, None)
        return bool(ret == 0)

    def fileno(self) -> int:
        """The event socket."""
        fd: int = lib.pfs_fd(self._context())
        if fd < 0:
            msg = "the session was opened without events"
            raise ValueError(msg)
        return fd

    def watch(self, ifindexes: Iterable[int], names: Iterable[str]) -> None:
        """Let only these links wake us."""
        indexes = list(ifindexes)
        # Kept until the call returns: cffi does not own what the array points to.
        strings = [ffi.new("char[]", os.fsencode(name)) for name in names]
        ret = lib.pfs_watch(
            self._context(),
            ffi.new("uint32_t[]", indexes),
            len(indexes),
            ffi.new("char *[]", strings),
            len(strings),
        )
        if ret < 0:
            self._fail(ret, None)

    def next_event(self) -> Event | None:
        """The next event, or None.

        Raises:
            EventsLostError: some are gone, or could not be read.
            Error: anything else.
        """
        link = self._link
        ret = lib.pfs_event_next(self._context(), link)
        if ret == -errno.EAGAIN:
            return None
        if ret in _LOST:
            raise EventsLostError(errno.ENOBUFS)
        if ret < 0:
            self._fail(ret, None)
        return Event(ret == RTM_DELLINK, link.ifindex, _text(link.name), link.master_ifindex)

    def event_status(self, old: LinkStatus) -> LinkStatus:
        """What the event that next_event() just returned says of a PF.

        Args:
            old: what was known of it; name, index and master are those of the event.
        """
        return self._status(old.name, old.bond, vfs=False, old=old)

    def vfs(self, status: LinkStatus) -> tuple[Lacp, int, tuple[Vf, ...]]:
        """Read a PF's VFs, and no more than must be known to act upon them.

        Returns:
            LACP at the same moment, how many VFs there are, and those that were listed.

        Raises:
            LinkNotFoundError: it is gone.
            Error: anything else.
        """
        context = self._context()
        link = self._link
        index = status.ifindex or 0
        while True:
            ret = lib.pfs_link_get(context, index, ffi.NULL, link, self._vfs, self._capacity)
            if ret < 0:
                self._fail(ret, status.name)
            if link.vf_count <= self._capacity:
                break
            self._reserve_vfs(2 * link.vf_count)
        lacp = LACP[lib.pfs_lacp_status(link, self._mode_of(status.bond))]
        return lacp, link.num_vf, self._vf_list(link.vf_count)

    def _mode_of(self, bond: Bond | None) -> Any:
        """As much of a bond as pfs_lacp_status() reads."""
        if bond is None or bond.mode is None:
            return ffi.NULL
        self._mode.mode = bond.mode
        return self._mode


def _to_bond(bond: Any) -> Bond:
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


def decode(message: bytes) -> tuple[LinkStatus, Bond | None, tuple[Vf, ...]] | None:
    """Read one link message, for tests and tools that have bytes and no kernel.

    Returns:
        The link, judged without its bond; the link as a bond, where it is one; its VFs. None
        where the message is well-formed but tells nothing of a link.

    Raises:
        MalformedError: it contradicts itself.
    """
    # Not Wire's scratch: no socket is open here, and cffi's memory is aligned to 8.
    buf = ffi.new("char[]", message)
    wire = Wire.__new__(Wire)
    wire._link = ffi.new("struct pfs_link *", {"size": ffi.sizeof("struct pfs_link")})
    wire._bond = ffi.new("struct pfs_bond *", {"size": ffi.sizeof("struct pfs_bond")})
    wire._reserve_vfs(len(message) // 16 + 1)
    ret = lib.pfs_link_decode(buf, len(message), wire._link, wire._bond, wire._vfs, wire._capacity)
    if ret == -errno.ENOMSG:
        return None
    if ret < 0:
        raise error(-ret)
    status = wire._status(_text(wire._link.name), None, vfs=True)
    bond = _to_bond(wire._bond) if ffi.string(wire._link.kind) == b"bond" else None
    return status, bond, status.vfs or ()


def encode_vf_set(ifindex: int, seq: int, vfs: Sequence[tuple[int, int]]) -> bytes:
    """Write one RTM_SETLINK, for tests and tools that have no kernel.

    Raises:
        Error: EMSGSIZE, more than 4,094 VFs.
    """
    size = 36 + 16 * len(vfs)
    buf = ffi.new("char[]", size)
    entries = ffi.new("struct pfs_vf[]", [tuple(map(int, pair)) for pair in vfs])
    ret = lib.pfs_vf_set_encode(buf, size, ifindex, seq, entries, len(vfs))
    if ret < 0:
        raise error(-ret)
    return bytes(ffi.buffer(buf, ret))


class Timer:
    """A descriptor that becomes readable at a time: timerfd_create(2)."""

    __slots__ = ("_spec", "fd")

    def __init__(self) -> None:
        self._spec = ffi.new("struct itimerspec *")
        self.fd: int = lib.timerfd_create(lib.CLOCK_MONOTONIC, lib.TFD_CLOEXEC | lib.TFD_NONBLOCK)
        if self.fd < 0:
            raise error(ffi.errno)

    def set(self, seconds: float) -> None:
        """Become readable in so many seconds; until then be not."""
        nanoseconds = max(1, int(seconds * 1e9))
        self._spec.it_value.tv_sec, self._spec.it_value.tv_nsec = divmod(nanoseconds, 10**9)
        lib.timerfd_settime(self.fd, 0, self._spec, ffi.NULL)


# ---- LACPDUs -----------------------------------------------------------------------------------


def _to_end(end: Any) -> LacpduEnd:
    return LacpduEnd(
        system=ffi.buffer(end.system)[:].hex(":"),
        system_priority=end.system_priority,
        key=end.key,
        port=end.port,
        port_priority=end.port_priority,
        state=_port_state(end.state),
    )


def _to_lacpdu(pdu: Any) -> Lacpdu:
    return Lacpdu(
        source=ffi.buffer(pdu.source)[:].hex(":"),
        version=pdu.version,
        actor=_to_end(pdu.actor),
        partner=_to_end(pdu.partner),
        collector_max_delay=pdu.collector_max_delay,
        mark=pdu.mark,
    )


def _from_end(end: LacpduEnd) -> dict[str, Any]:
    return {
        "system": list(bytes.fromhex(end.system.replace(":", ""))),
        "system_priority": end.system_priority,
        "key": end.key,
        "port": end.port,
        "port_priority": end.port_priority,
        "state": int(end.state),
    }


def decode_lacpdu(frame: bytes) -> Lacpdu | None:
    """Read one frame, from its Ethernet header on.

    Returns:
        None where it is no LACPDU.

    Raises:
        MalformedError: it is one, but too short, or its ends are not where they belong.
    """
    pdu = ffi.new("struct pfs_lacpdu *")
    ret = lib.pfs_lacpdu_decode(frame, len(frame), pdu)
    if ret == -errno.ENOMSG:
        return None
    if ret < 0:
        raise error(-ret)
    return _to_lacpdu(pdu)


def encode_lacpdu(lacpdu: Lacpdu) -> bytes:
    """Write one frame, Ethernet header and all, to the multicast address of slow protocols."""
    buf = ffi.new("char[]", lib.PFS_LACPDU_BYTES)
    pdu = ffi.new(
        "struct pfs_lacpdu *",
        {
            "source": list(bytes.fromhex(lacpdu.source.replace(":", ""))),
            "version": lacpdu.version,
            "actor": _from_end(lacpdu.actor),
            "partner": _from_end(lacpdu.partner),
            "collector_max_delay": lacpdu.collector_max_delay,
            "mark": lacpdu.mark,
        },
    )
    return bytes(ffi.buffer(buf, lib.pfs_lacpdu_encode(buf, len(buf), pdu)))


class Passed(NamedTuple):
    """A LACPDU that passed a port."""

    at: float
    """When, by ``time.monotonic()``: the kernel's stamp, however late it is read."""
    sent: bool
    """By our end. Marked: by another program; else by the kernel."""
    lacpdu: Lacpdu


class Port:
    """One ``struct pfs_port``: the LACPDUs of one PF, and asking. One thread at a time.

    Args:
        ifindex: the PF's.
        netns_fd: of a network namespace; -1: our own.
        fd: instead of both, a descriptor as ``pfs_port_open_fd()`` takes it, which becomes the
            port's.

    Raises:
        NotPermittedError: CAP_NET_RAW is missing.
        LinkNotFoundError: there is no such interface.
        Error: anything else.
    """

    __slots__ = ("__weakref__", "_ns", "_pdu", "_port")

    def __init__(self, ifindex: int = 0, *, netns_fd: int = -1, fd: int | None = None) -> None:
        self._port: Any = ffi.NULL
        out = ffi.new("struct pfs_port **")
        if fd is None:
            ret = lib.pfs_port_open(out, ifindex, netns_fd)
        else:
            ret = lib.pfs_port_open_fd(out, fd)
        if ret < 0:
            raise error(-ret)
        self._port = out[0]
        self._pdu = ffi.new("struct pfs_lacpdu *")
        self._ns = ffi.new("int64_t *")
        close_in_child(self)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return bool(self._port == ffi.NULL)

    def close(self) -> None:
        """Close the socket. May be called again."""
        port, self._port = self._port, ffi.NULL
        lib.pfs_port_close(port)

    def __del__(self) -> None:
        # Half-made objects have no port.
        if hasattr(self, "_port"):
            self.close()

    def _context(self) -> Any:
        if self._port == ffi.NULL:
            msg = "the port is closed"
            raise ValueError(msg)
        return self._port

    def fileno(self) -> int:
        """The socket: readable when a LACPDU waits."""
        fd: int = lib.pfs_port_fd(self._context())
        return fd

    def next(self) -> Passed | None:
        """The next LACPDU that passed, or None.

        Raises:
            MalformedError: one could not be read.
            Error: ENETDOWN, once, when the PF was set down; anything else.
        """
        port = self._context()
        while True:
            ret = lib.pfs_port_next(port, self._pdu, self._ns)
            if ret != -errno.ENOMSG:
                break
        if ret == -errno.EAGAIN:
            return None
        if ret < 0:
            raise error(-ret)
        return Passed(self._ns[0] / 1e9, ret == lib.PFS_PORT_SENT, _to_lacpdu(self._pdu))

    def send(self, what: Say) -> float | None:
        """Send the kernel's last LACPDU once more.

        Returns:
            When; None where it cannot be now, since a LACPDU waits to be read, or it would be one
            too many in a second.

        Raises:
            Error: ENODATA, there is none to send; ENODEV, the PF is gone; anything else.
        """
        ret = lib.pfs_port_send(self._context(), what, self._ns)
        if ret in (-errno.EAGAIN, -errno.EBUSY):
            return None
        if ret < 0:
            raise error(-ret)
        return float(self._ns[0] / 1e9)

    def free_at(self) -> float:
        """When the limit lets the next one through; may be past."""
        return float(lib.pfs_port_free_ns(self._context()) / 1e9)

    def forget(self) -> None:
        """Drop what the kernel sent and what was heard: the PF has changed its bond."""
        lib.pfs_port_forget(self._context())
