"""The relay beside switches that are not Linux bonding; switches.py says in what they differ."""

import time
from collections.abc import Iterator

import pytest
from relay_process import RelayProcess
from switches import SWITCHES, OpenVSwitch, Switch
from topology import Lab, ip, wait_for

import pfstatus


@pytest.fixture(params=SWITCHES, ids=lambda kind: kind.__name__)
def switch(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Switch]:
    with request.param(lab.ports[0]) as switch:
        yield switch


def test_relay_leaves_a_healthy_port_up_and_follows_its_loss(lab: Lab, switch: Switch) -> None:
    port = switch.port
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
        assert switch.negotiated()


def test_open_vswitch_with_one_interface_is_individual(lab: Lab) -> None:
    with OpenVSwitch(lab.ports[0]), pfstatus.Session() as session:
        status = session.get("pf0")
    assert status.lacp.status is pfstatus.LacpStatus.UP
    assert pfstatus.PortState.AGGREGATION in status.actor
    assert pfstatus.PortState.AGGREGATION not in status.partner
