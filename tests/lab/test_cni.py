"""Both plugins of examples/cni behind one that moves a VF into a pod, on a real kernel.

That one is host-device where it is installed (Debian: containernetworking-plugins), else a
stand-in.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from relay_process import RelayProcess
from test_relay import all_in, lose_lacp
from topology import Lab, Port, ip, links, wait_for

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "python": [sys.executable, str(ROOT / "examples" / "cni" / "pfstatus-cni")],
    "c": [str(ROOT / "build" / "lab" / "pfstatus-cni")],
}
PATHS = os.environ.get("CNI_BIN", "/opt/cni/bin:/usr/lib/cni")
HOST_DEVICE = shutil.which("host-device", path=PATHS)
NETNS = "/run/netns/pod"

Json = dict[str, Any]


def execute(program: list[str], command: str, config: Json) -> Json:
    """Runs a plugin as a container runtime does. Returns its result.

    Raises:
        RuntimeError: it failed; holds what it said.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "pod-1",
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "net1",
        "CNI_PATH": PATHS,
    }
    done = subprocess.run(
        program,
        input=json.dumps(config),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    result: Json = json.loads(done.stdout or "{}")
    return result


def stand_in(command: str, netdev: str) -> Json:
    """What host-device does, and no more than is needed here."""
    if command == "ADD":
        ip(f"link set {netdev} netns pod")
        ip(f"link set {netdev} name net1", "link set net1 up", netns="pod")
    elif command == "DEL":
        ip("link set net1 down", f"link set net1 name {netdev}", netns="pod")
        ip(f"link set {netdev} netns 1", netns="pod")
    interface = {"name": "net1", "sandbox": NETNS}
    return {"cniVersion": "1.0.0", "interfaces": [interface], "ips": [], "dns": {}}


class Chain:
    """One attachment: a VF, moved, then handed to pfstatus-cni.

    Args:
        program: the plugin.
        notes: its folder.
    """

    def __init__(self, program: list[str], notes: Path) -> None:
        self.netdev = "pf0v2"
        self._program = program
        self._notes = notes
        self._config = {"cniVersion": "1.0.0", "name": "blue", "dataDir": str(notes)}
        self.result: Json = {}
        """What moving the VF gave."""

    def move(self, command: str) -> Json:
        if not HOST_DEVICE:
            return stand_in(command, self.netdev)
        config = self._config | {"type": "host-device", "device": self.netdev}
        if command != "ADD":
            config["prevResult"] = self.result
        return execute([HOST_DEVICE], command, config)

    def pfstatus(self, command: str, **config: object) -> Json:
        """Runs pfstatus-cni alone."""
        whole = self._config | {"type": "pfstatus-cni", "prevResult": self.result, **config}
        return execute(self._program, command, whole)

    def notes(self) -> list[str]:
        """The VFs of which there are notes."""
        return [path.name for path in self._notes.iterdir() if path.name != ".lock"]

    def add(self) -> None:
        self.result = self.move("ADD")
        assert self.pfstatus("ADD") == self.result

    def delete(self) -> None:
        self.pfstatus("DEL")
        self.move("DEL")


@pytest.fixture(params=PROGRAMS)
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Chain:
    return Chain(PROGRAMS[request.param], tmp_path)


@pytest.fixture
def port(lab: Lab) -> Port:
    """The first port with four VFs; and a pod's namespace."""
    lab.ports[0].nic.num_vfs = 4
    ip("netns add pod")
    return lab.ports[0]


def carrier(netns: str) -> bool:
    (net1,) = (link for link in links(netns) if link["ifname"] == "net1")
    return "LOWER_UP" in net1["flags"]


def test_vf_is_born_disabled_in_an_outage_and_given_back_by_del(port: Port, chain: Chain) -> None:
    lose_lacp(port)
    port.wait_lacp(up=False)
    chain.add()
    assert port.nic.vf_states() == {0: "auto", 1: "auto", 2: "disable", 3: "auto"}
    assert not carrier("pod")
    chain.pfstatus("CHECK")
    chain.pfstatus("STATUS", cniVersion="1.1.0")
    chain.delete()
    assert all_in(port, "auto")()
    assert "pf0v2" in [link["ifname"] for link in links()]


def test_vf_is_left_alone_while_lacp_is_up(port: Port, chain: Chain) -> None:
    chain.netdev = "pf0v1"
    chain.result = chain.move("ADD")
    port.nic.reset_trace()
    for command in ("ADD", "CHECK", "STATUS", "DEL"):
        chain.pfstatus(command, cniVersion="1.1.0")
    assert port.nic.calls() == (0, 0), "the driver was called for VFs"
    assert carrier("pod")


def test_relay_gives_the_vf_back_and_del_has_nothing_to_undo(port: Port, chain: Chain) -> None:
    chain.netdev = "pf0v0"
    lose_lacp(port)
    port.wait_lacp(up=False)
    chain.add()
    assert port.nic.vf_states()[0] == "disable"
    with RelayProcess("pf0") as relay:
        relay.wait("vf link state was set", count=3, state="disable", interface="pf0")
        port.lacp_unblock()
        wait_for(all_in(port, "auto"), 40, "VFs given back")
        wait_for(lambda: carrier("pod"), 5, "the pod's VF has a link")
        port.nic.reset_trace()
        chain.delete()
    assert not [record for record in port.nic.trace() if record.kind == "set"]


def test_vf_without_netdev_is_found_by_its_address(port: Port, chain: Chain) -> None:
    port.nic.bind_vf(3, "vfio-pci")  # DPDK has it
    lose_lacp(port)
    port.wait_lacp(up=False)
    result = {"cniVersion": "1.0.0"}
    chain.pfstatus("ADD", prevResult=result, runtimeConfig={"deviceID": port.nic.vf_address(3)})
    assert port.nic.vf_states() == {0: "auto", 1: "auto", 2: "auto", 3: "disable"}
    chain.pfstatus("DEL", prevResult=result)
    assert all_in(port, "auto")()


def test_pf_that_is_gone_stops_add_and_not_del(port: Port, chain: Chain) -> None:
    lose_lacp(port)
    port.wait_lacp(up=False)
    config = {"prevResult": {"cniVersion": "1.0.0"}, "deviceID": port.nic.vf_address(1)}
    chain.pfstatus("ADD", **config)
    port.remove_pf()
    with pytest.raises(RuntimeError, match=r'"code": ?100'):
        chain.pfstatus("CHECK", **config)
    chain.pfstatus("DEL", **config)
    assert not chain.notes()
