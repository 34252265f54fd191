"""Recordings of netlink messages: pcapng files that Wireshark opens, written and read.

One packet is one datagram, after the 16 bytes of LINKTYPE_NETLINK. The two sockets of a session
are two interfaces, and each packet says whether it went out or came in, so that a recording holds
all that a tap was shown (``Session(tap=...)``). Where events were lost, which the kernel says by no
message, an NLMSG_OVERRUN stands for that, with a comment.

Sources: draft-ietf-opsawg-pcapng; https://www.tcpdump.org/linktypes/LINKTYPE_NETLINK.html;
uapi/linux/if_packet.h and if_arp.h, as nlmon(4) devices use them.
"""

from __future__ import annotations

import platform
import struct
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pfstatus.recording.netlink import NLMSG_OVERRUN, messages, nlmsg
from pfstatus.values import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_LINKTYPE_NETLINK = 253
_ARPHRD_NETLINK = 824
_PACKET_USER, _PACKET_KERNEL = 6, 7
_OPT_COMMENT, _SHB_OS, _SHB_USERAPPL = 1, 3, 4
_IF_NAME, _IF_TSRESOL, _EPB_FLAGS = 2, 9, 2
_INBOUND, _OUTBOUND = 1, 2
_NANOSECONDS = 9
_COOKED = struct.Struct(">HH10xH")
_SOCKETS = ("pfstatus-requests", "pfstatus-events")
_LOST = "events were lost here"
_BLOCK_MAX = 1 << 26
"""Bytes of the largest block that is believed; a datagram has 256 KiB at most."""


class Packet(NamedTuple):
    """One datagram of a recording."""

    time_ns: int
    """When, nanoseconds since the epoch."""
    direction: Direction
    """Where to."""
    data: bytes
    """Its messages; none where events were lost."""


def _options(*options: tuple[int, bytes]) -> bytes:
    written = [
        struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)
        for code, value in (*options, (0, b""))
    ]
    return b"".join(written)


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("=II", kind, length) + body + struct.pack("=I", length)


class Writer:
    """Writes a recording; ``write`` fits ``Session(tap=...)``.

    Each packet is handed to the file as it comes: give it one that is not buffered, and what
    kills the process costs no packet.

    Args:
        file: open for writing bytes. It stays the caller's.
        comment: words for whoever opens the file.

    Raises:
        OSError: the file could not be written. So does ``write()``.
    """

    def __init__(self, file: BinaryIO, comment: str = "") -> None:
        self._file = file
        self.packets = 0
        """How many were written."""
        system = f"{platform.system()} {platform.release()} {platform.machine()}"
        about = [(_SHB_OS, system.encode()), (_SHB_USERAPPL, b"pfstatus")]
        if comment:
            about.insert(0, (_OPT_COMMENT, comment.encode("utf-8", "replace")))
        head = struct.pack("=IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1)
        blocks = [_block(_SECTION, head + _options(*about))]
        for name in _SOCKETS:
            resolution = (_IF_TSRESOL, bytes([_NANOSECONDS]))
            options = _options((_IF_NAME, name.encode()), resolution)
            blocks.append(
                _block(_INTERFACE, struct.pack("=HHI", _LINKTYPE_NETLINK, 0, 0) + options)
            )
        self._put(b"".join(blocks))

    def write(self, direction: Direction, data: bytes) -> None:
        """Add a datagram, with the present time."""
        self.add(Packet(time.time_ns(), direction, data))

    def add(self, packet: Packet) -> None:
        """Add a packet."""
        out = packet.direction is Direction.REQUEST
        kind = _PACKET_KERNEL if out else _PACKET_USER
        data = _COOKED.pack(kind, _ARPHRD_NETLINK, 0) + (packet.data or nlmsg(NLMSG_OVERRUN, b""))
        high, low = packet.time_ns >> 32, packet.time_ns & 0xFFFFFFFF
        socket = int(packet.direction is Direction.EVENT)
        head = struct.pack("=IIIII", socket, high, low, len(data), len(data))
        options = [(_EPB_FLAGS, struct.pack("=I", _OUTBOUND if out else _INBOUND))]
        if not packet.data:
            options.append((_OPT_COMMENT, _LOST.encode()))
        padding = bytes(-len(data) % 4)
        self._put(_block(_PACKET, head + data + padding + _options(*options)))
        self.packets += 1

    def _put(self, block: bytes) -> None:
        while block:  # an unbuffered file may take a part
            block = block[self._file.write(block) :]


def read(file: BinaryIO) -> Iterator[Packet]:
    """The packets of a recording, in order.

    A recording that was cut off ends with its last whole packet. What other tools add when they
    save it again is passed over.

    Raises:
        ValueError: it is no recording of a session, or of a machine of the other byte order.
    """
    sockets: list[bytes] = []
    for kind, body in _blocks(file):
        if kind == _SECTION:
            sockets.clear()
        elif kind == _INTERFACE:
            sockets.append(_socket(body))
        elif kind == _PACKET:
            yield _packet(body, sockets)


def _blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Type and body of each whole block."""
    order = struct.pack("=I", _BYTE_ORDER_MAGIC)
    first = True
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack("=II", head)
        believed = 12 <= length <= _BLOCK_MAX and length % 4 == 0
        if kind == _SECTION:  # its length is in the byte order that it tells only now
            magic = file.read(4)
            if magic == order[::-1]:
                msg = f"recorded on a machine that is not {sys.byteorder}-endian"
                raise ValueError(msg)
            believed &= magic == order or len(magic) < 4
            body = magic + (file.read(max(0, length - 16)) if believed else b"")
        elif first:
            msg = "no pcapng file"
            raise ValueError(msg)
        else:
            body = file.read(length - 12) if believed else b""
        first = False
        if not believed:
            msg = f"no block of a recording: type {kind:#x}, {length} bytes"
            raise ValueError(msg)
        if len(body) != length - 12 or len(file.read(4)) != 4:
            return
        yield kind, body


def _socket(body: bytes) -> bytes:
    """The name of an interface, once it is one of ours."""
    linktype = int.from_bytes(body[:2], sys.byteorder)
    options = dict(_read_options(body[8:]))
    name = options.get(_IF_NAME, b"")
    if linktype != _LINKTYPE_NETLINK or name.decode("ascii", "replace") not in _SOCKETS:
        msg = "not a recording of pfstatus"
        raise ValueError(msg)
    if options.get(_IF_TSRESOL) != bytes([_NANOSECONDS]):
        msg = "its times are not in nanoseconds"
        raise ValueError(msg)
    return name


def _packet(body: bytes, sockets: list[bytes]) -> Packet:
    try:
        socket, high, low, captured, _ = struct.unpack_from("=IIIII", body)
        kind, _, _ = _COOKED.unpack_from(body, 20)
        name = sockets[socket]
    except (struct.error, IndexError):
        msg = "a packet without its head or its interface"
        raise ValueError(msg) from None
    if name.decode() == _SOCKETS[1]:
        direction = Direction.EVENT
    else:
        direction = Direction.REQUEST if kind == _PACKET_KERNEL else Direction.ANSWER
    data = body[20 + _COOKED.size : 20 + captured]
    if [message.kind for message in messages(data)] == [NLMSG_OVERRUN]:
        data = b""
    return Packet(high << 32 | low, direction, data)


def _read_options(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        code, length = struct.unpack_from("=HH", data)
        if not code:
            return
        yield code, data[4 : 4 + length]
        data = data[4 + length + -length % 4 :]
