"""A switch port that says of itself whatever a test wants, as no well-behaved program would."""

import ctypes
import os
import select
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Self

from topology import Port, ip

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_CLONE_NEWNET = 0x40000000
_SYSTEM = bytes.fromhex("02005e0000fe")
_ACTOR, _PARTNER, _STATE = slice(18, 32), slice(38, 52), 52
"""Of a LACPDU with its Ethernet header: system, key and port of either end; our state."""

UP = 0x3F
INDIVIDUAL = UP & ~0x04
NOT_IN_SYNC = UP & ~0x38
NOT_COLLECTING = UP & ~0x30


class Forger:
    """Speaks LACP on a port's `sw0` in the kernel's place; a context manager, in which it does.

    It begins with UP, says so each second and answers at once where it is misunderstood, as 802.1AX
    has it. `Lab.reset()` makes both ends anew afterwards.

    Args:
        port: the port.
        answers: False says nothing but what is due each second.
    """

    def __init__(self, port: Port, *, answers: bool = True) -> None:
        self.mute = False
        """It says nothing, by itself or as an answer."""
        self._answers = answers
        self._port = port
        self._state = UP
        self._heard: bytes | None = None
        self._ends = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._speak)

    def __enter__(self) -> Self:
        port = self._port
        port.disturbed = True
        ip(
            f"link set {port.switch_port} nomaster",
            f"link set {port.switch_port} up",
            netns="sw",
        )
        self._thread.start()
        port.wait_lacp(up=True, timeout=45)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ends.set()
        self._thread.join()
        ip(f"link set {self._port.switch_port} down", netns="sw")  # or no bond takes it

    def say(self, state: int) -> None:
        """Be in this state, and say so at once."""
        self._state = state
        self._send()

    def _speak(self) -> None:
        with Path("/run/netns/sw").open() as netns:
            if ctypes.CDLL(None, use_errno=True).setns(netns.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as opened:
            opened.bind((self._port.switch_port, _ETH_P_ALL))
            self._socket = opened
            due = 0.0
            while not self._ends.is_set():
                if select.select([opened], [], [], max(0.0, min(due - time.monotonic(), 0.1)))[0]:
                    self._hear(*opened.recvfrom(2048))
                elif time.monotonic() >= due:
                    self._send()
                    due = time.monotonic() + 1.0
            self._socket = None

    def _hear(self, frame: bytes, address: tuple[str, int, int, int, bytes]) -> None:
        if address[2] == _PACKET_OUTGOING or frame[12:15] != b"\x88\x09\x01":
            return
        self._heard = frame
        if not self._answers:
            return
        if frame[_PARTNER] != self._ours() or frame[_STATE] != self._state:
            self._send()

    def _ours(self) -> bytes:
        return struct.pack("!H6sHHH", 1, _SYSTEM, 7, 1, 1)

    def _send(self) -> None:
        theirs = self._heard
        partner = bytes(18) if theirs is None else theirs[_ACTOR] + theirs[32:33] + bytes(3)
        frame = b"".join(
            (
                *(bytes.fromhex("0180c2000002"), _SYSTEM, b"\x88\x09\x01\x01"),
                *(b"\x01\x14", self._ours(), bytes([self._state]), bytes(3)),
                *(b"\x02\x14", partner),
                *(b"\x03\x10", bytes(14), bytes(2), bytes(50)),
            )
        )
        opened = self._socket
        if opened is not None and not self.mute:
            opened.send(frame)
