"""Both plugins of examples/cni behind the real sriov-cni, by libcni; with a relay and without.

`make cni-test CNI_BIN=folder` runs it: cnitool of containernetworking/cni, sriov of sriov-cni, bond
of bond-cni, static of containernetworking/plugins.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from relay_process import RelayProcess
from test_cni import PROGRAMS
from topology import SWITCH_ADDRESS, Lab, Port, ip, links, run, wait_for

CNI_BIN = os.environ.get("CNI_BIN", "")
pytestmark = pytest.mark.skipif(
    not CNI_BIN, reason="needs the real plugins: make cni-test CNI_BIN=folder"
)
VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
SECONDS = 60.0
"""Limit for one call of cnitool, which starts three programs under emulation."""

Json = dict[str, Any]


class CniError(Exception):
    """What cnitool said."""


class Runtime:
    """libcni, as container runtimes use it.

    Args:
        program: our plugin.
        scratch: a folder for its binary, its notes and the configuration.
    """

    def __init__(self, program: list[str], scratch: Path) -> None:
        self._bin, self._conf, self.notes = (scratch / name for name in ("bin", "net.d", "notes"))
        self._bin.mkdir()
        self._conf.mkdir()
        installed = self._bin / "pfstatus-cni"
        shutil.copy(program[-1], installed)
        if program[0] == sys.executable:  # as docs/cni.md says
            _, _, rest = installed.read_text().partition("\n")
            installed.write_text(f"#!{sys.executable} -I\n{rest}")
        installed.chmod(0o755)

    def network(self, name: str, *plugins: Json, version: str = "1.0.0") -> str:
        """Writes a network of these plugins. Returns its name."""
        network = {"cniVersion": version, "name": name, "plugins": plugins}
        (self._conf / f"{name}.conflist").write_text(json.dumps(network))
        return name

    def vf_network(
        self, port: Port, vf: int, *, version: str = "1.0.0", name: str = "", **sriov: Any
    ) -> str:
        """A network of one VF, with its address in both plugins, as Multus puts it there."""
        device = {"deviceID": port.nic.vf_address(vf)}
        return self.network(
            name or f"net-{port.pf}-{vf}-{version}",
            {"type": "sriov", **device, **sriov},
            {"type": "pfstatus-cni", "dataDir": str(self.notes), **device},
            version=version,
        )

    def _call(self, command: str, network: str, pod: str, ifname: str) -> Json:
        done = subprocess.run(
            [f"{CNI_BIN}/cnitool", command, network, f"/run/netns/{pod}"],
            env={
                "PATH": os.environ["PATH"],
                "CNI_PATH": f"{self._bin}:{CNI_BIN}",
                "NETCONFPATH": str(self._conf),
                "CNI_IFNAME": ifname,
            },
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise CniError(done.stdout + done.stderr)
        result: Json = json.loads(done.stdout or "{}")
        return result

    def add(self, network: str, pod: str = "pod", ifname: str = "net1") -> Json:
        return self._call("add", network, pod, ifname)

    def delete(self, network: str, pod: str = "pod", ifname: str = "net1") -> None:
        self._call("del", network, pod, ifname)

    def call(self, command: str, network: str) -> None:
        """`check`, `gc` or `status`."""
        self._call(command, network, "pod", "net1")

    def noted(self) -> list[str]:
        """The VFs of which there are notes."""
        return sorted(path.name for path in self.notes.glob("[!.]*"))


@pytest.fixture(params=PROGRAMS)
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    return Runtime(PROGRAMS[request.param], tmp_path)


@pytest.fixture
def port(lab: Lab) -> Iterator[Port]:
    """The first port with four VFs; and a namespace for each of two pods."""
    lab.ports[0].nic.num_vfs = 4
    ip("netns add pod", "netns add pod2")
    yield lab.ports[0]
    for name in ("pod", "pod2"):
        if Path(f"/run/netns/{name}").exists():
            ip(f"netns del {name}")
    shutil.rmtree("/var/lib/cni", ignore_errors=True)


@contextmanager
def relay_of(setting: str, tmp_path: Path) -> Iterator[RelayProcess | None]:
    """A relay for pf0 that restores "all" or "owned" VFs; or none."""
    if setting == "none":
        yield None
        return
    arguments = ["--restore", setting, "--state-file", str(tmp_path / "state")]
    with RelayProcess("pf0", *arguments) as relay:
        relay.wait_up("pf0")
        yield relay


relays = pytest.mark.parametrize("setting", ["none", "all", "owned"])


def lose(port: Port) -> None:
    """As lacp_block(), in a way from which LACP recovers within a second or two."""
    port.lacp_block("to-pf")
    port.wait_lacp(up=False)


def recover(port: Port) -> None:
    port.lacp_unblock()
    port.wait_lacp(up=True, timeout=40)


def state(port: Port, vf: int, wanted: str, timeout: float = 15.0) -> None:
    """Returns once the VF is in that state."""
    wait_for(lambda: port.nic.vf_states()[vf] == wanted, timeout, f"VF {vf} in {wanted}")


def stays(port: Port, vf: int, wanted: str, relay: RelayProcess | None) -> None:
    """As state(), and it is no passing one: the relay, if there is one, has looked since."""
    state(port, vf, wanted)
    if relay:
        before = port.nic.calls()
        ip(f"link set {port.pf} vf 3 trust on", f"link set {port.pf} vf 3 trust off")
        wait_for(lambda: port.nic.calls() != before, 15, "the relay looks again")
    state(port, vf, wanted)


def names(netns: str | None = None) -> list[str]:
    return [link["ifname"] for link in links(netns)]


def test_lists_of_every_version_are_served(port: Port, runtime: Runtime) -> None:
    lose(port)
    for version in VERSIONS:
        network = runtime.vf_network(port, 1, version=version)
        result = runtime.add(network)
        assert result["cniVersion"] == version
        assert port.nic.vf_states()[1] == "disable"
        assert "net1" in names("pod")
        if version >= "0.4.0":
            runtime.call("check", network)
        runtime.delete(network)
        assert port.nic.vf_states()[1] == "auto"
        assert "pf0v1" in names()
        assert not runtime.noted()


@relays
@pytest.mark.parametrize("link_state", [None, "auto"])
def test_pod_of_an_outage_that_ends_after_it_leaves_a_living_vf(
    port: Port, runtime: Runtime, setting: str, link_state: str | None, tmp_path: Path
) -> None:
    """sriov-cni saves the relay's `disable` at ADD and writes it at DEL, on a healthy PF."""
    extra = {"link_state": link_state} if link_state else {}
    network = runtime.vf_network(port, 1, **extra)
    with relay_of(setting, tmp_path) as relay:
        lose(port)
        if relay:
            state(port, 1, "disable")
        runtime.add(network)
        state(port, 1, "disable")
        recover(port)
        if relay and setting == "all":
            state(port, 1, "auto")
        runtime.delete(network)
        stays(port, 1, "auto", relay)
        runtime.add(network)
        stays(port, 1, "auto", relay)
        runtime.delete(network)
        stays(port, 1, "auto", relay)


@relays
def test_pods_that_come_and_go_in_an_outage_never_get_a_living_vf(
    port: Port, runtime: Runtime, setting: str, tmp_path: Path
) -> None:
    """sriov-cni's DEL sets `auto` in mid-outage."""
    network = runtime.vf_network(port, 2, link_state="auto")
    with relay_of(setting, tmp_path) as relay:
        lose(port)
        if relay:
            state(port, 2, "disable")
        for _ in range(4):
            runtime.add(network)
            state(port, 2, "disable")
            runtime.delete(network)
        if relay:
            state(port, 2, "disable")
        recover(port)
        stays(port, 2, "auto", relay)


@relays
def test_late_del_of_the_old_pod_does_not_take_the_new_ones_link(
    port: Port, runtime: Runtime, setting: str, tmp_path: Path
) -> None:
    old = runtime.vf_network(port, 1, name="old", link_state="auto")
    new = runtime.vf_network(port, 1, name="new", link_state="auto")
    with relay_of(setting, tmp_path) as relay:
        lose(port)
        if relay:
            state(port, 1, "disable")
        runtime.add(old)
        state(port, 1, "disable")
        recover(port)
        ip("netns del pod")
        wait_for(lambda: set(names()) & {"net1", "pf0v1"}, 15, "the VF is back on the host")
        runtime.add(new, "pod2")
        runtime.delete(old)
        stays(port, 1, "auto", relay)
        runtime.delete(new, "pod2")
        # At its ADD the new pod found what the dead one had left, and sriov-cni writes that back,
        # after our DEL: without a relay the VF waits for its next pod.
        stays(port, 1, "auto" if relay else "disable", relay)
        if not relay:
            runtime.add(new, "pod2")
            state(port, 1, "auto")
            runtime.delete(new, "pod2")
        assert not runtime.noted()


def test_vf_of_dpdk_is_disabled_and_given_back(port: Port, runtime: Runtime) -> None:
    port.nic.bind_vf(3, "vfio-pci")
    network = runtime.vf_network(port, 3)
    lose(port)
    runtime.add(network)
    assert port.nic.vf_states()[3] == "disable"
    # With a stand-in for vfio-pci sriov-cni's own DEL fails. Ours comes before it.
    with pytest.raises(CniError, match='type="sriov" failed'):
        runtime.delete(network)
    assert port.nic.vf_states()[3] == "auto"
    assert not runtime.noted()


@pytest.mark.usefixtures("port")
def test_gc_without_a_list_and_status_are_served(runtime: Runtime) -> None:
    network = runtime.network(
        "ours", {"type": "pfstatus-cni", "dataDir": str(runtime.notes)}, version="1.1.0"
    )
    runtime.call("gc", network)
    runtime.call("status", network)


@relays
def test_bond_cni_fails_over_and_a_pod_of_the_outage_starts_on_the_other_vf(
    lab: Lab, port: Port, runtime: Runtime, setting: str, tmp_path: Path
) -> None:
    lab.ports[1].nic.num_vfs = 1
    vfs = [runtime.vf_network(each, 0) for each in lab.ports]
    bond = runtime.network(
        "bond",
        {
            "type": "bond",
            "mode": "active-backup",
            "miimon": "100",
            "linksInContainer": True,
            "links": [{"name": "net1"}, {"name": "net2"}],
            "ipam": {"type": "static", "addresses": [{"address": "192.0.2.2/24"}]},
        },
    )

    def start() -> None:
        for number, network in enumerate(vfs, 1):
            runtime.add(network, ifname=f"net{number}")
        runtime.add(bond, ifname="net3")

    def end() -> None:
        runtime.delete(bond, ifname="net3")
        for number, network in enumerate(vfs, 1):
            runtime.delete(network, ifname=f"net{number}")

    def talks() -> bool:
        done = subprocess.run(
            ["ip", "netns", "exec", "pod", "ping", "-c1", "-W1", SWITCH_ADDRESS],
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode == 0

    def active() -> str:
        shown = json.loads(run("ip", "-n", "pod", "-j", "-d", "link", "show", "dev", "net3"))
        found: str = shown[0]["linkinfo"]["info_data"].get("active_slave", "")
        return found

    with relay_of(setting, tmp_path) as relay:
        if relay:  # without one nobody tells a pod that runs
            start()
            wait_for(talks, 15, "the pod talks")
            lose(port)
            wait_for(lambda: active() == "net2", 15, "failover")
            wait_for(talks, 15, "the pod talks on its other VF")
            end()
        else:
            lose(port)
        start()
        wait_for(lambda: active() == "net2", 15, "the pod starts on its other VF")
        wait_for(talks, 15, "the pod talks")
        recover(port)
        end()
        stays(port, 0, "auto", relay)
