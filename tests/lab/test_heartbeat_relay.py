"""A relay's heartbeat, against the kernel's own bonding as PF and as switch."""

import signal
import time
from collections.abc import Iterator

import pytest
from relay_process import RelayProcess
from topology import Lab, wait_for

from pfstatus import HeartbeatMode


def disabled(lab: Lab) -> set[str]:
    """The PFs whose VFs are disabled."""
    return {port.pf for port in lab.ports if set(port.nic.vf_states().values()) == {"disable"}}


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_relay_that_was_stopped_takes_its_own_lateness_for_nobodys(mode: HeartbeatMode) -> None:
    with RelayProcess("pf0", "--heartbeat", mode) as relay:
        relay.wait("partner was learned", 90, interface="pf0")
        for _ in range(3):
            relay.process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            relay.process.send_signal(signal.SIGCONT)
            time.sleep(2)
        assert not relay.said("partner is silent")
        assert not relay.said("lacp is down")


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_where_the_switch_asks_for_the_slow_rate_the_relay_notices_as_soon(
    lab: Lab, mode: HeartbeatMode
) -> None:
    port = lab.ports[0]
    port.make_switch_bond(lacp_rate="slow")
    for each in lab.ports:
        each.nic.num_vfs = 2
    with RelayProcess("pf0", "pf1", "--heartbeat", mode) as relay:
        for each in lab.ports:
            relay.wait("partner was learned", 120, interface=each.pf)
        port.lacp_block("to-pf")
        relay.wait("partner is silent", interface="pf0", acted_upon=True)
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        assert port.lacp_up(), "the kernel does not know yet"
        relay.wait("silence of the partner was confirmed", interface="pf0")
        assert disabled(lab) == {"pf0"}


def test_where_our_bond_asks_for_the_slow_rate_the_relay_says_that_it_waits(lab: Lab) -> None:
    lab.ports[0].remake_bond(lacp_rate="slow")
    with RelayProcess("pf0", "--heartbeat", "late") as relay:
        reason = "the partner is asked for the slow rate (bond option lacp_rate), where silence is"
        wait_for(
            lambda: any(
                line["reason"].startswith(reason) for line in relay.said("partner is not asked")
            ),
            60,
            "the reason",
        )


def test_where_our_bond_asks_for_the_slow_rate_the_relay_need_not_wait_for_90_s(lab: Lab) -> None:
    port = lab.ports[0]
    for each in lab.ports:
        each.remake_bond(lacp_rate="slow")
        each.nic.num_vfs = 2
    with RelayProcess("pf0", "pf1", "--heartbeat", "late", "--heartbeat-slow") as relay:
        for each in lab.ports:
            relay.wait("partner was learned", 120, interface=each.pf)
        port.lacp_block("to-pf")
        relay.wait("partner is silent", 10, interface="pf0", acted_upon=True)
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        assert port.lacp_up()
        port.lacp_unblock()
        relay.wait("vf link state was set", 60, count=2, interface="pf0", state="auto")
        assert len(relay.said("silence of the partner was a false alarm", interface="pf0")) == 1


def test_without_the_capability_all_else_goes_on(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 2
    prefix = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    with RelayProcess("pf0", "--heartbeat", "late", "--revive", prefix=prefix) as relay:
        relay.wait_up("pf0")
        reason = relay.wait("partner is not asked", interface="pf0")["reason"]
        assert "CAP_NET_RAW" in reason
        port.lacp_block("to-pf")
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        port.lacp_unblock()
        relay.wait("vf link state was set", 30, count=2, interface="pf0", state="auto")
        assert len(relay.said("partner is not asked")) == 1


def test_both_switches_mute_leave_the_last_path_alone(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 2
    with RelayProcess("pf0", "pf1", "--heartbeat", "pulse") as relay:
        relay.wait("partner was learned", 90, interface="pf0")
        relay.wait("partner was learned", 90, interface="pf1")
        lab.ports[0].lacp_block("to-pf")
        relay.wait("partner is silent", interface="pf0", acted_upon=True)
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        assert lab.ports[0].lacp_up(), "the kernel does not know yet"
        relay.wait("silence of the partner was confirmed", interface="pf0")
        lab.ports[1].lacp_block("to-pf")
        relay.wait("partner is silent", interface="pf1", acted_upon=False)
        assert set(lab.ports[1].nic.vf_states().values()) == {"auto"}


def test_a_defaulted_pf_is_revived(lab: Lab) -> None:
    port = lab.ports[0]
    with RelayProcess("pf0", "--revive") as relay:
        relay.wait_up("pf0")
        port.lacp_block()
        wait_for(lambda: port.port_states()[1] in (0, 1), 12, "DEFAULTED")
        port.lacp_unblock()
        began = time.monotonic()
        relay.wait("lacp was revived", 10, interface="pf0")
        print(f"revived {time.monotonic() - began:.2f} s after the switch spoke")
    assert port.lacp_up()


@pytest.fixture
def sixteen(whole_lab: Lab) -> Iterator[Lab]:
    lab = Lab(16)
    lab.up()
    yield lab
    whole_lab.up()


def test_16_pfs_of_which_15_fall_silent(sixteen: Lab) -> None:
    for port in sixteen.ports:
        port.nic.num_vfs = 2
    names = [port.pf for port in sixteen.ports]
    with RelayProcess(*names, "--heartbeat", "pulse") as relay:
        for name in names:
            relay.wait("partner was learned", 120, interface=name)
        assert not relay.said("partner is silent")
        sixteen.mute(sixteen.ports[1:])
        for name in names[1:]:
            relay.wait("partner is silent", interface=name, acted_upon=True)
        wait_for(lambda: disabled(sixteen) == set(names[1:]), 5, "VFs of 15 PFs disabled")
        assert not relay.said("partner is silent", interface="pf0")
