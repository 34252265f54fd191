"""examples/*.c on a real kernel; `make lab` builds them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from topology import Lab, wait_for

BUILD = Path(__file__).parents[2] / "build" / "lab"


@pytest.fixture
def relay(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    for port in lab.ports:
        port.nic.num_vfs = 4
    with subprocess.Popen([BUILD / "relay", "pf0", "pf1"]) as process:
        yield process
        process.kill()


def test_relay_in_c_disables_and_gives_back(lab: Lab, relay: subprocess.Popen[bytes]) -> None:
    nic, other = (port.nic for port in lab.ports)
    lab.ports[0].lacp_block("to-pf")
    wait_for(lambda: set(nic.vf_states().values()) == {"disable"}, 10, "VFs disabled")
    lab.ports[0].set_vfs("auto", 1)
    wait_for(lambda: set(nic.vf_states().values()) == {"disable"}, 5, "and again")
    lab.ports[0].lacp_unblock()
    wait_for(lambda: set(nic.vf_states().values()) == {"auto"}, 10, "VFs given back")
    assert set(other.vf_states().values()) == {"auto"}
    assert relay.poll() is None


def test_status_in_c_shows_what_the_kernel_shows(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 2
    port.set_vfs("disable", 1)
    shown = subprocess.run([BUILD / "status", "pf0"], capture_output=True, text=True, check=True)
    # Activity, Timeout, aggreGation, Synchronization, Collecting, Distributing at both ends.
    assert port.port_states() == (0x3F, 0x3F)
    assert "pf0: up." in shown.stdout
    assert shown.stdout.count("ATGSCD--") == 2
    assert "vf 0 auto\n  vf 1 disable\n" in shown.stdout
