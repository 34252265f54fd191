"""Other switches than Linux bonding at the other end of a cable: Open vSwitch and teamd.

Each takes a port's end of the cable, `sw0`, out of its bond in namespace `sw` and speaks LACP on it
by itself, at the fast rate. What they do differently is why they are here:

    OpenVSwitch  one interface: it sends LACPDUs with Aggregation clear (Individual)
    Teamd        as in SONiC: answers at once
"""

import json
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from switch_programs import LIBRARIES
from topology import Port, ip, links, run, wait_for

_START_SECONDS = 30.0


class Switch(ABC):
    """A program that speaks LACP on a port's `sw0`; a context manager, in which it does.

    Afterwards the port's end of the cable is in a bond again, and `Lab.reset()` makes both anew.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        root = Path(os.environ["LAB_SWITCHES"])
        self._env = {
            **os.environ,
            "PATH": f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": f"{root}/{LIBRARIES}:{root}/lib/x86_64-linux-gnu",
        }
        self._root = root
        self._running: list[subprocess.Popen[bytes]] = []
        self._daemon: tuple[str, ...] = ()
        """The command that speaks LACP, the last of those that run."""

    def __enter__(self) -> Self:
        self.port.disturbed = True
        ip(f"link del {self.port.switch_bond}", netns="sw")
        try:
            self._start()
            who = type(self).__name__
            wait_for(self.negotiated, _START_SECONDS, f"LACP up on {who}", every=0.1)
            self.port.wait_lacp(up=True, timeout=_START_SECONDS)
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
        ip(
            f"link set {self.port.switch_port} down",
            f"link add {self.port.switch_bond} type bond",
            netns="sw",
        )

    def mute(self, muted: bool) -> None:
        """Loses the LACPDUs that it sends, or no more."""
        if muted:
            self.port.lacp_block("to-pf")
        else:
            self.port.lacp_unblock()

    def pause(self, paused: bool) -> None:
        """Stops the program where it stands, as when a switch's CPU hangs, or lets it go on."""
        for process in self._running:
            process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def restart(self) -> None:
        """Kills what speaks LACP, as a crash does, and starts it again at once."""
        self.port.disturbed = True
        process = self._running.pop()
        process.kill()
        process.wait(10)
        self._spawn(*self._daemon)

    @abstractmethod
    def negotiated(self) -> bool:
        """Whether LACP is up by its own account."""

    @abstractmethod
    def _start(self) -> None: ...

    def _inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", "sw", *command]

    def _spawn(self, *command: str) -> None:
        self._running.append(subprocess.Popen(self._inside(*command), env=self._env))

    def _run(self, *command: str) -> str:
        return run(*self._inside(*command), env=self._env)

    def _shown(self, *command: str) -> str:
        """What a program says of itself; nothing while it does not listen yet."""
        try:
            return self._run(*command)
        except RuntimeError:
            return ""


class OpenVSwitch(Switch):
    """One interface with `lacp=active`, bridged to `br0`."""

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
            "ovsdb-server", "--remote=punix:" + str(state / "db.sock"), str(state / "conf.db")
        )
        # Its socket is there a moment before it listens.
        self._run("ovs-vsctl", "--retry", f"--timeout={_START_SECONDS:.0f}", "--no-wait", "init")
        self._daemon = (
            str(self._root / "usr/lib/openvswitch-switch/ovs-vswitchd"),
            f"unix:{state}/db.sock",
            f"--unixctl={state}/ctl",
        )
        self._spawn(*self._daemon)
        ip(
            "link add ovs0 type veth peer name ovs1",
            "link set ovs1 master br0",
            "link set ovs0 up",
            "link set ovs1 up",
            netns="sw",
        )
        sw = self.port.switch_port
        self._run(
            *("ovs-vsctl", "add-br", "ovsbr0", "--", "add-port", "ovsbr0", "ovs0"),
            *("--", "add-port", "ovsbr0", sw),
            *("--", "set", "port", sw, "lacp=active", "other_config:lacp-time=fast"),
        )
        ip(f"link set {sw} up", netns="sw")

    def _end(self) -> None:
        self.pause(False)
        if self._daemon:
            self._run("ovs-appctl", "-t", "/run/openvswitch/ctl", "exit", "--cleanup")
            self._running[-1].wait(_START_SECONDS)  # until then the kernel's datapath has the port
        super()._end()
        if "ovs0" in {link["ifname"] for link in links("sw")}:
            ip("link del ovs0", netns="sw")

    def negotiated(self) -> bool:
        shown = self._shown(
            "ovs-appctl", "-t", "/run/openvswitch/ctl", "lacp/show", self.port.switch_port
        )
        return "status: active negotiated" in shown


class Teamd(Switch):
    """The runner `lacp` of one port, bridged to `br0`."""

    def _start(self) -> None:
        run("modprobe", "team")
        sw = self.port.switch_port
        config = {
            "device": "team0",
            "runner": {"name": "lacp", "active": True, "fast_rate": True},
            "link_watch": {"name": "ethtool"},
            "ports": {sw: {}},
        }
        ip(f"link set {sw} down", netns="sw")
        self._daemon = ("teamd", "-o", "-U", "-c", json.dumps(config))
        self._spawn(*self._daemon)
        wait_for(
            lambda: "team0" in {link["ifname"] for link in links("sw")}, _START_SECONDS, "teamd"
        )
        ip("link set team0 master br0", "link set team0 up", netns="sw")

    def negotiated(self) -> bool:
        return '"state": "current"' in self._shown("teamdctl", "team0", "state", "dump")


SWITCHES = (OpenVSwitch, Teamd)
