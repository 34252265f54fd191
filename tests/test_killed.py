"""kill -9 at every system call of a reaction: the next relay ends what the killed one began.

The relay is a child that is stopped where it enters a system call and where it leaves it
(ptrace(2)); at the n-th stop it is killed, for each n that there is. What it asked of the kernel
until then is carried out, as a kernel does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pfstatus import Policy, Relay, Session, VfLinkState
from pfstatus.relay.config import Config
from pfstatus.relay.program import serve
from pfstatus.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfstatus.testing import FakePf

AUTO, _ENABLE, DISABLE = VfLinkState
VFS = 6
THEIRS = 5  # disabled by somebody else before
CALM = 0.03  # seconds without a system call: less than until the next question
LIMIT = 20.0  # seconds

_PTRACE = ctypes.CDLL(None, use_errno=True).ptrace
_TRACEME, _CONT, _SYSCALL, _SETOPTIONS = 0, 7, 24, 0x4200
_TRACESYSGOOD, _EXITKILL = 1, 0x100000
_SYSCALL_STOP = signal.SIGTRAP | 0x80


def ptrace(request: int, pid: int, data: int = 0) -> None:
    if _PTRACE(request, pid, None, ctypes.c_void_p(data)):
        raise OSError(ctypes.get_errno(), f"ptrace request {request}")


class Victim:
    """A relay in a process of its own, which can be stopped at its system calls."""

    def __init__(self, kernel: FakeKernel, policy: Policy) -> None:
        fds = kernel.descriptors()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.dup2(os.open(os.devnull, os.O_RDWR), 1)
                sys.stdout = os.fdopen(1, "w")
                ptrace(_TRACEME, 0)
                os.kill(os.getpid(), signal.SIGSTOP)
                serve(Config(("ens5f0",), policy=policy), session=Session.from_fds(*fds))
            finally:
                os._exit(1)
        for fd in fds:
            os.close(fd)
        os.waitpid(self.pid, 0)
        ptrace(_SETOPTIONS, self.pid, _TRACESYSGOOD | _EXITKILL)
        ptrace(_CONT, self.pid)

    def hold(self) -> None:
        """Stop it where it is."""
        os.kill(self.pid, signal.SIGSTOP)
        _, status = os.waitpid(self.pid, 0)
        assert os.WSTOPSIG(status) == signal.SIGSTOP, status

    def step(self, done: Callable[[], bool]) -> bool:
        """Go on to where it enters or leaves a system call; False where it is done and rests."""
        ptrace(_SYSCALL, self.pid)
        began = time.monotonic()
        while not (pid_status := os.waitpid(self.pid, os.WNOHANG))[0]:
            waited = time.monotonic() - began
            if waited > CALM and done():
                return False
            assert waited < LIMIT, "it hangs"
            time.sleep(0.0002)
        assert os.WSTOPSIG(pid_status[1]) == _SYSCALL_STOP, pid_status
        return True

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        while os.WIFSTOPPED(os.waitpid(self.pid, 0)[1]):
            pass


def until(condition: Callable[[], object], what: str, turn: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        turn()


def states(pf: FakePf) -> dict[int, VfLinkState]:
    return dict(pf.vfs)


def wanted(state: VfLinkState, policy: Policy) -> dict[int, VfLinkState]:
    theirs = DISABLE if policy.restore == "owned" else state
    return {vf: theirs if vf == THEIRS else state for vf in range(VFS)}


def die_at(stop: int, policy: Policy, *, back: bool) -> bool:
    """Kill a relay at the n-th stop of a reaction, and have another go on.

    Returns:
        False if the reaction has fewer stops than that: it ended.
    """
    with FakeKernel() as kernel:
        pf = kernel.add_pf("ens5f0", vfs=VFS)
        kernel.add_bond("bond0", pf)
        pf.vfs[THEIRS] = DISABLE
        if policy.restore == "all":
            pf.vfs[THEIRS] = AUTO  # or it would be given back at the start
        victim = Victim(kernel, policy)
        rest = lambda: time.sleep(0.001)  # noqa: E731
        until(lambda: kernel.requests["get-vfs"], "the first look", rest)
        time.sleep(CALM)
        if back:
            pf.lacp_expire()
            until(lambda: set(states(pf).values()) == {DISABLE}, "VFs disabled", rest)
            time.sleep(CALM)  # it reads back
        victim.hold()
        looks = kernel.requests["get-vfs"]
        (pf.lacp_up if back else pf.lacp_expire)()
        wish = wanted(AUTO if back else DISABLE, policy)

        def done() -> bool:
            return states(pf) == wish and kernel.requests["get-vfs"] >= looks + 2

        ended = not all(victim.step(done) for _ in range(stop))
        victim.kill()
        with Relay("ens5f0", policy=policy, session=kernel.session()) as relay:

            def reach(state: VfLinkState) -> None:
                wish = wanted(state, policy)
                until(lambda: states(pf) == wish, f"{wish}", lambda: relay.turn(0.05))

            reach(AUTO if back else DISABLE)
            (pf.lacp_expire if back else pf.lacp_up)()
            reach(DISABLE if back else AUTO)
        return not ended


@pytest.mark.parametrize("back", [False, True], ids=["lost", "back"])
@pytest.mark.parametrize("restore", ["all", "owned"])
def test_killed_at_any_system_call_of_a_reaction_its_work_is_ended_by_the_next(
    restore: str, back: bool, tmp_path: Path
) -> None:
    for stop in count(1):
        policy = Policy(restore, state_file=tmp_path / str(stop) / "disabled-vfs.json")
        if not die_at(stop, policy, back=back):
            break
    assert stop > 20, "a reaction takes more system calls than that"
