"""examples/cni/pfstatus-cni: JSON on stdin, a sysfs and a kernel of our own, or the host's."""

from __future__ import annotations

import errno
import fcntl
import importlib.machinery
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pfstatus import Session, VfLinkState
from pfstatus.testing import FakeKernel

PLUGIN = Path(__file__).parent.parent / "examples" / "cni" / "pfstatus-cni"
PF, VF = "0000:3b:00.0", "0000:3b:02.{}"
AUTO, ENABLE, DISABLE = VfLinkState.AUTO, VfLinkState.ENABLE, VfLinkState.DISABLE
RESULT = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "vethab", "mac": "02:00:00:00:00:01"},
        {"name": "net1", "sandbox": "/run/netns/pod", "mtu": 9000, "pciID": VF.format(1)},
    ],
    "ips": [{"address": "192.0.2.2/24", "interface": 1}],
    "dns": {},
    "unheard-of": [None, 1.5],
}


def load_plugin():
    loader = importlib.machinery.SourceFileLoader("pfstatus_cni", str(PLUGIN))
    spec = importlib.util.spec_from_loader("pfstatus_cni", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def add_vfs(sysfs, pf, ifname, pattern, count):
    """PCI devices as the kernel shows a PF with VFs."""
    (sysfs / pf / "net" / ifname).mkdir(parents=True)
    for number in range(count):
        vf = sysfs / pattern.format(number)
        vf.mkdir()
        (vf / "physfn").symlink_to(f"../{pf}")
        (sysfs / pf / f"virtfn{number}").symlink_to(f"../{vf.name}")


class Node:
    """A node with one PF, `ens5f0`, in a bond; the plugin runs in this process."""

    def __init__(self, kernel: FakeKernel, path: Path, monkeypatch, capsys) -> None:
        self.kernel = kernel
        self.pf = kernel.add_pf("ens5f0", vfs=12)
        self.bond = kernel.add_bond("bond0", self.pf)
        self.sysfs = path / "devices"
        add_vfs(self.sysfs, PF, "ens5f0", VF, 12)
        self.data = path / "data"
        self.boot_id = path / "boot_id"
        self.boot_id.write_text("first\n")
        self.plugin = load_plugin()
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setattr(self.plugin, "DEVICES", self.sysfs)
        monkeypatch.setattr(self.plugin, "BOOT_ID", self.boot_id)
        monkeypatch.setattr(self.plugin, "Session", lambda: kernel.session(events=False))

    def run(
        self,
        command,
        *,
        container="c1",
        ifname="net1",
        netns="/run/netns/pod",
        stdin=None,
        **config,
    ):
        """Returns the exit status and what was on stdout, as JSON; None for nothing."""
        whole = {
            "cniVersion": "1.1.0",
            "name": "blue",
            "type": "pfstatus-cni",
            "dataDir": str(self.data),
        }
        if command in ("ADD", "CHECK"):
            whole["prevResult"] = RESULT
        whole = {key: value for key, value in (whole | config).items() if value is not ...}
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": "/opt/cni/bin",
        }
        with self._monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(json.dumps(whole) if stdin is None else stdin))
            status = self.plugin.main()
        out = self._capsys.readouterr().out
        return status, json.loads(out) if out else None

    def ok(self, command, **config):
        status, said = self.run(command, **config)
        assert status == 0, said
        return said

    def error(self, command, **config):
        """Returns the code and the message."""
        status, said = self.run(command, **config)
        assert status == 1
        assert set(said) == {"cniVersion", "code", "msg"}
        return said["code"], said["msg"]

    def records(self) -> list[str]:
        return sorted(path.name for path in self.data.glob("[!.]*"))

    def reboot(self) -> None:
        self.boot_id.write_text("second\n")


@pytest.fixture
def node(kernel, tmp_path, monkeypatch, capsys):
    return Node(kernel, tmp_path, monkeypatch, capsys)


# ---- ADD


def test_add_disables_the_vf_of_a_pf_without_lacp_and_no_other(node):
    node.pf.lacp_expire()
    assert node.ok("ADD") == RESULT
    assert {vf for vf, state in node.pf.vfs.items() if state is DISABLE} == {1}
    assert node.records() == [VF.format(1)]


def test_add_under_lacp_looks_at_no_vf_and_leaves_nothing(node):
    assert node.ok("ADD") == RESULT
    assert node.kernel.requests["get-vfs"] == 0
    assert (node.kernel.writes, node.records()) == ([], [])


def test_add_leaves_vfs_alone_where_lacp_is_unknown(node):
    node.kernel.remove(node.bond)
    assert node.ok("ADD") == RESULT
    assert node.kernel.writes == []


@pytest.mark.parametrize("state", [ENABLE, DISABLE], ids=str)
def test_add_leaves_a_vf_that_somebody_else_has_set(node, state):
    node.pf.lacp_expire()
    node.kernel.set_vf(node.pf, 1, state)
    assert node.ok("ADD") == RESULT
    assert (node.kernel.writes, node.records()) == ([], [])
    node.ok("DEL")
    assert node.pf.vfs[1] is state


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_add_hands_the_result_through_in_each_version(node, version):
    result = RESULT | {"cniVersion": version}
    assert node.ok("ADD", cniVersion=version, prevResult=result) == result


@pytest.mark.parametrize("state", [AUTO, DISABLE], ids=str)
def test_add_leaves_the_vf_alone_if_lacp_came_back_while_it_asked(node, state):
    node.pf.lacp_expire()
    node.kernel.set_vf(node.pf, 1, state)
    node.kernel.on_request = lambda request: node.pf.lacp_up() if request == "get-vfs" else None
    node.ok("ADD")
    assert (node.kernel.writes, node.records()) == ([], [])


NO_INTERFACE = RESULT | {"interfaces": []}
VFIO = {"cniVersion": "1.0.0"}


@pytest.mark.parametrize(
    ("config", "vf"),
    [
        ({"runtimeConfig": {"deviceID": VF.format(3)}}, 1),
        ({"runtimeConfig": {"deviceID": VF.format(3)}, "prevResult": NO_INTERFACE}, 3),
        ({"runtimeConfig": {"deviceID": VF.format(11)}, "prevResult": VFIO}, 11),
        ({"runtimeConfig": {"deviceID": VF.format(2)}, "deviceID": VF.format(3)}, 1),
        ({"deviceID": VF.format(3), "prevResult": NO_INTERFACE}, 3),
        ({"deviceID": VF.format(3), "runtimeConfig": None, "prevResult": VFIO}, 3),
    ],
    ids=["pciID-first", "runtime", "vfio", "pciID-before-all", "config", "null"],
)
def test_add_finds_the_vf(node, config, vf):
    node.pf.lacp_expire()
    node.ok("ADD", **config)
    assert [write.vf for write in node.kernel.writes] == [vf]


def test_add_takes_no_interface_of_the_host_for_the_pods(node):
    host = RESULT | {"interfaces": [{"name": "net1", "pciID": VF.format(1)}]}
    node.pf.lacp_expire()
    assert node.error("ADD", prevResult=host)[0] == 100
    assert node.kernel.writes == []


def test_add_that_fails_leaves_a_record_that_del_clears(node):
    node.pf.lacp_expire()
    node.pf.vf_errors[1] = (errno.EIO, 1)
    assert node.error("ADD")[0] == 101
    assert node.records() == [VF.format(1)]
    node.ok("DEL")
    assert node.records() == []
    assert node.kernel.writes == []


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EBUSY], ids=errno.errorcode.get)
def test_add_that_a_busy_driver_refuses_may_be_tried_again(node, code):
    node.pf.lacp_expire()
    node.pf.vf_errors[1] = (code, 1)
    assert node.error("ADD")[0] == 11
    node.ok("ADD")
    assert node.pf.vfs[1] is DISABLE


def test_add_of_a_vf_that_the_driver_cannot_read_may_be_tried_again(node):
    node.pf.lacp_expire()
    node.pf.hidden.add(1)
    code, said = node.error("ADD")
    assert code == 11
    assert "VF 1" in said


def test_add_without_setter_says_so(node):
    node.pf.lacp_expire()
    node.pf.supported = False
    code, said = node.error("ADD")
    assert code == 101
    assert "ens5f0" in said


def test_add_without_cap_net_admin_fails_only_where_it_must_set(node):
    node.kernel.permitted = False
    node.ok("ADD")
    node.pf.lacp_expire()
    code, said = node.error("ADD")
    assert code == 101
    assert "CAP_NET_ADMIN" in said


# ---- DEL


def test_del_gives_back_what_add_took(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    assert node.ok("DEL") is None
    assert node.pf.vfs[1] is AUTO
    assert node.records() == []


def test_del_twice_or_without_an_add_is_well(node):
    node.pf.lacp_expire()
    node.ok("DEL")
    node.ok("ADD")
    node.ok("DEL")
    writes = list(node.kernel.writes)
    node.ok("DEL")
    assert node.kernel.writes == writes


def test_del_without_record_asks_the_kernel_nothing(node):
    node.ok("ADD")
    node.kernel.requests.clear()
    node.ok("DEL")
    assert not node.kernel.requests


def test_del_needs_neither_namespace_nor_result(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.ok("DEL", netns="")
    assert node.pf.vfs[1] is AUTO


@pytest.mark.parametrize("state", [AUTO, ENABLE], ids=str)
def test_del_leaves_what_was_changed_since(node, state):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.kernel.set_vf(node.pf, 1, state)  # by the relay, when LACP came back; or an admin
    node.kernel.writes.clear()
    node.ok("DEL")
    assert node.kernel.writes == []
    assert node.records() == []


@pytest.mark.parametrize(
    "other", [{"container": "c2"}, {"ifname": "net2"}, {"name": "green"}], ids=str
)
def test_del_of_another_attachment_changes_nothing(node, other):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.ok("DEL", **other)
    assert node.pf.vfs[1] is DISABLE
    assert node.records() == [VF.format(1)]


def test_del_after_a_reboot_changes_nothing(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.reboot()
    node.ok("DEL")
    assert node.pf.vfs[1] is DISABLE


def test_del_after_the_pf_was_made_anew_changes_nothing(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.kernel.remove(node.pf)
    again = node.kernel.add_pf("ens5f0", vfs=12)
    node.kernel.set_vf(again, 1, DISABLE)
    node.ok("DEL")
    assert again.vfs[1] is DISABLE
    assert node.records() == []


def test_del_after_the_pf_went_is_well(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.kernel.remove(node.pf)  # while sysfs still shows it
    node.ok("DEL")
    assert node.records() == []
    node.pf = node.kernel.add_pf("ens5f0", vfs=12)
    node.kernel.add_bond("bond1", node.pf)
    node.pf.lacp_expire()
    node.ok("ADD")
    shutil.rmtree(node.sysfs)
    node.ok("DEL")
    assert node.records() == []


def test_del_that_fails_keeps_the_record_for_the_next(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.pf.vf_errors[1] = (errno.EBUSY, 1)
    assert node.error("DEL")[0] == 11
    assert node.records() == [VF.format(1)]
    node.ok("DEL")
    assert node.pf.vfs[1] is AUTO


# ---- Records that were left behind


def test_add_takes_over_a_vf_whose_del_never_came(node):
    node.pf.lacp_expire()
    node.ok("ADD", container="c1")
    node.kernel.writes.clear()
    node.ok("ADD", container="c2")
    node.ok("DEL", container="c1")  # late: the VF is another's
    assert node.kernel.writes == []
    node.ok("DEL", container="c2")
    assert node.pf.vfs[1] is AUTO


def test_add_under_lacp_frees_a_vf_whose_del_never_came(node):
    node.pf.lacp_expire()
    node.ok("ADD", container="c1")
    node.pf.lacp_up()
    node.ok("ADD", container="c2")
    assert node.pf.vfs[1] is AUTO
    assert node.records() == []


def kill(*_):
    raise KeyboardInterrupt


def test_add_killed_before_it_set_leaves_what_del_clears(node, monkeypatch):
    node.pf.lacp_expire()
    with monkeypatch.context() as patch:
        patch.setattr(Session, "set_vf_link_state", kill)
        with pytest.raises(KeyboardInterrupt):
            node.run("ADD")
    assert node.records() == [VF.format(1)]
    node.ok("DEL")
    assert (node.kernel.writes, node.records()) == ([], [])


def test_half_written_record_is_none_and_no_hindrance(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    record = node.data / VF.format(1)
    record.with_name(f".{record.name}").write_bytes(record.read_bytes())
    node.ok("DEL")
    node.ok("GC", **attachments())
    assert sorted(path.name for path in node.data.iterdir()) == [f".{record.name}", ".lock"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"boot_id": 1}', "null"], ids=repr)
def test_broken_record_is_none(node, text):
    node.pf.lacp_expire()
    node.ok("ADD")
    (node.data / VF.format(1)).write_text(text)
    node.ok("DEL")
    assert node.pf.vfs[1] is DISABLE
    node.ok("GC", **{"cni.dev/valid-attachments": []})
    assert node.records() == []


def test_half_a_record_is_never_seen(node, monkeypatch):
    node.pf.lacp_expire()
    seen = []
    node.kernel.on_request = lambda request: seen.append((request, node.records()))
    node.ok("ADD")
    assert ("set", [VF.format(1)]) in seen, "noted after it was done"
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    assert node.error("ADD", container="c2")[0] == 5
    assert json.loads((node.data / VF.format(1)).read_text())["owner"] == ["blue", "c1", "net1"]


# ---- GC


def attachments(*pairs):
    return {"cni.dev/valid-attachments": [{"containerID": c, "ifname": i} for c, i in pairs]}


def add_three(node):
    node.pf.lacp_expire()
    for vf in (1, 2, 3):
        result = {"cniVersion": "1.1.0"}
        node.ok("ADD", container=f"c{vf}", prevResult=result, deviceID=VF.format(vf))


def test_gc_releases_what_no_valid_attachment_owns(node):
    add_three(node)
    node.ok("GC", **attachments(("c1", "net1"), ("c2", "net9"), ("c9", "net1")))
    assert [node.pf.vfs[vf] for vf in (1, 2, 3)] == [DISABLE, AUTO, AUTO]
    assert node.records() == [VF.format(1)]


@pytest.mark.parametrize("vf", [1, 2, 3])
def test_gc_goes_on_past_a_vf_that_fails_and_tells_of_it(node, vf):
    add_three(node)
    node.pf.vf_errors[vf] = (errno.EBUSY, 1)
    assert node.error("GC", **attachments())[0] == 11
    assert node.records() == [VF.format(vf)]


def test_gc_of_another_network_releases_nothing(node):
    add_three(node)
    node.ok("GC", name="green", **attachments())
    assert len(node.records()) == 3


def test_gc_forgets_other_boots_of_any_network(node):
    add_three(node)
    node.reboot()
    node.ok("GC", name="green", **attachments())
    assert node.records() == []
    assert set(node.pf.vfs.values()) == {AUTO, DISABLE}, "it set VFs of another boot"


@pytest.mark.parametrize("valid", [..., None, [{}], [1], 3], ids=str)
def test_gc_without_a_list_releases_nothing(node, valid):
    add_three(node)
    assert node.error("GC", **{"cni.dev/valid-attachments": valid})[0] == 7
    assert len(node.records()) == 3


# ---- CHECK, STATUS


@pytest.mark.parametrize("command", ["CHECK", "STATUS"])
def test_lacp_that_is_down_is_no_failure(node, command):
    for lose in (node.pf.lacp_expire, node.pf.lacp_default, lambda: node.pf.set_carrier(False)):
        lose()
        assert node.ok(command) is None
    assert node.kernel.writes == []
    assert node.kernel.requests["get-vfs"] == 0


@pytest.mark.parametrize(("command", "code"), [("CHECK", 101), ("STATUS", 50)])
def test_missing_cap_net_admin_is_a_failure(node, command, code):
    node.kernel.permitted = False
    assert node.error(command)[0] == code


@pytest.mark.parametrize(("command", "code"), [("ADD", 5), ("CHECK", 5), ("STATUS", 50)])
def test_records_that_cannot_be_written_are_a_failure(node, command, code):
    node.data.write_text("a file where a folder should be")
    assert node.error(command)[0] == code


def test_check_of_a_pf_that_went_fails(node):
    node.kernel.remove(node.pf)
    assert node.error("CHECK")[0] == 101
    shutil.rmtree(node.sysfs / PF)
    assert node.error("CHECK")[0] == 100


def test_switchdev_representors_beside_the_pf_are_a_failure(node):
    (node.sysfs / PF / "net" / "ens5f0_0").mkdir()
    code, said = node.error("CHECK")
    assert code == 100
    assert "ens5f0_0" in said


# ---- What is asked wrongly


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"stdin": ""}, 6),
        ({"stdin": '{"cniVersion": "1.1.0",'}, 6),
        ({"stdin": "[]"}, 7),
        ({"cniVersion": ...}, 1),
        ({"cniVersion": "0.3.1"}, 1),
        ({"cniVersion": ["1.1.0"]}, 1),
        ({"name": ...}, 7),
        ({"dataDir": 1}, 7),
        ({"prevResult": ...}, 7),
        ({"prevResult": None}, 7),
        ({"prevResult": []}, 7),
        ({"prevResult": {"interfaces": {"name": "net1"}}}, 7),
        ({"prevResult": VFIO}, 100),
        ({"prevResult": VFIO, "runtimeConfig": "x"}, 7),
        ({"prevResult": VFIO, "deviceID": 7}, 7),
        ({"prevResult": VFIO, "deviceID": "../../net/ens5f0"}, 100),
        ({"prevResult": VFIO, "deviceID": ".."}, 100),
        ({"prevResult": VFIO, "deviceID": f"/{VF.format(1)}"}, 100),
        ({"prevResult": VFIO, "deviceID": f"x/{VF.format(1)}"}, 100),
        ({"prevResult": VFIO, "deviceID": PF}, 100),
        ({"prevResult": VFIO, "deviceID": "0000:ff:00.0"}, 100),
        ({"container": ""}, 4),
        ({"ifname": ""}, 4),
        ({"netns": ""}, 4),
    ],
    ids=str,
)
def test_add_answers_with_the_code_for_what_is_wrong(node, config, code):
    node.pf.lacp_expire()
    assert node.error("ADD", **config)[0] == code
    assert (node.kernel.writes, node.records()) == ([], [])


def test_variables_that_are_missing_are_named(node):
    assert "CNI_IFNAME" in node.error("DEL", ifname="")[1]


@pytest.mark.parametrize("command", ["", "add", "UPDATE"])
def test_unknown_command_is_an_error_of_the_environment(node, command):
    code, said = node.error(command)
    assert code == 4
    assert "CNI_COMMAND" in said


def test_errors_speak_the_version_that_was_asked(node):
    _, said = node.run("ADD", cniVersion="0.4.0", prevResult=None)
    assert said["cniVersion"] == "0.4.0"


# ---- As a program, on the host's kernel


def execute(command, config=None, **environment):
    return subprocess.run(
        [sys.executable, str(PLUGIN)],
        input=json.dumps(config) if config is not None else None,
        stdin=subprocess.DEVNULL if config is None else None,
        env={"PATH": os.environ["PATH"], "CNI_COMMAND": command} | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_version_needs_no_configuration():
    ran = execute("VERSION")
    assert (ran.returncode, ran.stderr) == (0, "")
    versions = ["0.4.0", "1.0.0", "1.1.0"]
    assert json.loads(ran.stdout) == {"cniVersion": "1.1.0", "supportedVersions": versions}


def test_two_at_a_time_take_turns(tmp_path):
    config = {"cniVersion": "1.1.0", "name": "blue", "dataDir": str(tmp_path)}
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, str(PLUGIN)],
            stdin=subprocess.PIPE,
            env={"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "net1"},
        ) as waiting:
            waiting.stdin.write(json.dumps(config).encode())
            waiting.stdin.close()
            deadline = time.monotonic() + 20
            # A line of somebody who waits: "3: -> FLOCK  ADVISORY  WRITE 4711 00:1f:42 0 EOF"
            while f"WRITE {waiting.pid} " not in Path("/proc/locks").read_text():
                assert waiting.poll() is None, "it did not wait"
                assert time.monotonic() < deadline
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert waiting.wait(20) == 0


@pytest.fixture
def netns():
    """The path of a network namespace with `net1`, one end of a veth pair."""
    if os.geteuid():
        pytest.skip("making a network namespace takes root")
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link add net1 type veth && echo && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    inside = holder.stdout.readline() == b"\n"
    if inside:
        yield f"/proc/{holder.pid}/ns/net"
    _, said = holder.communicate()
    if not inside:
        pytest.skip(f"no network namespace with veth can be made here: {said.decode().strip()}")


@pytest.mark.parametrize("ifname", ["net1", "lo", "gone"])
def test_interface_in_a_namespace_that_is_no_vf_is_named(ifname, netns, tmp_path):
    config = {
        "cniVersion": "1.0.0",
        "name": "blue",
        "dataDir": str(tmp_path),
        "prevResult": {"interfaces": [{"name": ifname, "sandbox": netns}]},
    }
    ran = execute("ADD", config, CNI_CONTAINERID="c1", CNI_NETNS=netns, CNI_IFNAME=ifname)
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["code"], ran.stderr) == (1, 100, "")
    assert ifname in said["msg"]


@pytest.mark.parametrize("netns", ["/run/netns/none", "/dev/null"])
def test_namespace_that_is_none_is_named(netns, tmp_path):
    if os.geteuid():
        pytest.skip("entering a network namespace takes root")
    config = {
        "cniVersion": "1.0.0",
        "name": "blue",
        "dataDir": str(tmp_path),
        "prevResult": {"interfaces": [{"name": "net1", "sandbox": netns}]},
    }
    ran = execute("CHECK", config, CNI_CONTAINERID="c1", CNI_NETNS=netns, CNI_IFNAME="net1")
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["code"]) == (1, 100)
    assert netns in said["msg"]


def test_status_without_cap_net_admin_is_50(tmp_path):
    config = {"cniVersion": "1.1.0", "name": "blue", "dataDir": str(tmp_path / "records")}
    tmp_path.chmod(0o777)
    argv = [sys.executable, str(PLUGIN)]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed, and root is all-powerful")
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]
    ran = subprocess.run(
        argv,
        input=json.dumps(config),
        env={"CNI_COMMAND": "STATUS"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["code"]) == (1, 50)
    assert "CAP_NET_ADMIN" in said["msg"]


# ---- docs/cni.md


def block(language):
    """The code block of this language in docs/cni.md, of which there is one."""
    text = (PLUGIN.parents[2] / "docs" / "cni.md").read_text()
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize("vf", [0, 7])
def test_core_in_python_disables_that_vf_and_says_so(kernel, vf):
    scope = {}
    exec(compile(block("python"), "docs/cni.md", "exec"), scope)
    core = scope["disable_if_lacp_is_down"]
    pf = kernel.add_pf("ens5f0", vfs=8)
    kernel.add_bond("bond0", pf)
    with kernel.session(events=False) as session:
        assert core(session, "ens5f0", vf) is False
        assert kernel.requests["get-vfs"] == 0
        pf.lacp_expire()
        assert core(session, "ens5f0", vf) is True
        assert core(session, "ens5f0", vf) is False
        assert [vf for vf, state in pf.vfs.items() if state is DISABLE] == [vf]
        pf.vfs[vf] = AUTO
        pf.supported = False
        with pytest.raises(OSError, match="ens5f0"):
            core(session, "ens5f0", vf)


def test_core_in_c_compiles_without_a_warning():
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler here")
    flags = "-xc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only -I"
    header = PLUGIN.parents[2] / "csrc"
    argv = [compiler, *flags.split(), str(header), "-"]
    ran = subprocess.run(argv, input=block("c"), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_configuration_in_the_docs_chains_the_plugin_last():
    config = json.loads(block("json"))
    assert config["cniVersion"] in load_plugin().VERSIONS
    assert config["plugins"][-1] == {"type": PLUGIN.name}


def test_plugin_installed_as_the_docs_say_runs_by_its_own_first_line(tmp_path):
    (command,) = re.findall(r"^sed '(.+)' (?:\S+) >", block("sh"), re.MULTILINE)
    script = command.replace("/opt/pfstatus/bin/python", sys.executable)
    installed = tmp_path / "pfstatus-cni"
    done = subprocess.run(["sed", script, str(PLUGIN)], capture_output=True, check=True)
    installed.write_bytes(done.stdout)
    installed.chmod(0o755)
    ran = subprocess.run(
        [str(installed)], env={"CNI_COMMAND": "VERSION"}, capture_output=True, check=True
    )
    assert json.loads(ran.stdout)["supportedVersions"]
