"""What a CNI plugin of pfstatus does, whichever of the two it is: docs/cni.md, by JSON on stdin."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cni_node import PF, RESULT, SECONDS, VF, environment

from pfstatus import VfLinkState

AUTO, ENABLE, DISABLE = VfLinkState.AUTO, VfLinkState.ENABLE, VfLinkState.DISABLE
VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]

# ---- ADD


def test_add_disables_the_vf_of_a_pf_without_lacp_and_no_other(node):
    node.pf.lacp_expire()
    for version in VERSIONS:
        result = RESULT | {"cniVersion": version}
        assert node.ok("ADD", cniVersion=version, prevResult=result) == result
        assert {vf for vf, state in node.pf.vfs.items() if state is DISABLE} == {1}
        assert node.notes() == [VF.format(1)]
        node.ok("DEL", cniVersion=version, prevResult=result)
        assert set(node.pf.vfs.values()) == {AUTO}
        assert node.notes() == []


def test_add_under_lacp_looks_at_no_vf_and_leaves_nothing(node):
    assert node.ok("ADD") == RESULT
    assert node.kernel.requests["get-vfs"] == 0
    assert (node.kernel.writes, node.notes()) == ([], [])


def test_add_leaves_vfs_alone_where_lacp_is_unknown(node):
    node.kernel.remove(node.bond)
    assert node.ok("ADD") == RESULT
    assert node.kernel.writes == []
    node.kernel.add_bridge("br0", node.pf)
    assert node.ok("ADD") == RESULT
    assert node.kernel.writes == []


@pytest.mark.parametrize("state", [ENABLE, DISABLE], ids=str)
def test_add_leaves_a_vf_that_somebody_else_has_set(node, state):
    node.pf.lacp_expire()
    node.kernel.set_vf(node.pf, 1, state)
    assert node.ok("ADD") == RESULT
    assert (node.kernel.writes, node.notes()) == ([], [])
    node.ok("DEL")
    assert node.pf.vfs[1] is state


@pytest.mark.parametrize("state", [AUTO, DISABLE], ids=str)
def test_add_leaves_the_vf_alone_if_lacp_came_back_while_it_asked(node, state):
    node.pf.lacp_expire()
    node.kernel.set_vf(node.pf, 1, state)
    node.kernel.on_request = lambda request: node.pf.lacp_up() if request == "get-vfs" else None
    node.ok("ADD")
    assert (node.kernel.writes, node.notes()) == ([], [])


NO_INTERFACE = RESULT | {"interfaces": []}
VFIO = {"cniVersion": "1.0.0"}


@pytest.mark.parametrize(
    ("config", "vf"),
    [
        ({"runtimeConfig": {"deviceID": VF.format(3)}}, 1),
        ({"runtimeConfig": {"deviceID": VF.format(3)}, "prevResult": NO_INTERFACE}, 3),
        ({"runtimeConfig": {"deviceID": VF.format(7)}, "prevResult": VFIO}, 7),
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


UNNAMED = RESULT | {"interfaces": [{"name": "net1", "sandbox": "/run/netns/pod"}]}


def test_add_asks_the_interface_where_nothing_names_its_device(node):
    node.pod.add_pf("net1").parent = VF.format(5)
    node.pf.lacp_expire()
    node.ok("ADD", prevResult=UNNAMED)
    assert [write.vf for write in node.kernel.writes] == [5]


@pytest.mark.parametrize("parent", [None, "virtio0"])
def test_add_of_an_interface_that_is_no_vf_names_it(node, parent):
    node.pod.add_pf("net1").parent = parent
    code, said = node.error("ADD", prevResult=UNNAMED)
    assert code == 100
    assert (parent or "net1") in said


def test_add_takes_no_interface_of_the_host_for_the_pods(node):
    host = RESULT | {"interfaces": [{"name": "net1", "pciID": VF.format(1)}]}
    node.pf.lacp_expire()
    assert node.error("ADD", prevResult=host)[0] == 100
    assert node.kernel.writes == []


def test_add_that_fails_leaves_a_note_that_del_clears(node):
    node.pf.lacp_expire()
    node.pf.vf_errors[1] = (errno.EIO, 1)
    code, said = node.error("ADD")
    assert code == 101
    assert "ens5f0" in said
    assert node.notes() == [VF.format(1)]
    node.ok("DEL")
    assert node.notes() == []
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


def test_eperm_of_a_driver_is_not_taken_for_a_want_of_privilege(node):
    node.pf.lacp_expire()
    node.pf.vf_errors[1] = (errno.EPERM, 1)
    code, said = node.error("ADD")
    assert code == 101
    assert "CAP_NET_ADMIN" not in said


# ---- DEL


def test_del_gives_back_whatever_the_version(node):
    """If ours fails, the plugin that takes the VF out of the pod is not reached."""
    node.pf.lacp_expire()
    for version in (..., None, "0.1.0", "9.9.9", 1):
        node.ok("ADD")
        assert node.ok("DEL", cniVersion=version) is None
        assert node.pf.vfs[1] is AUTO
        assert node.notes() == []


def test_del_needs_neither_namespace_nor_result_nor_name(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.ok("DEL", netns="", name=...)
    assert node.pf.vfs[1] is AUTO


def test_del_twice_or_without_an_add_is_well(node):
    node.pf.lacp_expire()
    node.ok("DEL")
    assert not node.data.exists()
    node.ok("ADD")
    node.ok("DEL")
    writes = list(node.kernel.writes)
    node.ok("DEL")
    assert node.kernel.writes == writes


def test_del_without_a_note_asks_the_kernel_nothing(node):
    node.ok("ADD")
    node.kernel.requests.clear()
    node.ok("DEL")
    assert not node.kernel.requests


@pytest.mark.parametrize("state", [AUTO, ENABLE], ids=str)
def test_del_leaves_what_was_changed_since(node, state):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.kernel.set_vf(node.pf, 1, state)  # by the relay, when LACP came back; or an admin
    node.kernel.writes.clear()
    node.ok("DEL")
    assert node.kernel.writes == []
    assert node.notes() == []


@pytest.mark.parametrize(
    "other", [{"container": "c2"}, {"ifname": "net2"}, {"name": "green"}], ids=str
)
def test_del_of_another_attachment_changes_nothing(node, other):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.ok("DEL", **other)
    assert node.pf.vfs[1] is DISABLE
    assert node.notes() == [VF.format(1)]


def test_del_after_a_reboot_changes_nothing(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.reboot()
    node.ok("DEL")
    assert node.pf.vfs[1] is DISABLE
    assert node.notes() == []


def test_del_after_the_pf_was_made_anew_changes_nothing(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.kernel.remove(node.pf)
    again = node.kernel.add_pf("ens5f0", vfs=12)
    node.kernel.set_vf(again, 1, DISABLE)
    node.ok("DEL")
    assert again.vfs[1] is DISABLE
    assert node.notes() == []


def test_del_after_the_pf_went_is_well(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.kernel.remove(node.pf)  # while sysfs still shows it
    node.ok("DEL")
    assert node.notes() == []
    node.pf = node.kernel.add_pf("ens5f0", vfs=12)
    node.kernel.add_bond("bond1", node.pf)
    node.pf.lacp_expire()
    node.ok("ADD")
    shutil.rmtree(node.sysfs)
    node.ok("DEL")
    assert node.notes() == []


def fail_to_set(node):
    node.pf.vf_errors[1] = (errno.EBUSY, 1)


def fail_to_read(node):
    node.pf.hidden.add(1)


def fail_for_want_of_a_capability(node):
    node.kernel.permitted = False


def find_a_switchdev(node):
    (node.sysfs / PF / "net" / "ens5f0_0").mkdir()


@pytest.mark.parametrize(
    "trouble", [fail_to_set, fail_to_read, fail_for_want_of_a_capability, find_a_switchdev]
)
def test_del_that_cannot_give_back_succeeds_and_leaves_that_to_the_next(node, trouble):
    node.pf.lacp_expire()
    node.ok("ADD")
    trouble(node)
    ran = node.run("DEL")
    assert (ran.status, ran.out) == (0, None)
    assert VF.format(1) in ran.err
    assert node.notes() == [VF.format(1)]
    node.pf.hidden.clear()
    node.kernel.permitted = True
    shutil.rmtree(node.sysfs / PF / "net" / "ens5f0_0", ignore_errors=True)
    node.pf.lacp_up()
    node.ok("ADD", container="c2")
    assert node.pf.vfs[1] is AUTO
    assert node.notes() == []


@pytest.mark.parametrize("folder", [1, "relative", "/proc/version"], ids=str)
def test_del_that_cannot_find_its_notes_succeeds_and_says_so(node, folder):
    ran = node.run("DEL", dataDir=folder)
    assert (ran.status, ran.out) == (0, None)
    assert ran.err.startswith("pfstatus-cni: ")


# ---- Notes that were left behind, and files that are none


def test_notes_of_one_plugin_are_the_other_ones_too(node, other_plugin):
    node.pf.lacp_expire()
    node.ok("ADD")
    node.plugin = other_plugin
    node.ok("DEL")
    assert node.pf.vfs[1] is AUTO
    assert node.notes() == []


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
    assert node.notes() == []


def test_add_notes_before_it_sets(node):
    node.pf.lacp_expire()
    seen = []
    node.kernel.on_request = lambda request: seen.append((request, node.notes()))
    node.ok("ADD")
    assert ("set", [VF.format(1)]) in seen


def test_add_that_was_killed_before_it_set_leaves_what_del_clears(node):
    node.pf.lacp_expire()
    node.pf.vf_errors[1] = (errno.EIO, 1)  # so that what was sent does nothing
    node.kernel.on_request = lambda request: node.process.kill() if request == "set" else None
    assert node.run("ADD").status == -signal.SIGKILL
    node.kernel.on_request = None
    assert node.notes() == [VF.format(1)]
    node.ok("DEL")
    assert (node.kernel.writes, node.notes()) == ([], [])


def test_note_that_cannot_be_written_leaves_the_one_that_was_there(node):
    node.pf.lacp_expire()
    node.ok("ADD")
    (node.data / f".{VF.format(1)}").mkdir()  # where the new one would be written
    assert node.error("ADD", container="c2")[0] == 5
    assert json.loads((node.data / VF.format(1)).read_text())["owner"] == ["blue", "c1", "net1"]


@pytest.mark.parametrize("text", [b"", bytes(100)], ids=["empty", "zeroes"])
def test_note_that_a_crash_took_the_content_of_is_collected(node, text):
    node.pf.lacp_expire()
    node.ok("ADD")
    (node.data / VF.format(1)).write_bytes(text)
    node.ok("DEL")
    assert node.pf.vfs[1] is DISABLE
    node.ok("GC", **{"cni.dev/valid-attachments": []})
    assert node.notes() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", '{"boot_id": "x", "ifindex": 1, "owner": ["blue", "c1", "net1"]}'),
        (VF.format(1), "vfio-pci\n"),  # as in /etc/driverctl.d
        (VF.format(1), '{"boot_id": "x"}'),
        (VF.format(1), "[" * 4000),
        (VF.format(1), '{"boot_id": "first", "ifindex": "2", "owner": []}'),
    ],
    ids=["name", "driverctl", "half", "deep", "types"],
)
def test_file_of_somebody_else_is_left_alone(node, name, text):
    node.data.mkdir()
    (node.data / name).write_text(text)
    (node.data / VF.format(2)).mkdir()
    (node.data / VF.format(3)).symlink_to("/proc/version")
    before = sorted(path.name for path in node.data.iterdir())
    node.ok("GC", **{"cni.dev/valid-attachments": []})
    node.ok("DEL")
    assert sorted({path.name for path in node.data.iterdir()} - {".lock"}) == before
    assert (node.data / name).read_text() == text
    if name == VF.format(1):
        code, said = node.error("ADD")
        assert code == 5
        assert "dataDir" in said
        assert (node.data / name).read_text() == text


def test_lock_in_a_wrong_folder_empties_no_file(node):
    node.data.mkdir()
    (node.data / ".lock").write_text("somebody's")
    node.ok("ADD")
    assert (node.data / ".lock").read_text() == "somebody's"


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
    assert node.notes() == [VF.format(1)]


def test_gc_takes_null_for_an_empty_list(node):
    """libcni sends it where Go has a nil slice."""
    add_three(node)
    node.ok("GC", **{"cni.dev/valid-attachments": None})
    assert set(node.pf.vfs.values()) == {AUTO}
    assert node.notes() == []


def test_gc_without_a_list_has_nothing_to_do(node):
    """cnitool sends none."""
    add_three(node)
    node.ok("GC")
    assert len(node.notes()) == 3


@pytest.mark.parametrize("valid", [[{}], [1], 3, {}, [{"containerID": "c1"}]], ids=str)
def test_gc_with_a_list_that_is_none_releases_nothing(node, valid):
    add_three(node)
    code, said = node.error("GC", **{"cni.dev/valid-attachments": valid})
    assert code == 7
    assert "cni.dev/valid-attachments" in said
    assert len(node.notes()) == 3


@pytest.mark.parametrize("vf", [1, 2, 3])
def test_gc_goes_on_past_a_vf_that_fails_and_tells_of_it(node, vf):
    add_three(node)
    node.pf.vf_errors[vf] = (errno.EBUSY, 1)
    assert node.error("GC", **attachments())[0] == 11
    assert node.notes() == [VF.format(vf)]


def test_gc_of_another_network_releases_nothing(node):
    add_three(node)
    node.ok("GC", name="green", **attachments())
    assert len(node.notes()) == 3


def test_gc_forgets_other_boots_of_any_network(node):
    add_three(node)
    node.reboot()
    node.ok("GC", name="green", **attachments())
    assert node.notes() == []
    assert set(node.pf.vfs.values()) == {AUTO, DISABLE}, "it set VFs of another boot"


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
    found, said = node.error(command)
    assert found == code
    assert "CAP_NET_ADMIN" in said


@pytest.mark.parametrize(("command", "code"), [("ADD", 5), ("CHECK", 5), ("GC", 5), ("STATUS", 50)])
def test_notes_that_cannot_be_written_are_a_failure(node, command, code):
    node.data.write_text("a file where a folder should be")
    found, said = node.error(command, **attachments())
    assert found == code
    assert str(node.data) in said


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


WRONG = [
    ({"stdin": ""}, 6, "no JSON"),
    ({"stdin": '{"cniVersion": "1.1.0",'}, 6, "no JSON"),
    ({"stdin": "\x80"}, 6, "no JSON"),
    ({"stdin": "[" * 100_000}, 6, "no JSON"),
    ({"stdin": "[]"}, 7, "object"),
    ({"stdin": "3"}, 7, "object"),
    ({"cniVersion": ...}, 1, "cniVersion is missing"),
    ({"cniVersion": "0.2.0"}, 1, "0.2.0 is unknown"),
    ({"cniVersion": "2.0.0"}, 1, "0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"),
    ({"cniVersion": ["1.1.0"]}, 7, "cniVersion must be a string"),
    ({"name": ...}, 7, "name is missing"),
    ({"name": 1}, 7, "name must be a string"),
    ({"dataDir": 1}, 7, "dataDir must be a string"),
    ({"dataDir": "notes"}, 7, "dataDir must be an absolute path"),
    ({"prevResult": ...}, 7, "after the one that moves the VF"),
    ({"prevResult": None}, 7, "after the one that moves the VF"),
    ({"prevResult": []}, 7, "prevResult must be an object"),
    ({"prevResult": {"interfaces": {}}}, 7, "prevResult.interfaces must be a list"),
    ({"prevResult": {"interfaces": ["net1"]}}, 7, "must be a list of objects"),
    ({"prevResult": VFIO}, 100, "no deviceID names one"),
    ({"prevResult": VFIO, "runtimeConfig": "x"}, 7, "runtimeConfig must be an object"),
    ({"prevResult": VFIO, "deviceID": 7}, 7, "deviceID must be a string"),
    ({"prevResult": VFIO, "deviceID": "../../net/ens5f0"}, 100, "no PCI address"),
    ({"prevResult": VFIO, "deviceID": ".."}, 100, "no PCI address"),
    ({"prevResult": VFIO, "deviceID": f"/{VF.format(1)}"}, 100, "no PCI address"),
    ({"prevResult": VFIO, "deviceID": f"{VF.format(1)}\n"}, 100, "no PCI address"),
    ({"prevResult": VFIO, "deviceID": PF}, 100, f"{PF} is no VF"),
    ({"prevResult": VFIO, "deviceID": "0000:ff:00.0"}, 100, "no VF of this host"),
    ({"container": ""}, 4, "CNI_CONTAINERID"),
    ({"ifname": ""}, 4, "CNI_IFNAME"),
    ({"netns": ""}, 4, "CNI_NETNS"),
]


def test_add_answers_with_the_code_and_the_words_for_what_is_wrong(node):
    node.pf.lacp_expire()
    for config, code, words in WRONG:
        found, said = node.error("ADD", **config)
        assert (found, words in said) == (code, True), (config, said)
        assert "Error(" not in said
        assert (node.kernel.writes, node.notes()) == ([], []), config


@pytest.mark.parametrize("command", ["GC", "STATUS", "CHECK"])
def test_command_is_taken_from_the_version_on_that_has_it(node, command):
    since = "0.4.0" if command == "CHECK" else "1.1.0"
    node.pf.lacp_expire()
    node.ok("ADD")
    for version in VERSIONS[: VERSIONS.index(since)]:
        code, said = node.error(command, cniVersion=version, **attachments())
        assert (code, since in said) == (1, True), said
        assert node.notes() == [VF.format(1)]
    for version in VERSIONS[VERSIONS.index(since) :]:
        node.ok(command, cniVersion=version, **attachments())


def test_variables_that_are_missing_are_named(node):
    assert "CNI_IFNAME" in node.error("DEL", ifname="")[1]


@pytest.mark.parametrize("command", ["", "add", "UPDATE"])
def test_unknown_command_is_an_error_of_the_environment(node, command):
    code, said = node.error(command)
    assert code == 4
    assert "CNI_COMMAND" in said


def test_errors_speak_the_version_that_was_asked(node):
    for version in VERSIONS:
        ran = node.run("ADD", cniVersion=version, prevResult=None)
        assert ran.out["cniVersion"] == version


def test_name_that_is_no_utf8_is_an_error_and_no_silence(node):
    node.pf.lacp_expire()
    ran = node.run("ADD", ifname=os.fsdecode(b"net\xff"))
    assert ran.status == 1
    assert ran.out["code"] == 100


# ---- As a program, on the host's kernel


def execute(plugin, command, config=None, **variables):
    return subprocess.run(
        plugin.argv,
        input=json.dumps(config) if config is not None else None,
        stdin=subprocess.DEVNULL if config is None else None,
        env=environment(CNI_COMMAND=command, **variables),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_version_needs_no_configuration(plugin):
    ran = execute(plugin, "VERSION")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {"cniVersion": "1.1.0", "supportedVersions": VERSIONS}


def test_two_at_a_time_take_turns(plugin, tmp_path):
    config = {"cniVersion": "1.1.0", "name": "blue", "dataDir": str(tmp_path)}
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            plugin.argv,
            stdin=subprocess.PIPE,
            env=environment(CNI_COMMAND="DEL", CNI_CONTAINERID="c1", CNI_IFNAME="net1"),
        ) as waiting:
            waiting.stdin.write(json.dumps(config).encode())
            waiting.stdin.close()
            deadline = time.monotonic() + SECONDS
            # A line of somebody who waits: "3: -> FLOCK  ADVISORY  WRITE 4711 00:1f:42 0 EOF"
            while f"WRITE {waiting.pid} " not in Path("/proc/locks").read_text():
                assert waiting.poll() is None, "it did not wait"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert waiting.wait(SECONDS) == 0


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
    _, said = holder.communicate(timeout=SECONDS)
    if not inside:
        pytest.skip(f"no network namespace with veth can be made here: {said.decode().strip()}")


@pytest.mark.parametrize("ifname", ["net1", "lo", "gone"])
def test_interface_in_a_namespace_that_is_no_vf_is_named(plugin, ifname, netns, tmp_path):
    config = {
        "cniVersion": "1.0.0",
        "name": "blue",
        "dataDir": str(tmp_path),
        "prevResult": {"interfaces": [{"name": ifname, "sandbox": netns}]},
    }
    ran = execute(plugin, "ADD", config, CNI_CONTAINERID="c1", CNI_NETNS=netns, CNI_IFNAME=ifname)
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["code"], ran.stderr) == (1, 100, "")
    assert ifname in said["msg"]


@pytest.mark.parametrize("netns", ["/run/netns/none", "/dev/null"])
def test_namespace_that_is_none_is_named(plugin, netns, tmp_path):
    if os.geteuid():
        pytest.skip("entering a network namespace takes root")
    config = {
        "cniVersion": "1.0.0",
        "name": "blue",
        "dataDir": str(tmp_path),
        "prevResult": {"interfaces": [{"name": "net1", "sandbox": netns}]},
    }
    ran = execute(plugin, "CHECK", config, CNI_CONTAINERID="c1", CNI_NETNS=netns, CNI_IFNAME="net1")
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["code"]) == (1, 100)
    assert netns in said["msg"]


def test_status_without_cap_net_admin_is_50(plugin, tmp_path):
    config = {"cniVersion": "1.1.0", "name": "blue", "dataDir": str(tmp_path / "notes")}
    tmp_path.chmod(0o777)
    argv = plugin.argv
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed, and root is all-powerful")
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]
    ran = subprocess.run(
        argv,
        input=json.dumps(config),
        env=environment(CNI_COMMAND="STATUS"),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["code"]) == (1, 50), ran
    assert "CAP_NET_ADMIN" in said["msg"]
