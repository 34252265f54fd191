"""LACPDUs and the packet socket of one PF, as Python calls: the other half of the C core.

One ``Port`` is one ``struct pfs_port``: one thread at a time.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pfstatus._busy import Owner, call
from pfstatus._core import ffi, lib
from pfstatus.errors import error
from pfstatus.values import Lacpdu, LacpduEnd, PortState

if TYPE_CHECKING:
    from pfstatus.values import Say


def _to_end(end: Any) -> LacpduEnd:
    return LacpduEnd(
        system=ffi.buffer(end.system)[:].hex(":"),
        system_priority=end.system_priority,
        key=end.key,
        port=end.port,
        port_priority=end.port_priority,
        state=PortState(end.state),
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


class Port(Owner):
    """The LACPDUs of one PF, both ways, and asking. One thread at a time.

    What asking is, and when not to: ``pfs_port_send()`` in pfstatus.h. ``select`` and its kin take
    it as it is. A child of ``fork()`` finds it closed.

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

    __slots__ = ("_ns", "_pdu")

    def __init__(self, ifindex: int = 0, *, netns_fd: int = -1, fd: int | None = None) -> None:
        out = ffi.new("struct pfs_port **")
        if fd is None:
            ret = lib.pfs_port_open(out, ifindex, netns_fd)
        else:
            ret = lib.pfs_port_open_fd(out, fd)
        if ret < 0:
            raise error(-ret)
        super().__init__("port", out[0], lib.pfs_port_close)
        self._pdu = ffi.new("struct pfs_lacpdu *")
        self._ns = ffi.new("int64_t *")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Half-made objects have no port.
        if hasattr(self, "_c"):
            self.close()

    @call
    def fileno(self) -> int:
        """The socket: readable when a LACPDU waits."""
        fd: int = lib.pfs_port_fd(self._c)
        return fd

    @call
    def next(self) -> Passed | None:
        """The next LACPDU that passed, or None.

        Raises:
            MalformedError: one could not be read.
            Error: ENETDOWN, once, when the PF was set down; anything else.
        """
        while True:
            ret = lib.pfs_port_next(self._c, self._pdu, self._ns)
            if ret != -errno.ENOMSG:
                break
        if ret == -errno.EAGAIN:
            return None
        if ret < 0:
            raise error(-ret)
        return Passed(self._ns[0] / 1e9, ret == lib.PFS_PORT_SENT, _to_lacpdu(self._pdu))

    @call
    def send(self, what: Say) -> float | None:
        """Send the kernel's last LACPDU once more.

        Returns:
            When; None where it cannot be now, since a LACPDU waits to be read, or it would be one
            too many in a second.

        Raises:
            Error: ENODATA, there is none to send; ENODEV, the PF is gone; anything else.
        """
        ret = lib.pfs_port_send(self._c, what, self._ns)
        if ret in (-errno.EAGAIN, -errno.EBUSY):
            return None
        if ret < 0:
            raise error(-ret)
        return float(self._ns[0] / 1e9)

    @call
    def free_at(self) -> float:
        """When the limit lets the next one through; may be past."""
        return float(lib.pfs_port_free_ns(self._c) / 1e9)

    @call
    def forget(self) -> None:
        """Drop what the kernel sent and what was heard: the PF has changed its bond."""
        lib.pfs_port_forget(self._c)
