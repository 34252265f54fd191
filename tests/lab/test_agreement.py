"""The fake kernel of pfstatus.testing and the real one: the same history, the same outcome.

Random histories are played to a relay on each. After every step both must come to the same link
states of all VFs, and their monitors to the same judgement of LACP.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pytest
from topology import Lab, Port, ip, wait_for

import pfstatus
from pfstatus.testing import FakeKernel

STEPS = 12


class World(Protocol):
    """What can happen to a PF, and what came of it."""

    def lose_lacp(self) -> None: ...
    def recover_lacp(self) -> None: ...
    def set_vf(self, vf: int, state: str) -> None: ...
    def make_vfs(self, count: int) -> None: ...
    def leave_bond(self) -> None: ...
    def join_bond(self) -> None: ...
    def vf_states(self) -> dict[int, str]: ...


class Real:
    def __init__(self, port: Port) -> None:
        self._port = port

    def lose_lacp(self) -> None:
        self._port.lacp_block("to-pf")

    def recover_lacp(self) -> None:
        self._port.lacp_unblock()

    def set_vf(self, vf: int, state: str) -> None:
        self._port.set_vfs(state, vf)

    def make_vfs(self, count: int) -> None:
        self._port.nic.num_vfs = count

    def leave_bond(self) -> None:
        self._port.disturbed = True
        self._port.clear_master()

    def join_bond(self) -> None:
        ip(
            f"link set {self._port.pf} down",
            f"link set {self._port.pf} master {self._port.bond}",
            f"link set {self._port.pf} up",
        )

    def vf_states(self) -> dict[int, str]:
        return self._port.nic.vf_states()


class Fake:
    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self._pf = kernel.add_pf("pf0")
        self._bond = kernel.add_bond("bond0", self._pf)
        self._pf.lacp_up()

    def lose_lacp(self) -> None:
        self._pf.lacp_expire()

    def recover_lacp(self) -> None:
        self._pf.lacp_up()

    def set_vf(self, vf: int, state: str) -> None:
        self._kernel.set_vf(self._pf, vf, pfstatus.VfLinkState.parse(state))

    def make_vfs(self, count: int) -> None:
        self._kernel.create_vfs(self._pf, count)

    def leave_bond(self) -> None:
        self._kernel.enslave(self._pf, None)

    def join_bond(self) -> None:
        self._kernel.enslave(self._pf, self._bond)
        self._pf.lacp_up()

    def vf_states(self) -> dict[int, str]:
        return {vf: str(state) for vf, state in self._pf.vfs.items()}


class Relayed:
    """A world with a relay in it, and somebody who watches."""

    def __init__(self, world: World, relay: pfstatus.Relay, monitor: pfstatus.Monitor) -> None:
        self.world = world
        self.relay = relay
        self.monitor = monitor

    def outcome(self) -> tuple[str, dict[int, str]]:
        status = self.monitor.status("pf0")
        return str(status.lacp.status) if status else "unseen", self.world.vf_states()

    def settled(self) -> bool:
        """Whether nothing is left for the relay to do."""
        lacp, states = self.outcome()
        vfs = [pfstatus.Vf(vf, pfstatus.VfLinkState.parse(state)) for vf, state in states.items()]
        return lacp != "unseen" and not pfstatus.plan(pfstatus.LacpStatus(lacp), vfs).settings


@contextmanager
def relayed(
    world: World, relay_session: pfstatus.Session, monitor_session: pfstatus.Session
) -> Iterator[Relayed]:
    policy = pfstatus.Policy()
    with (
        relay_session,
        monitor_session,
        pfstatus.Relay("pf0", policy=policy, report=lambda _: None, session=relay_session) as relay,
        pfstatus.Monitor("pf0", session=monitor_session) as monitor,
    ):

        def watch() -> None:
            for _ in monitor:
                pass

        threads = [threading.Thread(target=run) for run in (relay.run, watch)]
        for thread in threads:
            thread.start()
        try:
            yield Relayed(world, relay, monitor)
        finally:
            relay.stop()
            monitor.stop()
            for thread in threads:
                thread.join(10)


def agree(real: Relayed, fake: Relayed, history: list[str]) -> None:
    """Return once both have settled alike."""

    def alike() -> bool:
        return real.outcome() == fake.outcome() and real.settled() and fake.settled()

    try:
        wait_for(alike, 45, "agreement")
    except TimeoutError:
        pytest.fail(f"after {history}: fake {fake.outcome()}, real {real.outcome()}")


def events() -> pfstatus.Session:
    return pfstatus.Session(events=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_fake_and_real_kernel_come_to_the_same(lab: Lab, seed: int) -> None:
    choose = random.Random(seed)
    lab.ports[0].nic.num_vfs = 4
    with (
        FakeKernel() as kernel,
        relayed(Real(lab.ports[0]), events(), events()) as real,
        relayed(Fake(kernel), kernel.session(), kernel.session()) as fake,
    ):
        fake.world.make_vfs(4)
        lost, bonded, count = False, True, 4
        history = ["start"]
        for _ in range(STEPS):
            agree(real, fake, history)
            steps = ["touch", "make"]
            if bonded:
                steps += ["recover" if lost else "lose"] * 3
            steps += [] if lost else ["leave" if bonded else "join"]
            step = choose.choice(steps)
            vf, state = choose.randrange(count), choose.choice(["auto", "enable", "disable"])
            if step == "make":
                count = choose.randrange(1, 6)
            history.append(f"{step} {vf}={state}" if step == "touch" else f"{step} {count}")
            for world in (real.world, fake.world):
                match step:
                    case "touch":
                        world.set_vf(vf, state)
                    case "make":
                        world.make_vfs(count)
                    case "lose":
                        world.lose_lacp()
                    case "recover":
                        world.recover_lacp()
                    case "leave":
                        world.leave_bond()
                    case "join":
                        world.join_bond()
            lost = (lost or step == "lose") and step != "recover"
            bonded = (bonded or step == "join") and step != "leave"
        agree(real, fake, history)
