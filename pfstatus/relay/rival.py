"""Two relays on one PF: found out without a file, by a name that the kernel gives once.

An abstract Unix socket belongs to the network namespace, as the PF does: a service on the host
and a pod in the host's network see each other, and the name goes with its process.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple, Self

_UCRED = struct.Struct("=iII")
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


class _Rival(NamedTuple):
    """A process that has a PF, and a connection that ends with it."""

    pid: int
    socket: socket.socket

    def lives(self) -> bool:
        try:
            return self.socket.recv(1) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class Claims:
    """The PFs that this relay serves, as other relays see them.

    Args:
        netns: inode of the PFs' network namespace; None claims nothing.
        what: what claims them.
        believes_all: believe whoever has a claim, as a person may who can look who that is.
    """

    def __init__(
        self, netns: int | None, what: str = "relay", *, believes_all: bool = False
    ) -> None:
        self._netns = netns
        self._believes_all = believes_all
        self._what = what
        self._held: dict[int, socket.socket] = {}
        self._rivals: dict[int, _Rival] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def claim(self, ifindex: int) -> int | None:
        """Claim a PF, unless it is ours already.

        Returns:
            None, or the process that has it. Anybody may bind the name: only root, and who runs
            as we do, is believed.
        """
        if self._netns is None or ifindex in self._held:
            return None
        pid = self._rival(ifindex)
        if pid is not None:
            return pid
        claim = socket.socket(socket.AF_UNIX, _STREAM)
        try:
            claim.bind(self._name(ifindex))
            claim.listen(64)
        except OSError:
            claim.close()
            return self._meet(ifindex)
        self._held[ifindex] = claim
        return None

    def holder(self, ifindex: int) -> int | None:
        """The process that has a PF, ourselves included; claims nothing."""
        if ifindex in self._held:
            return os.getpid()
        if self._netns is None:
            return None
        return self._rival(ifindex) or self._meet(ifindex)

    def _name(self, ifindex: int) -> str:
        return f"\0pfstatus-{self._what}/{self._netns}/{ifindex}"

    def _rival(self, ifindex: int) -> int | None:
        """Who was met, and lives."""
        rival = self._rivals.get(ifindex)
        if rival and rival.lives():
            return rival.pid
        self.release(ifindex)
        return None

    def _meet(self, ifindex: int) -> int | None:
        name = self._name(ifindex)
        asking = socket.socket(socket.AF_UNIX, _STREAM)
        try:
            asking.connect(name)
            said = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            asking.close()
            return None
        pid, uid, _ = _UCRED.unpack(said)
        if not self._believes_all and uid not in (0, os.geteuid()):
            asking.close()
            return None
        self._rivals[ifindex] = _Rival(pid, asking)
        return int(pid)

    def release(self, ifindex: int) -> None:
        """Claim a PF no more."""
        claim = self._held.pop(ifindex, None)
        if claim:
            claim.close()
        rival = self._rivals.pop(ifindex, None)
        if rival:
            rival.socket.close()

    def close(self) -> None:
        """Release all. May be called again."""
        for ifindex in [*self._held, *self._rivals]:
            self.release(ifindex)
