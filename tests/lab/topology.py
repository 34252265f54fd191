"""The lab's network, built and driven from inside the guest.

    namespace sw              host                      namespace pod (Pod)

    br0 --- sbond0 - sw0 ==== pf0 - bond0   pf0v0 --+
        |                                           net0 (active-backup)
        +-- sbond1 - sw1 ==== pf1 - bond1   pf1v0 --+

bond0, bond1, sbond0, sbond1 are 802.3ad with the fast LACP rate, each with one port; `====` are
cables. br0 has SWITCH_ADDRESS.
"""

import json
import math
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from nic import Nic, lacp_up

SWITCH_ADDRESS = "192.0.2.1"
POD_ADDRESS = "192.0.2.2"
LACP_SECONDS = 10.0
"""Limit for LACP to come up from nothing; bonding itself waits 2 s before it attaches a port."""

Direction = Literal["both", "to-pf", "to-switch"]

_LACP_BOND = "bond mode 802.3ad lacp_rate fast miimon 100 min_links 1"
_ETH_P_SLOW = "0x8809"


def run(*command: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """Runs a command and gives its output; what it said on stderr is in the exception."""
    done = subprocess.run(
        command, input=stdin, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}\n{stdin}")
    return done.stdout


def ip(*commands: str, netns: str | None = None) -> None:
    """Runs several `ip` commands in one process: processes are dear under emulation."""
    where = ["-n", netns] if netns else []
    if commands:
        run("ip", *where, "-batch", "-", stdin="".join(f"{command}\n" for command in commands))


def links(netns: str | None = None) -> list[dict[str, Any]]:
    """What `ip -d link` shows, as JSON."""
    where = ["-n", netns] if netns else []
    found: list[dict[str, Any]] = json.loads(run("ip", "-j", "-d", *where, "link", "show"))
    return found


def wait_for(
    condition: Callable[[], object], timeout: float, what: str, *, every: float = 0.01
) -> None:
    """Returns once the condition holds, which is looked at `every` so many seconds.

    Raises:
        TimeoutError: it did not within `timeout` seconds; says `what`.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(every)


class Port:
    """A PF, its bond, its cable, and the switch port at the other end."""

    def __init__(self, index: int) -> None:
        self.nic = Nic(index)
        self.pf = f"pf{index}"
        self.bond = f"bond{index}"
        self.switch_port = f"sw{index}"
        self.switch_bond = f"s{self.bond}"
        self.blocked = False
        self.disturbed = False
        """LACP may have lost PDUs since `Lab.reset()`, even where it still reads up."""

    def __repr__(self) -> str:
        return f"Port({self.pf})"

    @property
    def ifindex(self) -> int:
        """The PF's interface index, another one after each `create_pf()`."""
        return int(Path(f"/sys/class/net/{self.pf}/ifindex").read_text())

    # LACP

    def port_states(self) -> tuple[int | None, int | None]:
        """Actor's and partner's port state as bonding shows them; None where it shows none."""
        states: list[int | None] = []
        for end in ("actor", "partner"):
            file = Path(f"/sys/class/net/{self.pf}/bonding_slave/ad_{end}_oper_port_state")
            try:
                states.append(int(file.read_text()))
            except (OSError, ValueError):  # no bond port, or "N/A"
                states.append(None)
        return states[0], states[1]

    def lacp_up(self) -> bool:
        """Whether LACP is up at both ends."""
        return lacp_up(*self.port_states())

    def wait_lacp(self, *, up: bool, timeout: float = LACP_SECONDS) -> None:
        """Returns once LACP is up, or is not.

        Raises:
            TimeoutError: not within `timeout` seconds.
        """
        state = "up" if up else "down"
        wait_for(lambda: self.lacp_up() == up, timeout, f"LACP {state} on {self.pf}")

    def lacp_block(self, direction: Direction = "both") -> None:
        """Loses LACPDUs in the switch; the cable keeps its link.

        With `to-pf` recovery takes about 1 s. With `both` the two ends reach DEFAULTED after 6 s,
        where they send slowly: from there recovery takes up to 30 s. With `to-switch` the PF only
        learns from its partner's state that it is not heard, which the kernel does not announce;
        kept up for 9 s, it ends as `both` does.
        """
        commands = [f"qdisc replace dev {self.switch_port} clsact"]
        for hook, name in (("egress", "to-pf"), ("ingress", "to-switch")):
            if direction in ("both", name):
                match = f"protocol {_ETH_P_SLOW} matchall action drop"
                commands.append(f"filter replace dev {self.switch_port} {hook} pref 1 {match}")
        self.blocked = self.disturbed = True
        run("tc", "-n", "sw", "-batch", "-", stdin="\n".join(commands) + "\n")

    def lacp_unblock(self) -> None:
        """Lets LACPDUs pass again, in both directions."""
        if self.blocked:
            run("tc", "-n", "sw", "qdisc", "del", "dev", self.switch_port, "clsact")
            self.blocked = False

    def pull_cable(self) -> None:
        """Takes the link away from both ends of the cable."""
        self.disturbed = True
        ip(f"link set {self.switch_port} down", netns="sw")

    # PF, bond, other masters

    def remove_pf(self) -> None:
        """As when its driver is unloaded: the PF's and its VFs' netdevs go away."""
        self.nic.present = False

    def create_pf(self) -> None:
        """As when its driver is loaded: same name, new ifindex, no VFs, no master, down."""
        self.nic.present = True

    def make_bond(self, mode: str = "802.3ad", *, lacp_rate: str = "fast") -> None:
        """Makes the bond, with the PF as its only port, and sets both up."""
        rate = f"lacp_rate {lacp_rate} min_links 1" if mode == "802.3ad" else ""
        ip(
            f"link add {self.bond} type bond mode {mode} miimon 100 {rate}",
            f"link set {self.pf} master {self.bond}",
            f"link set {self.bond} up",
        )

    def remake_bond(self, *, lacp_rate: str) -> None:
        """Makes the bond anew, and returns once LACP is up again."""
        self.disturbed = True
        self.delete_bond()
        self.make_bond(lacp_rate=lacp_rate)
        self.wait_lacp(up=True, timeout=60)

    def make_switch_bond(self, *, lacp_rate: str) -> None:
        """Has the switch ask for a rate, and returns once it does and LACP is up again."""
        self.disturbed = True
        ip(
            f"link set {self.switch_bond} down",
            f"link set {self.switch_bond} type bond lacp_rate {lacp_rate}",
            f"link set {self.switch_bond} up",
            netns="sw",
        )
        asks = (0x3F, 0x3D if lacp_rate == "slow" else 0x3F)
        wait_for(lambda: self.port_states() == asks, 60, f"LACP up, {lacp_rate} rate asked")

    def delete_bond(self) -> None:
        """Leaves the PF without a master and, as bonding does it, down."""
        ip(f"link del {self.bond}")

    def set_master(self, name: str, kind: str = "", options: str = "") -> None:
        """Puts the PF into `name`, which is made first if `kind` is given (bridge, vrf, team).

        Args:
            name: the master's name.
            kind: its kind, as `ip link add type` wants it.
            options: what follows the kind, such as `table 10` for a VRF.
        """
        made = [f"link add {name} type {kind} {options}", f"link set {name} up"] if kind else []
        ip(*made, f"link set {self.pf} master {name}", f"link set {self.pf} up")

    def clear_master(self) -> None:
        """Takes the PF out of whatever it is in."""
        ip(f"link set {self.pf} nomaster")

    # VFs

    def set_vfs(self, state: str, *vfs: int) -> None:
        """Sets these VFs' link states by `ip`, as an administrator or a CNI would."""
        ip(*(f"link set {self.pf} vf {vf} state {state}" for vf in vfs))


@dataclass(slots=True)
class Ping:
    """What a stretch of pings met with; filled when it has ended."""

    sent: int = 0
    received: int = 0
    longest_gap: float = math.inf
    """Longest time between two replies, in seconds."""

    @property
    def lost(self) -> int:
        """Pings without a reply."""
        return self.sent - self.received

    def _read(self, output: str) -> None:
        counts = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        if not counts:
            raise RuntimeError(f"ping ended otherwise than told:\n{output}")
        self.sent, self.received = int(counts[1]), int(counts[2])
        replies = [float(t) for t in re.findall(r"^\[([\d.]+)\] \d+ bytes", output, re.MULTILINE)]
        self.longest_gap = max((b - a for a, b in pairwise(replies)), default=math.inf)


class Pod:
    """Namespace `pod`: one VF of each PF in an active-backup bond, as users of the relay run it."""

    def __init__(self, vf: int = 0) -> None:
        slaves = [f"pf{port}v{vf}" for port in (0, 1)]
        ip("netns add pod", *(f"link set {slave} netns pod" for slave in slaves))
        ip(
            "link add net0 type bond mode active-backup miimon 100",
            *(f"link set {slave} master net0" for slave in slaves),
            "link set net0 up",
            f"addr add {POD_ADDRESS}/24 dev net0",
            netns="pod",
        )
        wait_for(lambda: self.active_slave() is not None, 5, "a VF with link in the pod's bond")

    def active_slave(self) -> str | None:
        """The VF that the pod's traffic takes; None where neither has a link."""
        shown = json.loads(run("ip", "-n", "pod", "-j", "-d", "link", "show", "dev", "net0"))
        slave: str | None = shown[0]["linkinfo"]["info_data"].get("active_slave")
        return slave

    @contextmanager
    def ping(self, interval: float = 0.02) -> Iterator[Ping]:
        """Pings the switch for as long as the `with` block lasts."""
        ping = Ping()
        command = f"ip netns exec pod ping -n -D -i {interval} {SWITCH_ADDRESS}"
        with tempfile.TemporaryFile("w+") as output:
            with subprocess.Popen(command.split(), stdout=output) as process:
                try:
                    yield ping
                finally:
                    process.send_signal(signal.SIGINT)
            output.seek(0)
            ping._read(output.read())


class Lab:
    """The whole topology: two ports, with LACP up on both."""

    def __init__(self, ports: int = 2) -> None:
        self.ports = tuple(Port(index) for index in range(ports))
        self._links: list[object] = []

    def up(self, *, exact: bool = False) -> None:
        """Makes everything anew and returns with LACP up on all PFs.

        Args:
            exact: slow NICs take their time exactly, by the lab's exact clock.
        """
        self.down()
        run("modprobe", "bonding", "max_bonds=0")
        run("modprobe", "nicsim", f"ports={len(self.ports)}", f"busy={exact:d}")
        ip(
            "netns add sw",
            *(f"link set {port.switch_port} netns sw" for port in self.ports),
        )
        ip(
            "link add br0 type bridge",
            f"addr add {SWITCH_ADDRESS}/24 dev br0",
            "link set br0 up",
            netns="sw",
        )
        self._wire()

    def down(self) -> None:
        """Takes everything away, whoever made it."""
        if Path("/sys/module/nicsim").exists():
            self._reset_nics()
            run("rmmod", "nicsim")
        _delete_netns("pod", "sw")
        _delete_links()

    def reset(self) -> None:
        """Returns to where `up()` ended, with new PFs if need be, in as short a time as is honest.

        Where nothing was touched but VFs and knobs, LACP is left alone; else both ends are made
        anew, since negotiating from nothing takes 3 s, but recovering from DEFAULTED up to 30 s.
        """
        self._reset_nics()
        _delete_netns("pod")
        if any(port.disturbed for port in self.ports) or self._seen() != self._links:
            self._unwire()
            self._wire()

    def mute(self, ports: Sequence[Port]) -> None:
        """Loses the LACPDUs to these PFs: LACP expires on them within 4 s."""
        for port in ports:
            port.lacp_block("to-pf")

    def unmute(self, ports: Sequence[Port]) -> None:
        """Ends that."""
        for port in ports:
            port.lacp_unblock()

    def pod(self, vf: int = 0) -> Pod:
        """Makes the pod, of which there is one; the VFs must be there."""
        return Pod(vf)

    def _wire(self) -> None:
        for port in self.ports:
            port.make_bond()
        ip(
            *(
                command
                for port in self.ports
                for command in (
                    f"link add {port.switch_bond} type {_LACP_BOND}",
                    f"link set {port.switch_port} master {port.switch_bond}",
                    f"link set {port.switch_bond} master br0",
                    f"link set {port.switch_bond} up",
                )
            ),
            netns="sw",
        )
        for port in self.ports:
            port.wait_lacp(up=True)
            port.nic.reset_trace()
        self._links = self._seen()

    def _reset_nics(self) -> None:
        """All at once: the kernel sleeps for a second when VFs go."""
        nics = [port.nic for port in self.ports if port.nic.there]
        with ThreadPoolExecutor(len(self.ports)) as pool:
            list(pool.map(Nic.reset, nics))

    def _unwire(self) -> None:
        for port in self.ports:
            port.lacp_unblock()
            port.remove_pf()
        _delete_links()
        ip(*(f"link del {port.switch_bond}" for port in self.ports), netns="sw")
        for port in self.ports:
            port.create_pf()
            port.disturbed = False

    def _seen(self) -> list[object]:
        """What a test may have changed of the links, and whether LACP is up."""
        seen: list[object] = [port.lacp_up() for port in self.ports]
        for link in (*links(), *links("sw")):
            identity = [link[key] for key in ("ifname", "ifindex", "address", "mtu")]
            info = link.get("linkinfo", {})
            mode = info.get("info_data", {}).get("mode")
            up = "UP" in link["flags"]
            seen.append((*identity, link.get("master"), link.get("altnames"), mode, up))
        return seen


class Crowd(Lab):
    """Many PFs that lose LACP in one instant, as when a switch dies.

    They are ports of one bond and so are their switch ports, so that one tick of one state machine
    expires them all, and the kernel announces that under one hold of its lock.
    """

    def mute(self, ports: Sequence[Port]) -> None:
        assert len(ports) == len(self.ports)
        drop = f"filter add block 1 pref 1 protocol {_ETH_P_SLOW} matchall action drop"
        run("tc", "-n", "sw", *drop.split())

    def unmute(self, ports: Sequence[Port]) -> None:
        assert len(ports) == len(self.ports)
        run("tc", "-n", "sw", "filter", "del", "block", "1", "pref", "1")

    def reset(self) -> None:
        """Has no VFs and no faults."""
        self._reset_nics()

    def _wire(self) -> None:
        bond, switch_bond = self.ports[0].bond, self.ports[0].switch_bond
        ip(
            f"link add {bond} type {_LACP_BOND}",
            *(f"link set {port.pf} master {bond}" for port in self.ports),
            f"link set {bond} up",
        )
        ip(
            f"link add {switch_bond} type {_LACP_BOND}",
            *(f"link set {port.switch_port} master {switch_bond}" for port in self.ports),
            f"link set {switch_bond} master br0",
            f"link set {switch_bond} up",
            netns="sw",
        )
        blocks = (f"qdisc add dev {port.switch_port} egress_block 1 clsact" for port in self.ports)
        run("tc", "-n", "sw", "-batch", "-", stdin="\n".join(blocks) + "\n")
        for port in self.ports:
            port.wait_lacp(up=True, timeout=3 * LACP_SECONDS)


def _delete_netns(*names: str) -> None:
    there = [name for name in names if Path(f"/run/netns/{name}").exists()]
    ip(*(f"netns del {name}" for name in there))


def _delete_links() -> None:
    """Deletes what somebody added: all links but those that a device or the kernel brought."""
    added = [link["ifname"] for link in links() if "info_kind" in link.get("linkinfo", {})]
    ip(*(f"link del {name}" for name in added))
