"""What LACP and the other end of the cable do."""

import time
from collections.abc import Iterator

from topology import ip, wait_for

from faults import partner
from faults.kit import World, fault
from faults.partner import Forger

DISABLED = "pf0: 4 disable, pf1: 2 auto"
AUTO = "pf0: 4 auto, pf1: 2 auto"


@fault("the partner falls silent", DISABLED, "each VF is set once", quick=True)
def silent(world: World) -> Iterator[None]:
    world.relay()
    world.silence()
    yield
    assert world.pf0.nic.calls()[0] == 4


@fault("it falls silent, and speaks again", AUTO, "each VF is set twice")
def silent_for_a_while(world: World) -> Iterator[None]:
    world.relay()
    world.outage(world.pf0)
    world.speak()
    yield
    assert world.pf0.nic.calls()[0] == 8


@fault(
    "DEFAULTED on both ends: the kernel announces no recovery (it may need 30 s itself)",
    AUTO,
    "though the polling interval is a minute",
    within=45.0,
)
def defaulted(world: World) -> Iterator[None]:
    world.relay("--interval", "60000")
    world.pf0.lacp_block()
    wait_for(lambda: (world.pf0.port_states()[0] or 0) & 0x40, 20, "DEFAULTED")
    world.pf0.lacp_unblock()
    yield


@fault("one-way loss: our LACPDUs do not arrive", DISABLED)
def one_way(world: World) -> Iterator[None]:
    world.relay()
    world.pf0.lacp_block("to-switch")
    yield


@fault("the partner stops collecting, which no event tells", DISABLED, quick=True)
def not_collecting(world: World) -> Iterator[None]:
    with Forger(world.pf0) as switch:
        world.relay()
        switch.say(partner.NOT_COLLECTING)
        yield


@fault("W26: the partner is Individual (Aggregation clear)", AUTO, "LACP is said to be up")
def individual(world: World) -> Iterator[None]:
    with Forger(world.pf0) as switch:
        relay = world.relay()
        relay.mark()
        switch.say(partner.INDIVIDUAL)
        wait_for(
            lambda: world.pf0.port_states()[1] == partner.INDIVIDUAL, 5, "bonding has heard of it"
        )
        time.sleep(1.5)  # longer than the interval
        yield
        assert not relay.said("lacp is down")


@fault("W16: the port has no aggregator, hence no AD attributes", AUTO, "said to be not ready")
def no_aggregator(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    relay = world.relay()
    world.pf0.delete_bond()
    relay.wait("pf is not ready", interface="pf0")
    relay.mark()  # a bond that is being deleted tells of a port that is idle
    ip(
        "link add bond0 type bond mode 802.3ad lacp_rate fast",  # and never set up
        "link set pf0 master bond0",
    )
    time.sleep(1.5)
    yield
    assert not relay.said("lacp is down", interface="pf0")


@fault("W17: a flapping partner, with --up-delay 3", AUTO, "each VF is set twice in 20 flaps")
def flapping(world: World) -> Iterator[None]:
    with Forger(world.pf0) as switch:
        world.relay("--up-delay", "3")
        for _ in range(20):
            switch.say(partner.NOT_IN_SYNC)
            time.sleep(0.3)
            switch.say(partner.UP)
            time.sleep(0.3)
        yield
        sets = [record.state for record in world.pf0.nic.trace() if record.kind == "set"]
        assert sets == ["disable"] * 4 + ["auto"] * 4, sets


@fault("LACP is lost again while VFs are given back", "pf0: 16 disable, pf1: 2 auto", vfs=(16, 2))
def lost_again(world: World) -> Iterator[None]:
    with Forger(world.pf0) as switch:
        world.relay()
        switch.say(partner.NOT_IN_SYNC)
        wait_for(lambda: world.states().startswith("pf0: 16 disable"), 10, "VFs disabled")
        world.pf0.nic.slow(set_seconds=0.1)
        switch.say(partner.UP)
        wait_for(lambda: "auto" in world.pf0.nic.vf_states().values(), 10, "one given back")
        switch.say(partner.NOT_IN_SYNC)
        yield


@fault("the cable is pulled: VFs in auto follow it by themselves", AUTO, "no VF is set")
def pulled(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.pull_cable()
    relay.wait("pf is not ready", interface="pf0")
    yield
    assert world.pf0.nic.calls()[0] == 0


@fault("both switches fall silent, with --group pf0,pf1", DISABLED, "pf1 is said to be kept")
def last_path(world: World) -> Iterator[None]:
    relay = world.relay("--group", "pf0,pf1")
    world.outage(world.pf0)
    world.silence(world.pf1)
    relay.wait("last path of a group is kept", interface="pf1")
    yield
    assert world.pf1.nic.calls()[0] == 0


@fault("both switches fall silent", "pf0: 4 disable, pf1: 2 disable")
def both_silent(world: World) -> Iterator[None]:
    world.relay()
    world.silence(world.pf0, world.pf1)
    yield


@fault("W21: the bond asks for the slow rate", AUTO, "said at the start")
def slow_rate(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    world.pf0.delete_bond()
    world.pf0.make_bond(lacp_rate="slow")
    relay = world.relay(up=("pf1",))
    relay.wait("pf is using slow lacp rate", interface="pf0", timeout=40)
    yield


@fault(
    "W22: two PFs in one bond, each to a switch of its own: the second is idle",
    "pf0: 4 auto, pf1: 2 disable",
    "said of both",
)
def two_in_one_bond(world: World) -> Iterator[None]:
    world.pf0.disturbed = world.pf1.disturbed = True
    world.pf1.delete_bond()
    ip("link set pf1 master bond0")
    relay = world.relay(up=("pf0",))
    for pf in ("pf0", "pf1"):
        assert relay.wait("pf is not alone in its bond", interface=pf)["ports"] == 2
    yield
