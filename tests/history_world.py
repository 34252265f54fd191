"""Whatever happens to two PFs, in whatever order, on a clock of its own: and one relay among it.

The model knows only what it did itself: who touched a VF last, and what it made of LACP. What can
happen is marked by ``happens()``, with what it may be told.
"""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from itertools import chain, combinations
from typing import TYPE_CHECKING

from pfstatus import LacpStatus, Policy, Relay, VfLinkState
from pfstatus.recording.netlink import RTEXT_FILTER_VF, RTM_GETLINK
from pfstatus.relay.pace import SPARSE_LOOK
from pfstatus.testing import FakeKernel, FakePf
from pfstatus.values import Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pfstatus import Session
    from pfstatus.relay.policy import Restore

AUTO, ENABLE, DISABLE = VfLinkState
UP, DOWN, UNKNOWN = LacpStatus
VFS = 6
QUIET = 25.0  # seconds: longer than twice the longest pause between tries

_KIND, _SEQ = slice(4, 6), slice(8, 12)  # of struct nlmsghdr
_GETLINK = RTM_GETLINK.to_bytes(2, sys.byteorder)

PFS = (0, 1)
BOTH = (False, True)
ANY_VF = tuple(range(VFS))
FEW_VFS = tuple(chain.from_iterable(combinations(ANY_VF, n) for n in range(4)))
EVENTS: dict[str, dict[str, Sequence[object]]] = {}
"""What can happen: the name of a method of World, and for each argument what it may be."""


def happens(**choices: Sequence[object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a method as something that can happen."""

    def mark(method: Callable[..., None]) -> Callable[..., None]:
        EVENTS[method.__name__] = choices
        return method

    return mark


class PromptKernel(FakeKernel):
    """A kernel that answers in the thread that asks, for the one session that it has at a time.

    A thread of its own costs several times as much as all the rest; what was answered already is
    not put together again until ``forget()``.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, list[bytes]] = {}
        super().__init__()

    def _serve(self) -> None:
        """Nothing is left for it."""

    def session(self, **_more: object) -> Session:
        for peer in self._peers:
            peer.close()
        self._peers.clear()
        return super().session(tap=self._answer)

    def forget(self) -> None:
        """Something changes."""
        self._known.clear()

    def _answer(self, direction: Direction, datagram: bytes) -> None:
        if direction is not Direction.REQUEST:
            return
        (peer,) = self._peers
        with suppress(BlockingIOError):
            peer.request.recv(1 << 18, socket.MSG_DONTWAIT)  # the one before
        question = datagram[: _SEQ.start] + datagram[_SEQ.stop :]
        answers = self._known.get(question)
        if answers is None:
            answers = list(self._answers(datagram))
            if datagram[_KIND] == _GETLINK:
                self._known[question] = answers
            else:
                self.forget()
        for answer in answers:
            peer.request.send(answer[: _SEQ.start] + datagram[_SEQ] + answer[_SEQ.stop :])
        peer.flush()


class WatchedPf:
    """A PF of the model."""

    def __init__(self, name: str, pf: FakePf) -> None:
        self.name = name
        self.pf = pf
        self.exists = True
        self.carrier = True
        self.bonded = True
        self.heard = UP  # what the LACP rules made of it
        self.theirs: set[int] = set()  # VFs that somebody else disabled
        self.lent: set[int] = set()  # VFs that somebody changed while the relay had them disabled
        self.unread: set[int] = set()  # VFs that the relay set, or tried to, and has not read since
        self.tried: set[int] = set()  # VFs that the relay noted, whatever the driver said

    @property
    def lacp(self) -> LacpStatus:
        return self.heard if self.exists and self.carrier and self.bonded else UNKNOWN


class World:
    """One relay, two PFs, and what happens to them. A context manager.

    Args:
        clock: as the fixture ``clock`` makes it.
        restore: as for Policy.
        folder: where the relay may write.
    """

    def __init__(self, clock, restore: Restore, folder: Path) -> None:
        self.clock = clock
        self.restore = restore
        self.folder = folder
        self.kernel = PromptKernel()
        self.wrong: list[str] = []
        self.setting = False  # what is read meanwhile the relay does not get to see
        self.pfs = [self.make(name) for name in ("ens5f0", "ens5f1")]
        self.relay = self.start()
        self.wait(0.1)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.relay.close()
        self.kernel.close()

    # The rig

    def make(self, name: str) -> WatchedPf:
        pf = self.kernel.add_pf(name, vfs=VFS)
        watched = WatchedPf(name, pf)
        self.kernel.add_bond(f"bond-{name}", pf)
        driver, message = pf.set_vf, pf.message

        def set_vf(vf: int, state: VfLinkState) -> int:
            self.judge(watched, vf, state)
            if state is DISABLE and state in pf.ignores:
                watched.lent.add(vf)  # as if somebody had set it back at once: nobody can tell
            watched.unread.add(vf)
            if state is AUTO:
                watched.tried.discard(vf)
            else:
                watched.tried.add(vf)
            return driver(vf, state)

        def read(mask: int = 0, **more: int) -> bytes:
            if mask & RTEXT_FILTER_VF and not self.setting:
                watched.unread &= pf.hidden
            return message(mask, **more)

        pf.set_vf, pf.message = set_vf, read
        return watched

    def judge(self, watched: WatchedPf, vf: int, state: VfLinkState) -> None:
        """Each setting, at the moment when the driver gets it."""
        before = watched.pf.vfs[vf]
        self.wrong += [
            words
            for words, bad in {
                f"VF {vf} was in enable": before is ENABLE,
                f"VF {vf} was set to {state} already": before is state,
                f"VF {vf} was set to enable": state is ENABLE,
                f"VF {vf} was disabled, LACP {watched.lacp}": (
                    state is DISABLE and watched.lacp is not DOWN
                ),
                f"VF {vf} was given back, LACP {watched.lacp}": (
                    state is AUTO and watched.lacp is not UP
                ),
                f"VF {vf} is somebody else's": (self.restore == "owned" and vf in watched.theirs),
            }.items()
            if bad
        ]

    def start(self) -> Relay:
        self.session = self.kernel.session()
        send = self.session.set_vf_link_state

        def set_vf_link_state(*args: object, **more: object) -> object:
            self.setting = True  # after a failure it reads how far the driver came
            try:
                return send(*args, **more)
            finally:
                self.setting = False
                self.kernel.forget()

        self.session.set_vf_link_state = set_vf_link_state
        policy = Policy(self.restore, state_file=self.folder / "disabled-vfs.json")
        return Relay(
            *(watched.name for watched in self.pfs),
            policy=policy,
            report=lambda _reports: None,
            session=self.session,
        )

    def wait(self, seconds: float) -> None:
        end = self.clock.now + seconds
        turns = 0
        while self.clock.now < end:
            self.relay.turn(timeout=end - self.clock.now)
            turns += 1
            assert turns < 200 + 200 * seconds, "it spins"

    def do(self, event: str, **told: object) -> bool:
        """Have something happen; False where it cannot, since the PF is gone."""
        i = told.get("i")
        if isinstance(i, int) and not self.pfs[i].exists and event != "driver_is_reloaded":
            return False
        self.kernel.forget()
        getattr(self, event)(**told)
        assert not self.wrong, self.wrong
        return True

    # The world

    @happens(i=PFS, announce=BOTH)
    def lacp_goes(self, i, announce) -> None:
        watched = self.pfs[i]
        watched.heard = DOWN
        watched.pf.lacp_expire(announce=announce)

    @happens(i=PFS, announce=BOTH)
    def lacp_defaults(self, i, announce) -> None:
        watched = self.pfs[i]
        watched.heard = DOWN
        watched.pf.lacp_default(announce=announce)

    @happens(i=PFS, announce=BOTH)
    def lacp_comes(self, i, announce) -> None:
        watched = self.pfs[i]
        watched.heard = UP
        watched.pf.lacp_up(announce=announce)

    @happens(i=PFS)
    def partner_stops_collecting(self, i) -> None:
        watched = self.pfs[i]
        watched.heard = DOWN
        watched.pf.lacp_set(0x3F, 0x0F, announce=False)

    @happens(i=PFS, up=BOTH)
    def cable(self, i, up) -> None:
        watched = self.pfs[i]
        watched.carrier = up
        watched.pf.set_carrier(up)

    @happens(i=PFS)
    def bond_is_left_or_joined(self, i) -> None:
        watched = self.pfs[i]
        watched.bonded = not watched.bonded
        bond = next(link for link in self.kernel.links if link.name == f"bond-{watched.name}")
        self.kernel.enslave(watched.pf, bond if watched.bonded else None)

    @happens(i=PFS, vf=ANY_VF, state=tuple(VfLinkState))
    def somebody_sets_a_vf(self, i, vf, state) -> None:
        watched = self.pfs[i]
        self.wait(0.05)  # what is not read back cannot be told from a driver that did nothing
        if watched.pf.vfs[vf] is not DISABLE and state is DISABLE:
            if vf in watched.unread:
                watched.lent.add(vf)
            if vf not in watched.lent:  # else it may be what a CNI plugin found and puts back
                watched.theirs.add(vf)
        elif state is not DISABLE:
            if watched.pf.vfs[vf] is DISABLE and vf not in watched.theirs:
                watched.lent.add(vf)
            watched.theirs.discard(vf)
        self.kernel.forget()
        self.kernel.set_vf(watched.pf, vf, state)
        # What is set and set again within one look cannot be told from what was never touched.
        self.wait(2.0)

    @happens(i=PFS)
    def vfs_are_made_anew(self, i) -> None:
        watched = self.pfs[i]
        watched.lent |= {vf for vf, state in watched.pf.vfs.items() if state is DISABLE}
        watched.theirs.clear()
        self.kernel.forget()
        self.kernel.create_vfs(watched.pf, VFS)
        self.wait(2.0)

    @happens(i=PFS)
    def driver_is_reloaded(self, i) -> None:
        watched = self.pfs[i]
        if watched.exists:
            watched.exists = False
            self.kernel.remove(watched.pf)
        else:
            for link in [link for link in self.kernel.links if link.name == f"bond-{watched.name}"]:
                self.kernel.remove(link)
            self.pfs[i] = self.make(watched.name)

    @happens(i=PFS, vf=ANY_VF, times=(1, 2, 3))
    def driver_is_busy(self, i, vf, times) -> None:
        self.pfs[i].pf.vf_errors[vf] = (errno.EBUSY, times)

    @happens(i=PFS, hidden=FEW_VFS)
    def driver_cannot_read(self, i, hidden) -> None:
        self.pfs[i].pf.hidden = set(hidden)

    @happens(i=PFS, states=((), (DISABLE,), (AUTO,), (AUTO, DISABLE)))
    def driver_says_yes_and_does_nothing(self, i, states) -> None:
        self.pfs[i].pf.ignores = set(states)

    @happens()
    def events_are_lost(self) -> None:
        self.kernel.lose_events()

    @happens()
    def relay_dies_and_is_started_again(self) -> None:
        self.relay.close()
        self.session.close()
        for watched in self.pfs:  # the next one cannot tell a driver that failed from a CNI plugin
            states = watched.pf.vfs
            watched.lent |= {vf for vf in watched.tried if states.get(vf) is not DISABLE}
        self.relay = self.start()

    # The relay

    @happens()
    def turn(self) -> None:
        self.relay.turn(timeout=0)

    @happens(seconds=(0.05, 0.15, 1.1, 12.0))
    def time_passes(self, seconds) -> None:
        self.wait(seconds)

    @happens()
    def all_is_quiet(self) -> None:
        """No driver is at fault any more, and time passes: then the table holds."""
        sparse = any(watched.pf.hidden for watched in self.pfs)
        for watched in self.pfs:
            watched.pf.vf_errors.clear()
            watched.pf.hidden = set()
            watched.pf.ignores = set()
        self.kernel.forget()
        self.wait(SPARSE_LOOK + QUIET if sparse else QUIET)
        for watched in self.pfs:
            if not watched.exists:
                continue
            states = watched.pf.vfs
            if watched.lacp is DOWN:
                assert AUTO not in states.values(), "it did not fail over"
            elif watched.lacp is UP:
                kept = {vf for vf, state in states.items() if state is DISABLE}
                theirs = watched.theirs | watched.lent
                wrong = kept - (theirs if self.restore == "owned" else set())
                assert not wrong, f"VFs {wrong} were not given back"
