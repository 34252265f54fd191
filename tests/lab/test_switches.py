"""The relay beside switches that are not Linux bonding; switches.py says in what they differ."""

import time
from collections.abc import Iterator

import pytest
from heartbeat import calm, follow
from relay_process import RelayProcess
from switches import PROGRAMS, OpenVSwitch, Program
from topology import Lab, ip, wait_for

import pfstatus
from pfstatus import Heartbeat, HeartbeatMode, HeartbeatState


@pytest.fixture(params=PROGRAMS, ids=lambda kind: kind.__name__)
def switch(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Program]:
    with request.param(lab.ports[0]) as switch:
        yield switch


def test_relay_leaves_a_healthy_port_up_and_follows_its_loss(lab: Lab, switch: Program) -> None:
    port = lab.ports[0]
    for each in lab.ports:
        each.nic.num_vfs = 2
    pod = lab.pod()
    ip("link set pf1v0 down", netns="pod")
    wait_for(lambda: pod.active_slave() == "pf0v0", 20, "the pod's traffic on this port")
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        relay.mark()
        with pod.ping() as ping:
            time.sleep(3)  # in which a relay that takes it for down has disabled its VFs
        assert not relay.said("lacp is down")
        assert set(port.nic.vf_states().values()) == {"auto"}
        assert ping.received > ping.sent / 2
        switch.mute(True)
        relay.wait("vf link state was set", 30, count=2, state="disable", interface="pf0")
        switch.mute(False)
        relay.wait("vf link state was set", 60, count=2, state="auto", interface="pf0")
        wait_for(switch.negotiated, 10, "LACP up by the switch's own account", every=0.1)


def test_heartbeat_learns_a_switch_and_notices_that_it_is_mute(lab: Lab, switch: Program) -> None:
    port = lab.ports[0]
    states = port.port_states()
    partner: pfstatus.Partner | None = None
    for mode in HeartbeatMode:
        known = [partner] if partner else []
        with Heartbeat("pf0", mode=mode, revive=True, known=known) as heartbeat:
            follow(heartbeat, "pf0", HeartbeatState.HEARD, 90)
            partner = heartbeat.partner("pf0")
            told = calm(heartbeat, 10)
            assert HeartbeatState.SILENT not in {beat.new for beat in told}
            assert port.port_states() == states
            assert switch.negotiated()
            switch.mute(True)
            beat = follow(heartbeat, "pf0", HeartbeatState.SILENT, 10)[-1]
            print(f"{type(switch).__name__}, {mode}: {beat}", heartbeat.counts("pf0"))
            assert port.lacp_up(), "the kernel does not know yet"
            switch.mute(False)
            follow(heartbeat, "pf0", HeartbeatState.HEARD, 60)
    assert partner
    assert partner.usable
    print(partner)


def test_heartbeat_goes_on_after_a_switch_was_killed(switch: Program) -> None:
    with Heartbeat("pf0", revive=True) as heartbeat:
        follow(heartbeat, "pf0", HeartbeatState.HEARD, 90)
        switch.restart()
        print(*calm(heartbeat, 10), sep="\n")
        follow(heartbeat, "pf0", HeartbeatState.HEARD, 90)
        wait_for(switch.negotiated, 30, "LACP up by the switch's own account", every=0.1)
        before = sum(heartbeat.counts("pf0").gaps)
        calm(heartbeat, 4)
        assert heartbeat.state("pf0") is HeartbeatState.HEARD
        assert sum(heartbeat.counts("pf0").gaps) - before >= 2


def test_open_vswitch_with_one_interface_is_individual(lab: Lab) -> None:
    with OpenVSwitch(lab.ports[0]), pfstatus.Session() as session:
        status = session.get("pf0")
    assert status.lacp.status is pfstatus.LacpStatus.UP
    assert pfstatus.PortState.AGGREGATION in status.actor
    assert pfstatus.PortState.AGGREGATION not in status.partner
