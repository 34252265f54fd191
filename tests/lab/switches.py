"""What may be at the other end of a cable: Linux bonding, Open vSwitch, teamd, DPDK.

All but the first take a port's end of the cable, `sw0`, out of its bond in namespace `sw` and speak
LACP on it by themselves; of several ports each is a LAG of its own. What they do differently is why
they are here:

    OpenVSwitch  one interface: it sends LACPDUs with Aggregation clear (Individual)
    Teamd        as in SONiC: answers at once
    Dpdk         its bonding in mode 4: asks for the slow rate, and sends twice a second at most
"""

import json
import os
import shlex
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from nic import lacp_up
from switch_programs import LIBRARIES
from topology import Port, ip, links, run, wait_for

_START_SECONDS = 30.0
_DPDK_MIB = 128
_DPDK_STATES = Path("/run/dpdk-states")


class Switch:
    """The other end of some ports' cables; a context manager, in which it is there."""

    def __init__(self, *ports: Port) -> None:
        self.ports = ports

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        return

    def mute(self, muted: bool) -> None:
        """Loses the LACPDUs that it sends, or no more."""
        for port in self.ports:
            if muted:
                port.lacp_block("to-pf")
            else:
                port.lacp_unblock()

    def isolate(self, isolated: bool) -> None:
        """Loses all LACPDUs to and from it, or no more: after 6 s both ends are DEFAULTED."""
        for port in self.ports:
            if isolated:
                port.lacp_block()
            else:
                port.lacp_unblock()


class LinuxBonding(Switch):
    """The kernel's own, as topology.py has it."""


class Program(Switch, ABC):
    """A program that speaks LACP.

    Afterwards the ports' ends of the cables are in bonds again, and `Lab.reset()` makes all anew.
    """

    def __init__(self, *ports: Port) -> None:
        super().__init__(*ports)
        root = Path(os.environ["LAB_SWITCHES"])
        self._env = {
            **os.environ,
            "PATH": f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": f"{root}/{LIBRARIES}:{root}/lib/x86_64-linux-gnu",
        }
        self._root = root
        self._running: list[subprocess.Popen[bytes]] = []
        self._speakers: list[tuple[str, ...]] = []
        """The commands that speak LACP, the last of those that run."""

    def __enter__(self) -> Self:
        self._disturb()
        ip(*(f"link del {port.switch_bond}" for port in self.ports), netns="sw")
        try:
            self._start()
            who = type(self).__name__
            wait_for(self.negotiated, _START_SECONDS, f"LACP up on {who}", every=0.1)
            for port in self.ports:
                port.wait_lacp(up=True, timeout=_START_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end()

    def _end(self) -> None:
        self.pause(False)
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        for port in self.ports:
            ip(
                f"link set {port.switch_port} down",
                f"link add {port.switch_bond} type bond",
                netns="sw",
            )

    def _disturb(self) -> None:
        for port in self.ports:
            port.disturbed = True

    def pause(self, paused: bool) -> None:
        """Stops the program where it stands, as when a switch's CPU hangs, or lets it go on."""
        for process in self._running:
            process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def restart(self) -> None:
        """Kills what speaks LACP, as a crash does, and starts it again at once."""
        self._disturb()
        for command in self._kill():
            self._speak(*command)

    def _kill(self) -> list[tuple[str, ...]]:
        """Kills what speaks LACP. Returns the commands."""
        commands, self._speakers = self._speakers, []
        for _ in commands:
            process = self._running.pop()
            process.kill()
            process.wait(10)
        return commands

    @abstractmethod
    def negotiated(self) -> bool:
        """Whether LACP is up on each port, by its own account."""

    @abstractmethod
    def _start(self) -> None: ...

    def _inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", "sw", *command]

    def _spawn(self, *command: str) -> None:
        self._running.append(subprocess.Popen(self._inside(*command), env=self._env))

    def _speak(self, *command: str) -> None:
        self._speakers.append(command)
        self._spawn(*command)

    def _run(self, *command: str) -> str:
        return run(*self._inside(*command), env=self._env)

    def _shown(self, *command: str) -> str:
        """What a program says of itself; nothing while it does not listen yet."""
        try:
            return self._run(*command)
        except RuntimeError:
            return ""


class OpenVSwitch(Program):
    """A LAG of one interface with `lacp=active` for each port, bridged to `br0`."""

    def _start(self) -> None:
        run("modprobe", "openvswitch")
        state = Path("/run/openvswitch")
        state.mkdir(exist_ok=True)
        for file in state.iterdir():
            file.unlink()
        self._env |= {"OVS_RUNDIR": str(state), "OVS_DBDIR": str(state), "OVS_LOGDIR": str(state)}
        schema = self._root / "usr/share/openvswitch/vswitch.ovsschema"
        self._run("ovsdb-tool", "create", str(state / "conf.db"), str(schema))
        self._spawn(
            *("ovsdb-server", "-vconsole:err", f"--remote=punix:{state / 'db.sock'}"),
            str(state / "conf.db"),
        )
        # Its socket is there a moment before it listens.
        self._run("ovs-vsctl", "--retry", f"--timeout={_START_SECONDS:.0f}", "--no-wait", "init")
        self._speak(
            str(self._root / "usr/lib/openvswitch-switch/ovs-vswitchd"),
            "-vconsole:err",
            f"unix:{state}/db.sock",
            f"--unixctl={state}/ctl",
        )
        ip(
            "link add ovs0 type veth peer name ovs1",
            "link set ovs1 master br0",
            "link set ovs0 up",
            "link set ovs1 up",
            netns="sw",
        )
        self._run("ovs-vsctl", "add-br", "ovsbr0", "--", "add-port", "ovsbr0", "ovs0")
        for port in self.ports:
            sw = port.switch_port
            self._run(
                *("ovs-vsctl", "add-port", "ovsbr0", sw),
                *("--", "set", "port", sw, "lacp=active", "other_config:lacp-time=fast"),
            )
            ip(f"link set {sw} up", netns="sw")

    def _end(self) -> None:
        self.pause(False)
        if self._speakers:
            self._run("ovs-appctl", "-t", "/run/openvswitch/ctl", "exit", "--cleanup")
            self._running[-1].wait(_START_SECONDS)  # until then the kernel's datapath has the port
        super()._end()
        if "ovs0" in {link["ifname"] for link in links("sw")}:
            ip("link del ovs0", netns="sw")

    def negotiated(self) -> bool:
        shown = self._shown("ovs-appctl", "-t", "/run/openvswitch/ctl", "lacp/show")
        return shown.count("status: active negotiated") == len(self.ports)


class Teamd(Program):
    """The runner `lacp` of one port for each, bridged to `br0`."""

    def _start(self) -> None:
        run("modprobe", "team")
        for port in self.ports:
            sw, team = port.switch_port, self._team(port)
            config = {
                "device": team,
                "runner": {"name": "lacp", "active": True, "fast_rate": True},
                "link_watch": {"name": "ethtool"},
                "ports": {sw: {}},
            }
            ip(f"link set {sw} down", netns="sw")
            self._speak("teamd", "-U", "-c", json.dumps(config))
            wait_for(
                lambda team=team: team in {link["ifname"] for link in links("sw")},
                _START_SECONDS,
                "teamd",
            )
            ip(f"link set {team} master br0", f"link set {team} up", netns="sw")

    def restart(self) -> None:
        """Kills it and starts it again at once, with a new device.

        One that takes the old device over, as `teamd -o` does, sends no LACPDU any more: of a port
        that has a master already libteam does not learn the address to send from, update_hwaddr().
        """
        self._disturb()
        self._kill()
        ip(*(f"link del {self._team(port)}" for port in self.ports), netns="sw")
        self._start()

    def negotiated(self) -> bool:
        shown = (self._shown("teamdctl", self._team(port), "state", "dump") for port in self.ports)
        return all('"state": "current"' in state for state in shown)

    def _team(self, port: Port) -> str:
        return f"team-{port.switch_port}"


class Dpdk(Program):
    """DPDK's bonding of one port for each, in dpdk_switch.c, which bridges them to `br0`."""

    def _start(self) -> None:
        devices = []
        for number, port in enumerate(self.ports):
            sw = port.switch_port
            ip(
                f"link add {sw}-dpdk type veth peer name {sw}-br",
                f"link set {sw}-br master br0",
                *(f"link set {device} up" for device in (sw, f"{sw}-dpdk", f"{sw}-br")),
                netns="sw",
            )
            devices += [
                # Past its qdisc nothing could mute it.
                f"--vdev=net_af_packet{number},iface={sw},qdisc_bypass=0",
                f"--vdev=net_af_packet{number}_behind,iface={sw}-dpdk",
                f"--vdev=net_bonding{number},mode=4,slave=net_af_packet{number}",
            ]
        command = (
            *("dpdk_switch", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry"),
            *("-m", str(_DPDK_MIB), "-l", "0", "--log-level=error", *devices),
        )
        self._speak("sh", "-c", f"exec {shlex.join(command)} >{_DPDK_STATES}")

    def _end(self) -> None:
        super()._end()
        there = {link["ifname"] for link in links("sw")}
        names = {f"{port.switch_port}-dpdk" for port in self.ports}
        ip(*(f"link del {name}" for name in names & there), netns="sw")

    def negotiated(self) -> bool:
        lines = _DPDK_STATES.read_text().splitlines() if _DPDK_STATES.exists() else [""]
        states = [int(state, 16) for state in lines[-1].split()] if lines else []
        pairs = list(zip(states[::2], states[1::2], strict=True))
        return len(pairs) == len(self.ports) and all(lacp_up(*pair) for pair in pairs)

    def isolate(self, isolated: bool) -> None:
        """A packet socket hears a frame before `tc` drops it: so the PF's end loses it."""
        self.mute(isolated)
        drop = "egress protocol 0x8809 matchall action drop"
        for port in self.ports:
            if isolated:
                run(*f"tc qdisc replace dev {port.pf} clsact".split())
                run(*f"tc filter replace dev {port.pf} pref 1 {drop}".split())
            else:
                run(*f"tc qdisc del dev {port.pf} clsact".split())


PROGRAMS = (OpenVSwitch, Teamd, Dpdk)
SWITCHES = (LinuxBonding, *PROGRAMS)
