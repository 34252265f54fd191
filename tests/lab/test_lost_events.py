"""Events that the kernel had to drop (ENOBUFS), with older ones still in the queue."""

import signal
import time

from relay_process import RelayProcess
from topology import Lab, ip, wait_for


def test_loss_of_lacp_among_the_dropped_events_is_found_at_once(lab: Lab) -> None:
    """The older events say that LACP is up: who believes them looks again a minute later."""
    port = lab.ports[0]
    port.nic.num_vfs = 2
    with RelayProcess("--interval", "60000", "pf0") as relay:
        relay.wait_up("pf0")
        relay.process.send_signal(signal.SIGSTOP)
        ip(*(f"link set dev pf0 alias {number}" for number in range(10000)))
        lab.mute([port])
        port.wait_lacp(up=False)
        time.sleep(0.5)
        relay.process.send_signal(signal.SIGCONT)
        relay.wait("events were lost, asking for everything")
        wait_for(lambda: set(port.nic.vf_states().values()) == {"disable"}, 15, "VFs disabled")
