"""What a runtime does with a plugin, on a sysfs and a kernel of our own, or the host's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfstatus.testing import FakeKernel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "examples" / "cni"
SECONDS = 60.0
PF, VF = "0000:3b:00.0", "0000:3b:02.{}"

RESULT = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "vethab", "mac": "02:00:00:00:00:01"},
        {"name": "net1", "sandbox": "/run/netns/pod", "mtu": 9000, "pciID": VF.format(1)},
    ],
    "ips": [{"address": "192.0.2.2/24", "interface": 1}],
    "dns": {},
    "unheard-of": [None, 1.5, -(2**62), True, "\u00e4\U0001f600"],
}


class Process(Protocol):
    """A call under way."""

    def wait(self, timeout: float) -> int:
        """The exit status; negative for a signal's."""

    def kill(self) -> None:
        """SIGKILL."""


class Call(NamedTuple):
    """What a plugin is called with."""

    environment: dict[str, str]
    directory: Path
    streams: list[int]
    """stdin, stdout, stderr."""
    host: int
    pod: int
    """Descriptors of FakeKernels."""


@dataclass(frozen=True)
class Plugin:
    """One of the two."""

    argv: list[str]
    """How it runs on the host's kernel."""
    start: Callable[[Call], Process]
    """Runs it on another kernel."""


class Forked:
    """A process of a Zygote's."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pid = int(control.recv(64))

    def wait(self, timeout: float) -> int:
        self._control.settimeout(timeout)
        return os.waitstatus_to_exitcode(int(self._control.recv(64)))

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


class Zygote:
    """A Python that has imported the plugin."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "python_plugin.py"), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )

    def start(self, call: Call) -> Process:
        request = json.dumps([call.environment, str(call.directory)]).encode()
        self._control.settimeout(SECONDS)
        socket.send_fds(self._control, [request], [*call.streams, call.host, call.pod])
        return Forked(self._control)

    def close(self) -> None:
        self._control.close()
        self._process.wait(SECONDS)


def compile_c(path: Path) -> Plugin:
    """The C plugin with sanitizers, and a second time for a kernel of ours."""
    compiler = shutil.which("cc")
    jansson = compiler and subprocess.run(
        ["pkg-config", "--cflags", "--libs", "jansson", "libnl-3.0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not jansson or jansson.returncode:
        pytest.skip("the C plugin needs a C compiler, libjansson-dev and libnl-3-dev")
    flags = [
        *("-std=gnu11", "-g", "-Wall", "-Wextra", "-Wshadow", "-Werror", f"-I{ROOT / 'csrc'}"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    ]
    plugin = str(EXAMPLES / "pfstatus-cni.c")
    fake = ['-DDEVICES="devices"', '-DBOOT_ID="boot_id"', str(HERE / "wrap_open.c")]
    library = [*jansson.stdout.split(), "-lpthread"]
    headers = [word for word in library if word.startswith("-I")]

    def cc(*arguments: str) -> None:
        made = subprocess.run(
            [compiler, *flags, *arguments], cwd=path, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr

    cc("-c", *headers, *(str(source) for source in sorted((ROOT / "csrc").glob("*.c"))))
    core = [str(file) for file in sorted(path.glob("*.o"))]
    cc("-o", "on-host", plugin, *core, *library)
    cc("-o", "on-fake", plugin, *fake, "-Wl,--wrap=pfs_open", *core, *library)

    def start(call: Call) -> Process:
        return subprocess.Popen(
            [str(path / "on-fake")],
            cwd=call.directory,
            env={
                **call.environment,
                "PFSTATUS_TEST_HOST": str(call.host),
                "PFSTATUS_TEST_POD": str(call.pod),
            },
            stdin=call.streams[0],
            stdout=call.streams[1],
            stderr=call.streams[2],
            pass_fds=[call.host, call.pod],
        )

    return Plugin([str(path / "on-host")], start)


def environment(**variables: str) -> dict[str, str]:
    """A runtime's, which has nothing of ours."""
    # What is allocated is the process's, which ends with its command.
    return {"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=0", **variables}


@dataclass
class Ran:
    """What became of a call."""

    status: int
    out: Any
    """What was on stdout, from JSON; None for nothing."""
    err: str


def add_vfs(sysfs: Path, pf: str, ifname: str, pattern: str, count: int) -> None:
    """PCI devices as the kernel shows a PF with VFs."""
    (sysfs / pf / "net" / ifname).mkdir(parents=True)
    for number in range(count):
        vf = sysfs / pattern.format(number)
        vf.mkdir()
        (vf / "physfn").symlink_to(f"../{pf}")
        (sysfs / pf / f"virtfn{number}").symlink_to(f"../{vf.name}")


@dataclass
class Node:
    """A node with one PF, `ens5f0`, in a bond."""

    kernel: FakeKernel
    pod: FakeKernel
    """What the pod's namespace shows."""
    path: Path
    plugin: Plugin
    process: Process | None = field(default=None, init=False)
    """The plugin while it runs."""

    def __post_init__(self) -> None:
        self.pf = self.kernel.add_pf("ens5f0", vfs=12)
        self.bond = self.kernel.add_bond("bond0", self.pf)
        self.sysfs = self.path / "devices"
        add_vfs(self.sysfs, PF, "ens5f0", VF, 12)
        self.data = self.path / "data"
        self.boot_id = self.path / "boot_id"
        self.boot_id.write_text("first\n")
        self.netns = self.path / "netns"
        self.netns.touch()

    def run(
        self,
        command: str,
        *,
        container: str = "c1",
        ifname: str = "net1",
        netns: str | None = None,
        stdin: str | None = None,
        **config: Any,
    ) -> Ran:
        """Runs the plugin as a runtime does. What is `...` is left out of the configuration."""
        whole = {
            "cniVersion": "1.1.0",
            "name": "blue",
            "type": "pfstatus-cni",
            "dataDir": str(self.data),
        }
        if command in ("ADD", "CHECK"):
            whole["prevResult"] = RESULT
        whole = {key: value for key, value in (whole | config).items() if value is not ...}
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": str(self.netns) if netns is None else netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": "/opt/cni/bin",
        }
        host, pod = (each.descriptors(events=False)[0] for each in (self.kernel, self.pod))
        with ExitStack() as stack:
            for fd in (host, pod):
                stack.callback(os.close, fd)
            streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            text = json.dumps(whole) if stdin is None else stdin
            streams[0].write(text.encode())
            streams[0].seek(0)
            fds = [stream.fileno() for stream in streams]
            self.process = self.plugin.start(
                Call(environment(**variables), self.path, fds, host, pod)
            )
            status = self.process.wait(SECONDS)
            for stream in streams:
                stream.seek(0)
            _, out, err = (stream.read().decode() for stream in streams)
        return Ran(status, json.loads(out) if out else None, err)

    def ok(self, command: str, **config: Any) -> Any:
        """Returns what was on stdout, from JSON; None for nothing."""
        ran = self.run(command, **config)
        assert ran.status == 0, ran
        return ran.out

    def error(self, command: str, **config: Any) -> tuple[int, str]:
        """Returns the code and the message."""
        ran = self.run(command, **config)
        assert ran.status == 1, ran
        assert set(ran.out) == {"cniVersion", "code", "msg"}
        return ran.out["code"], ran.out["msg"]

    def notes(self) -> list[str]:
        """The VFs of which there are notes."""
        return sorted(path.name for path in self.data.glob("[!.]*"))

    def reboot(self) -> None:
        self.boot_id.write_text("second\n")
