"""One look, or one change."""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, Self, overload

from pfstatus._port import Port
from pfstatus._wire import Wire
from pfstatus.errors import Error, LinkNotFoundError, error
from pfstatus.values import LinkStatus, Vf, VfLinkState, VfResult, Vfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pfstatus._wire import Event, Tap
    from pfstatus.values import Bond, BondMode, LacpStatus, Pf, Switched, VfSetting

_NETNS = "/proc/thread-self/ns/net"

NAME_MAX = 127
"""Bytes of the longest alternative name, ALTIFNAMSIZ - 1."""
_IFNAMSIZ = 16
_TIMEOUT_MAX = 86400.0
_NOTHING = [0xFFFFFFFF]
"""Of no link by that index is ever heard: the kernel's are positive ints."""


def name_of(pf: Pf) -> str:
    """The name that a PF is asked by: its own, or an alternative one.

    Raises:
        TypeError: it is neither a string nor a status.
        ValueError: as a name it is empty, too long, or holds a NUL. All else is the kernel's to
            judge: an alternative name may hold what a name may not.
    """
    if isinstance(pf, LinkStatus):
        return pf.name
    if not isinstance(pf, str):
        msg = f"a PF is a name or a LinkStatus, not {pf!r}"
        if isinstance(pf, list | tuple | set | frozenset):
            msg += "; several are given one by one, as in Monitor(*pfs)"
        raise TypeError(msg)
    return _check_name(pf)


@lru_cache
def _check_name(name: str) -> str:
    if not name or "\0" in name or len(os.fsencode(name)) > NAME_MAX:
        msg = f"{name!r} cannot be an interface name: 1 to {NAME_MAX} bytes without NUL"
        raise ValueError(msg)
    return name


def _check_timeout(timeout: float) -> float:
    if not timeout > 0:
        msg = f"timeout must be positive, not {timeout!r}"
        raise ValueError(msg)
    return min(timeout, _TIMEOUT_MAX)


class Events:
    """A session's event socket, in the hands of one reader: what a Monitor is made of.

    Made by ``Session.listen()``.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire: Wire | None = wire
        self._fd = wire.fileno()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._wire is None

    def close(self) -> None:
        """Give it back to the session, which stays open. May be called again."""
        wire, self._wire = self._wire, None
        if wire and not wire.closed:
            with suppress(Error):  # who listens next hears more than it watches, and passes it over
                wire.watch(_NOTHING, [])

    def fileno(self) -> int:
        """The event socket."""
        return self._fd

    def watch(self, ifindexes: Iterable[int], names: Iterable[str]) -> None:
        """Let only events of these links wake us; of none if there are none.

        Args:
            ifindexes: links by index.
            names: links by name. One of more than 15 bytes is passed over: no event begins with an
                alternative name.

        Raises:
            Error: the kernel refused.
            ValueError: more than 128; or the session is closed.
        """
        indexes = list(ifindexes)
        short = [name for name in names if len(os.fsencode(name)) < _IFNAMSIZ]
        self._open().watch(indexes if indexes or short else _NOTHING, short)

    def next(self) -> Event | None:
        """The next event, or None. Never waits.

        Raises:
            EventsLostError: some are gone, or could not be read.
            Error: anything else.
            ValueError: the session is closed.
        """
        wire = self._wire or self._open()
        return wire.next_event()

    def status(self, event: Event, old: LinkStatus) -> LinkStatus:
        """What the event that next() just returned says of a PF.

        Args:
            event: it.
            old: what was known of it; name, index, master and bond are those of the event.
        """
        wire = self._wire or self._open()
        return wire.event_status(event, old)

    def _open(self) -> Wire:
        if self._wire is None:
            msg = "the event socket was given back"
            raise ValueError(msg)
        return self._wire


_parse = lru_cache(typed=True)(VfLinkState.parse)  # True is 1, but no link state
# Hundreds at a time, for which VfResult() and _make() are slow.
_result: Callable[[Iterable[object]], VfResult] = partial(tuple.__new__, VfResult)


def _columns(
    settings: Mapping[int, VfSetting] | Iterable[Vf],
) -> tuple[list[int], list[VfLinkState]]:
    """VFs, and what each is to be: two lists, whose loops are C's."""
    if isinstance(settings, Mapping):
        vfs, said = list(settings), list(settings.values())
    else:
        pairs = list(settings)
        vfs, said = map(list, zip(*pairs, strict=True)) if pairs else ([], [])
    kinds = set(map(type, said))
    if kinds == {VfLinkState}:
        states = said
    elif kinds == {str} and said.count(said[0]) == len(said):
        states = [_parse(said[0])] * len(said)
    else:
        states = list(map(_parse, said))
    if set(map(type, vfs)) - {int} or not 0 <= min(vfs, default=0) <= max(vfs, default=0) < 1 << 16:
        bad = next(vf for vf in vfs if type(vf) is not int or not 0 <= vf < 1 << 16)
        msg = f"a VF number is an integer from 0 to 65535, not {bad!r}"
        raise ValueError(msg)
    return vfs, states


class Session:
    """A conversation with the kernel, in one network namespace.

    Used by one thread at a time, and by one process: a child of ``fork()`` finds it closed, and
    opens its own.
    Reading needs no privilege, setting needs CAP_NET_ADMIN.

    Args:
        netns: path ("/run/netns/blue") or descriptor of another network namespace. Entering it
            needs CAP_SYS_ADMIN; the calling thread stays in its own.
        timeout: seconds to wait for one answer.
        events: also open the event socket, which a Monitor needs.
        kernel_filter: let the kernel drop events of links that nobody watches. Without, each
            event of any link wakes the process; nothing else differs.
        event_buffer: bytes of event that the kernel may queue; 0 for 1 MiB.
        tap: called as ``tap(direction, datagram)`` with each datagram as it passes, for captures
            and traces: requests before they are sent, answers and events once received; an
            event without bytes says that events were lost. It is called in the midst of
            other methods and must neither use the session nor fork. What it raises is logged,
            but for what ends a program (KeyboardInterrupt, SystemExit): that is raised by the
            method, once the kernel has answered.

    Raises:
        NotPermittedError: the namespace may not be entered.
        Error: a socket could not be opened.
        OSError: the namespace could not be opened.
        ValueError: ``netns`` is no network namespace, ``timeout`` is not positive.
    """

    def __init__(
        self,
        *,
        netns: str | os.PathLike[str] | int | None = None,
        timeout: float = 5.0,
        events: bool = False,
        kernel_filter: bool = True,
        event_buffer: int = 0,
        tap: Tap | None = None,
    ) -> None:
        timeout = _check_timeout(timeout)
        self._events: Events | None = None
        self._netns_fd = -1
        opened = -1
        fd = -1
        if isinstance(netns, int):
            fd = netns
        elif netns is not None:
            fd = opened = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        self.netns: int | None = None
        """Inode of the network namespace; None where that is not known."""
        with suppress(OSError):
            self.netns = (os.stat(_NETNS) if netns is None else os.fstat(fd)).st_ino  # noqa: PTH116 - pathlib is dear to import
        try:
            if netns is not None and not stat.S_ISREG(os.fstat(fd).st_mode):
                msg = f"{netns!r} is no network namespace"
                raise ValueError(msg)
            self._wire = Wire(
                netns_fd=fd,
                events=events,
                kernel_filter=kernel_filter,
                timeout=timeout,
                event_buffer=event_buffer,
                tap=tap,
            )
            if netns is not None:
                self._netns_fd = os.dup(fd)  # for ports
        finally:
            if opened >= 0:
                os.close(opened)

    @classmethod
    def from_fds(
        cls,
        request_fd: int,
        event_fd: int = -1,
        *,
        timeout: float = 5.0,
        tap: Tap | None = None,
    ) -> Self:
        """A session on descriptors that somebody else opened.

        For a process that was handed sockets of a namespace it may not enter; and for tests,
        where the other end of a SOCK_SEQPACKET socketpair plays the kernel. It lends no
        privilege: to set, the kernel wants CAP_NET_ADMIN of who opened the socket and of us.

        Args:
            request_fd: a bound NETLINK_ROUTE socket. It becomes the session's.
            event_fd: one that joined RTNLGRP_LINK, likewise; -1 for none.
            timeout: seconds to wait for one answer.
            tap: as for Session.

        Raises:
            Error: one is no socket, or EINVAL: of another protocol, not bound, or both are one.
            ValueError: ``timeout`` is not positive.
        """
        timeout = _check_timeout(timeout)
        self = cls.__new__(cls)
        self.netns = None
        self._events = None
        self._netns_fd = -1
        self._wire = Wire(fds=(request_fd, event_fd), timeout=timeout, tap=tap)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_wire") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<pfstatus.Session {'closed' if self.closed else 'open'}>"

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._wire.closed

    def close(self) -> None:
        """Close the sockets. May be called again."""
        self._wire.close()
        if self._netns_fd >= 0:
            os.close(self._netns_fd)
            self._netns_fd = -1

    def listen(self) -> Events:
        """Take the event socket, for one reader at a time: two would take each other's events.

        Raises:
            ValueError: somebody has it; or the session has none, or is closed.
        """
        if self._events and not self._events.closed:
            msg = "a monitor listens on this session already: open another session for another"
            raise ValueError(msg)
        self._events = Events(self._wire)
        return self._events

    def get(self, pf: Pf, *, vfs: bool = True, bond: Bond | None = None) -> LinkStatus:
        """Ask for one PF.

        Args:
            pf: its name, one of its alternative names, or its PCI address ("0000:5e:00.0"), which
                is looked up in sysfs; a status of it stands for its name.
            vfs: also read its VFs. This makes the kernel call the driver for each VF under the
                RTNL lock, 0.1 to 2 ms a VF on real NICs, while the rest of the node waits.
            bond: its master as read before: spares the question if it still is the master.

        Raises:
            LinkNotFoundError: there is no such interface.
            Error: the kernel refused or its answer is unusable. With EMSGSIZE (seen with
                InfiniBand VFs) ask again with ``vfs=False``. ENOTUNIQ: the device at that address
                has several interfaces; name one.
            ValueError: ``pf`` can be no name, or the session is closed.
        """
        name = name_of(pf)
        try:
            return self._wire.status(name, vfs=vfs, bond=bond)
        except LinkNotFoundError:
            if ":" not in name:
                raise
            ifname = self._at(name)
            return self._wire.status(ifname, vfs=vfs, bond=bond)._replace(name=name)

    def _at(self, address: str) -> str:
        """The interface at a PCI address.

        Raises:
            LinkNotFoundError: there is none, or it is none, or sysfs shows another namespace's.
            Error: ENOTUNIQ, the device has several.
        """
        from pfstatus._pci import interfaces  # noqa: PLC0415 - few have need of it

        found = []
        for name, ifindex in interfaces(address):
            with suppress(LinkNotFoundError):
                status = self._wire.status(name, vfs=False, bond=None)
                parent = (status.parent or address).lower()
                if status.ifindex == ifindex and parent == address.lower():
                    found.append(name)
        if len(found) != 1:
            raise error(errno.ENOTUNIQ if found else errno.ENODEV, address)
        return found[0]

    def vfs(self, pf: Pf) -> Vfs:
        """Read a PF's VFs, and LACP at the same moment: all that a decision needs.

        Args:
            pf: its name, or a status of it, which spares the look-up: its ifindex finds it, and its
                bond is taken to be the same still.

        Raises:
            LinkNotFoundError: it is gone.
            Error: as for get().
        """
        return Vfs(*self._wire.vfs(self._known(pf)))

    def open_port(self, ifindex: int) -> Port:
        """See the LACPDUs of a PF in the same network namespace; whoever opens it closes it.

        Args:
            ifindex: the PF's.

        Raises:
            NotPermittedError: CAP_NET_RAW is missing.
            LinkNotFoundError: it is gone.
            Error: anything else.
        """
        return Port(ifindex, netns_fd=self._netns_fd)

    def ports(self, mode: BondMode | None = None) -> list[LinkStatus]:
        """Every interface that is a port of a bond, without its VFs.

        Args:
            mode: of bonds in this mode alone.

        Raises:
            Error: the kernel refused or its answer is unusable.
        """
        ports = self._wire.ports()
        return [port for port in ports if mode is None or (port.bond and port.bond.mode == mode)]

    def _known(self, pf: Pf) -> LinkStatus:
        """A status of a PF that is there."""
        status = pf if isinstance(pf, LinkStatus) else self.get(pf, vfs=False)
        if status.ifindex is None:
            raise error(errno.ENODEV, status.name)
        return status

    @overload  # two, so that a type checker takes the words of a dict for those it wants
    def set_vf_link_state(
        self, pf: Pf, settings: Mapping[int, VfSetting], *, chunk: int = 0
    ) -> tuple[VfResult, ...]: ...

    @overload
    def set_vf_link_state(
        self, pf: Pf, settings: Iterable[Vf], *, chunk: int = 0
    ) -> tuple[VfResult, ...]: ...

    def set_vf_link_state(
        self,
        pf: Pf,
        settings: Mapping[int, VfSetting] | Iterable[Vf],
        *,
        chunk: int = 0,
    ) -> tuple[VfResult, ...]:
        """Set the link state of VFs of one PF, in the order given.

        All of them go in one message. If the kernel stops at one that fails, the VFs are read
        again and the rest is set one by one, so that each failure is known by its VF.

        Args:
            pf: its name, or a status of it, which spares the look-up.
            settings: link state by VF number: "auto", "enable", "disable" or a VfLinkState.
            chunk: most VFs in one message, 0 for no limit. The kernel holds the RTNL lock for
                a whole message, so a NIC that needs milliseconds for a VF wants small ones.

        Returns:
            A result for each VF. A VF's error does not raise.

        Raises:
            LinkNotFoundError: there is no such PF.
            Error: nothing was tried.
            ValueError: a state or a VF number is out of range, or the session is closed.
        """
        vfs, states = _columns(settings)
        if chunk < 0:
            msg = f"chunk must not be negative: {chunk!r}"
            raise ValueError(msg)
        status = self._known(pf)
        errors = self._wire.vf_set(status, vfs, states, chunk) or repeat(None)
        return tuple(map(_result, zip(vfs, states, errors, strict=False)))

    def switch_vfs(
        self,
        pf: LinkStatus,
        when: LacpStatus,
        was: VfLinkState,
        to: VfLinkState,
        *,
        first: int,
        quick: float = 0.0,
    ) -> Switched:
        """Read a PF's VFs and set those that are in one state to another, with nothing in between.

        What a relay does when LACP is lost: what vfs() and set_vf_link_state() do in two calls.

        Args:
            pf: a status of it, as for vfs().
            when: set VFs only where LACP is so at the moment at which they are read.
            was: VFs in this state...
            to: ...are set to this one.
            first: so many of them, in one message...
            quick: ...and if that took fewer seconds for each, the rest in another; else the rest is
                left.

        Returns:
            What was read and done. A VF's error does not raise.

        Raises:
            LinkNotFoundError: it is gone.
            Error: the VFs could not be read; nothing was set.
            ValueError: the session is closed.
        """
        return self._wire.switch(pf, when, was, to, first=first, quick=quick)

    def may_set_vfs(self) -> bool:
        """Whether the kernel would let this process set VFs (CAP_NET_ADMIN). Changes nothing."""
        return self._wire.set_permitted()
