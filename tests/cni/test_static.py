"""The C plugin as examples/cni/build-static makes it, where it was: small, static, the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from cni_node import ROOT, SECONDS, environment

EMULATORS = {"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}
MACHINES = {"amd64": 62, "arm64": 183}  # EM_X86_64, EM_AARCH64
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)


@pytest.fixture(params=EMULATORS)
def static(request):
    """Architecture, file, and the arguments that run it here."""
    arch = request.param
    file = ROOT / "build" / "cni" / f"pfstatus-cni-{arch}"
    if not file.exists():
        pytest.skip(f"not built: examples/cni/build-static {arch}")
    if arch == HERE:
        return arch, file, [str(file)]
    if not shutil.which(EMULATORS[arch]):
        pytest.skip(f"no {EMULATORS[arch]} here: apt-get install qemu-user-static")
    return arch, file, [EMULATORS[arch], str(file)]


def test_static_plugin_is_one_small_file_that_needs_no_other(static):
    arch, file, _ = static
    elf = file.read_bytes()
    assert len(elf) < 400_000
    assert int.from_bytes(elf[18:20], "little") == MACHINES[arch]
    assert b"/ld-musl" not in elf
    assert b"/ld-linux" not in elf


def test_static_plugin_answers(static, tmp_path):
    *_, argv = static

    def call(command, config, **variables):
        ran = subprocess.run(
            argv,
            input=json.dumps(config),
            env=environment(CNI_COMMAND=command, **variables),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return ran.returncode, json.loads(ran.stdout or "null")

    config = {"cniVersion": "1.1.0", "name": "blue", "dataDir": str(tmp_path)}
    attachment = {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "net1", "CNI_NETNS": "/run/netns/none"}
    assert call("VERSION", config)[1]["supportedVersions"][0] == "0.3.0"
    assert call("DEL", config, **attachment) == (0, None)
    assert call("GC", config | {"cni.dev/valid-attachments": None}) == (0, None)
    status, said = call("ADD", config | {"prevResult": {}}, **attachment)
    assert (status, said["code"]) == (1, 100)
