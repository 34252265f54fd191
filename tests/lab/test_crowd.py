"""Many PFs at once: what a node with every slot filled asks of filter, monitor and relay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_process import RelayProcess
from topology import Crowd, Lab, wait_for

OPTMEM_MAX = Path("/proc/sys/net/core/optmem_max")
MINUTE = ("--interval", "60000")
"""So that only what the kernel announces can be noticed in time."""


@pytest.fixture
def crowd(whole_lab: Lab) -> Iterator[Crowd]:
    crowd = Crowd(64)
    crowd.up()
    yield crowd
    whole_lab.up()


@pytest.fixture
def small_optmem() -> Iterator[None]:
    """What a socket's filter may take in all, as Linux had it before 6.8."""
    before = OPTMEM_MAX.read_text()
    OPTMEM_MAX.write_text("20480")
    yield
    OPTMEM_MAX.write_text(before)


@pytest.mark.usefixtures("small_optmem")
def test_64_pfs_that_lose_lacp_in_one_instant_are_all_served(crowd: Crowd) -> None:
    for port in crowd.ports:
        port.nic.num_vfs = 2

    def states() -> set[str]:
        return {state for port in crowd.ports for state in port.nic.vf_states().values()}

    with RelayProcess(*MINUTE, *(port.pf for port in crowd.ports)) as relay:
        relay.wait_up(*(port.pf for port in crowd.ports), timeout=60)
        crowd.mute(crowd.ports)
        wait_for(lambda: states() == {"disable"}, 30, "all VFs disabled", every=0.2)
        crowd.unmute(crowd.ports)
        wait_for(lambda: states() == {"auto"}, 60, "all VFs given back", every=0.2)
        status, _ = relay.terminate()
    assert status == 0
