"""The agent on a real kernel: what `pfstatus relay` does beyond the short relay."""

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from relay_process import PFSTATUS, RelayProcess
from topology import Lab, Port, wait_for

from pfstatus.agent import lacpdus

AGENT = (*PFSTATUS, "relay")
BOTH = ("pf0", "pf1")


def all_in(port: Port, state: str) -> Callable[[], bool]:
    """Whether the PF has VFs and all of them are in this link state."""
    return lambda: set(port.nic.vf_states().values()) == {state}


def test_pod_goes_on_talking_while_both_switches_stop_lacp_and_go_on_forwarding(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 2
    pod = lab.pod()
    with RelayProcess("--group", "pf0,pf1", program=AGENT) as relay:
        relay.wait_up(*BOTH)
        with pod.ping() as ping:
            for port in lab.ports:
                port.lacp_block("to-pf")
            for port in lab.ports:
                relay.wait("lacp is down", interface=port.pf)
            kept = relay.wait("last path of a group is kept")["interface"]
            (last,) = (port for port in lab.ports if port.pf == kept)
            (other,) = (port for port in lab.ports if port is not last)
            wait_for(all_in(other, "disable"), 5, "VFs of the first that failed disabled")
            wait_for(lambda: pod.active_slave() == f"{kept}v0", 5, "the pod on the last path")
            assert all_in(last, "auto")()
        assert ping.longest_gap < 2
        assert ping.received > ping.sent / 2

        other.lacp_unblock()
        wait_for(all_in(other, "auto"), 40, "VFs of the first that is back given back")
        wait_for(all_in(last, "disable"), 5, "VFs of the one that was kept disabled")
        assert relay.wait("group has a path again")["group"] == list(BOTH)


def test_drill_is_left_alone_by_a_relay_and_after_kill_9_ended_by_it(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 3
    port = lab.ports[0]
    command = [*PFSTATUS, "drill", "pf0", "--vfs", "0,1", "--yes", "--for"]
    with RelayProcess(*BOTH, program=AGENT) as relay:
        relay.wait_up(*BOTH)
        done = subprocess.run([*command, "2s"], capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        assert done.returncode == 0
        assert "will leave them alone" in " ".join(done.stdout.split())
        assert all_in(port, "auto")()
        relay.wait("fire drill disables vfs", interface="pf0", ids=[0, 1])
        assert not relay.said("vf link state was set")

        with subprocess.Popen([*command, "10m"]) as drill:
            disabled = {0: "disable", 1: "disable", 2: "auto"}
            wait_for(lambda: port.nic.vf_states() == disabled, 60, "the drill's VFs disabled")
            drill.send_signal(signal.SIGKILL)
        wait_for(all_in(port, "auto"), 3, "VFs given back by the relay")
        relay.wait("fire drill was killed, its vfs are given back", ids=[0, 1])
        assert not list(Path("/run/pfstatus").glob("drill-*"))

        lab.ports[1].lacp_block("to-pf")
        relay.wait("lacp is down", interface="pf1")
        refused = subprocess.run([*command, "2s"], capture_output=True, text=True, check=False)
        assert refused.returncode == 3
        assert "no other PF is up" in refused.stderr


def test_kernels_count_of_lacpdus_is_read(lab: Lab) -> None:
    ifindex = lab.ports[0].ifindex
    before = lacpdus.read(ifindex)
    assert before is not None

    def both_grow() -> bool:
        now = lacpdus.read(ifindex)
        return now is not None and min(now[0] - before[0], now[1] - before[1]) >= 2

    wait_for(both_grow, 20, "LACPDUs counted both ways")
    assert lacpdus.read(socket.if_nametoindex("lo")) is None


def test_release_gives_back_what_a_killed_relay_left(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 3
    port.set_vfs("disable", 2)
    release = [*PFSTATUS, "relay", "pf0", "--restore", "owned", "--release"]
    with RelayProcess("pf0", "--restore", "owned", program=AGENT) as relay:
        relay.wait_up("pf0")
        port.lacp_block("to-pf")
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        busy = subprocess.run(release, capture_output=True, text=True, check=False)
        assert (busy.returncode, "serves it" in busy.stderr) == (3, True)
        relay.process.kill()
    assert all_in(port, "disable")()
    assert subprocess.run(release, check=False).returncode == 0
    assert port.nic.vf_states() == {0: "auto", 1: "auto", 2: "disable"}


def test_reload_adds_and_drops_pfs(lab: Lab, tmp_path: Path) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 2
        port.lacp_block("to-pf")
    for port in lab.ports:
        port.wait_lacp(up=False)
    file = tmp_path / "relay.toml"
    file.write_text('interfaces = ["pf0"]\non_exit = "restore"\n')
    with RelayProcess("--config", str(file), program=AGENT) as relay:
        wait_for(all_in(lab.ports[0], "disable"), 30, "VFs of pf0 disabled")
        assert all_in(lab.ports[1], "auto")()
        file.write_text('interfaces = ["pf1"]\non_exit = "restore"\n')
        relay.process.send_signal(signal.SIGHUP)
        wait_for(all_in(lab.ports[1], "disable"), 5, "VFs of pf1 disabled")
        wait_for(all_in(lab.ports[0], "auto"), 5, "VFs of pf0 given back")
        file.write_text("interfaces = []\n")
        relay.process.send_signal(signal.SIGHUP)
        relay.wait("failed to reload the configuration")
        assert all_in(lab.ports[1], "disable")()
        assert relay.terminate()[0] == 0
    assert all_in(lab.ports[1], "auto")()
