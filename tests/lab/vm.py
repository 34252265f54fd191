"""Runs a command as root in a virtual machine that has LACP and simulated SR-IOV NICs.

    python3 tests/lab/vm.py [--kernel 6.12] [--timeout 300] [--results DIR] -- COMMAND ...

The guest sees the host's files as they are, in the same directory, and may write to them: what it
writes is gone when it ends, but for DIR, which it finds in $LAB_RESULTS. The command's output is
ours, and so is its exit status: 124 when the time is over, 125 when the lab failed or the guest's
kernel complained (an oops, a BUG, a WARNING).
"""

import argparse
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import initramfs
import switch_programs
from kernel import Kernel, resolve, series
from packages import CACHE, LabError

TIMED_OUT = 124
LAB_FAILED = 125

REQUIREMENTS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "gcc": "gcc",
    "make": "make",
    "zstd": "zstd",
    "ip": "iproute2",
    "ping": "iputils-ping",
}
"""What must be there, and the package that brings it. objtool, of the headers, needs libelf too."""

_COMPLAINT = re.compile(
    r"Kernel panic|\bBUG: |\bWARNING: |\bOops\b|general protection fault|"
    r"rcu: INFO: .*(stall|expedited)|blocked for more than|unregister_netdevice: waiting"
)
_EXCERPT_LINES = 60
_KVM_TRIAL_SECONDS = 20.0
_START_SECONDS = 90.0
"""Under emulation on a loaded host a boot hangs once in a while, in the kernel's first lines."""
_EXACT_START_SECONDS = 300.0
"""Counting instructions costs several times as much, and a busy host as much again."""
_STARTED = b"started\n"


class NotStartedError(TimeoutError):
    """The guest did not get as far as the command."""


def say(line: str) -> None:
    """Tells on stderr what takes time."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


def find_busybox() -> Path:
    """The static busybox: in the initramfs there is no libc."""
    for path in map(Path, ("/bin/busybox", "/usr/bin/busybox")):
        if path.exists() and b"/ld-linux" not in path.read_bytes()[:4096]:
            return path
    raise LabError("no statically linked busybox here; install: busybox-static")


def check_requirements() -> None:
    """Raises LabError naming the packages that are missing."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = [
        package for tool, package in REQUIREMENTS.items() if not shutil.which(tool, path=path)
    ]
    if missing:
        raise LabError("missing here; install: " + " ".join(missing))
    os.environ["PATH"] = path


@dataclass(frozen=True, slots=True)
class Machine:
    """What QEMU is to make."""

    kernel: Kernel
    accel: str
    cpus: int = 2
    memory: int = 2048
    """MiB."""
    results: Path | None = None
    exact: bool = False
    """One processor, emulated, whose clock counts its instructions: each takes a nanosecond."""
    switches: Path | None = None
    """Where other switches' programs are."""

    def initramfs(self, command: Sequence[str]) -> bytes:
        settings = {"RELEASE": self.kernel.release, "MODULES": str(self.kernel.modules)}
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PFSTATUS_LAB": "1",
        }
        if self.results:
            settings["RESULTS"] = "yes"
            environment["LAB_RESULTS"] = "/run/lab/results"
        if self.switches:
            environment["LAB_SWITCHES"] = str(self.switches)
        variables = [f"{name}={value}" for name, value in environment.items()]
        return initramfs.build(
            self.kernel,
            find_busybox(),
            "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()),
            "#!/bin/sh\n"
            f"cd {shlex.quote(str(Path.cwd()))} || exit\n"
            f"exec env -i {shlex.join([*variables, *command])}\n",
        )

    def qemu(self, initrd: Path, console: Path, output: int, control: int) -> list[str]:
        append = [
            *("console=ttyS0", "quiet", "loglevel=5"),  # warnings and worse
            *("oops=panic", "panic=-1"),  # and -no-reboot: a crash ends QEMU at once
            *("mitigations=off", "audit=0", "tsc=reliable"),  # faster, above all under emulation
        ]
        threads = "single" if self.exact else "multi"
        share = "local,security_model=none,multidevs=remap"
        arguments = [
            "qemu-system-x86_64",
            *("-accel", "kvm" if self.accel == "kvm" else f"tcg,thread={threads}"),
            *(("-icount", "shift=0,sleep=on") if self.exact else ()),
            *("-cpu", "host" if self.accel == "kvm" else "max,la57=off"),
            *("-smp", str(self.cpus), "-m", str(self.memory)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *(
                "-kernel",
                str(self.kernel.image),
                "-initrd",
                str(initrd),
                "-append",
                " ".join(append),
            ),
            *("-serial", f"file:{console}"),
            *("-device", "virtio-serial"),
            *("-add-fd", f"fd={output},set=1", "-add-fd", f"fd={control},set=2"),
            *("-chardev", "file,id=output,path=/dev/fdset/1,append=on"),
            *("-chardev", "file,id=control,path=/dev/fdset/2,append=on"),
            *("-device", "virtserialport,nr=1,chardev=output"),
            *("-device", "virtserialport,nr=2,chardev=control"),
            *("-virtfs", f"{share},path=/,mount_tag=host,readonly=on"),
        ]
        if self.results:
            arguments += ["-virtfs", f"{share},path={self.results},mount_tag=results"]
        return arguments


@contextmanager
def _running(arguments: Sequence[str], log: Path, keep: Sequence[int]) -> Iterator[None]:
    """QEMU, in a session of its own so that Ctrl-C is ours to handle; ended in any case."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            pass_fds=keep,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _follow(output: int, control: int, start: float, timeout: float) -> Iterator[tuple[int, bytes]]:
    """What comes from either pipe, until both were closed by QEMU's end or the time is over.

    Args:
        output: the pipe of the command's output.
        control: the pipe of what the guest tells of its state.
        start: seconds in which the guest must have started.
        timeout: seconds for all.
    """
    begin = time.monotonic()
    deadline = begin + min(timeout, start)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        selector.register(control, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError if deadline == begin + timeout else NotStartedError
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if data:
                    if key.fd == control:  # its first word is _STARTED
                        deadline = begin + timeout
                    yield key.fd, data
                else:
                    selector.unregister(key.fd)


def _excerpt(console: Path) -> str:
    """The kernel's last lines, or those around its first complaint if it had one."""
    lines = console.read_text(errors="replace").splitlines()
    end = len(lines)
    for number, line in enumerate(lines):
        if _COMPLAINT.search(line):
            end = number + _EXCERPT_LINES - 10
            break
    return "\n".join(lines[max(0, end - _EXCERPT_LINES) : end])


def run(machine: Machine, command: Sequence[str], timeout: float) -> int:
    """Boots the machine for one command and gives its exit status; see the module's docstring.

    Raises:
        LabError: the machine did not come up or its kernel complained.
        NotStartedError: it hung before the command.
        TimeoutError: the time is over.
    """
    with tempfile.TemporaryDirectory(prefix="pfstatus-lab-") as scratch:
        initrd, console, log = (Path(scratch) / name for name in ("initrd", "console", "qemu"))
        initrd.write_bytes(machine.initramfs(command))
        console.touch()
        output, qemu_output = os.pipe()
        control, qemu_control = os.pipe()
        arguments = machine.qemu(initrd, console, qemu_output, qemu_control)
        begin = time.monotonic()
        start = _EXACT_START_SECONDS if machine.exact else _START_SECONDS
        told = b""
        try:
            with _running(arguments, log, (qemu_output, qemu_control)):
                os.close(qemu_output)
                os.close(qemu_control)
                for source, data in _follow(output, control, start, timeout):
                    if source == output:
                        sys.stdout.buffer.write(data)
                        sys.stdout.buffer.flush()
                        continue
                    told += data
                    if data.startswith(_STARTED):
                        say(f"running after {time.monotonic() - begin:.1f} s")
        except NotStartedError:
            say(f"not started after {start:g} s")
            raise
        except TimeoutError:
            say(f"no end after {timeout:g} s; the kernel's last lines:\n{_excerpt(console)}")
            raise
        finally:
            os.close(output)
            os.close(control)

        kernel_log = console.read_text(errors="replace")
        if _COMPLAINT.search(kernel_log):
            raise LabError(f"the guest's kernel complained:\n{_excerpt(console)}")
        status = re.search(rb"^exit (\d+)$", told, re.MULTILINE)
        if not status:
            raise LabError(f"the guest ended too early:\n{log.read_text()}{_excerpt(console)}")
        return int(status[1])


def choose_accel(wanted: str, kernel: Kernel) -> str:
    """KVM only where this kernel was seen to run with it: /dev/kvm alone proves nothing."""
    if wanted != "auto":
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdicts = {accel: f"{boot} {accel}" for accel in ("kvm", "tcg")}
    file = CACHE / f"accel-{kernel.release}"
    known = file.read_text() if file.exists() else ""
    if known not in verdicts.values():
        say("trying whether KVM runs this kernel (once)")
        try:
            run(Machine(kernel, "kvm"), ["true"], _KVM_TRIAL_SECONDS)
            known = verdicts["kvm"]
        except (LabError, TimeoutError):
            known = verdicts["tcg"]
        file.write_text(known)
    return known.split()[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requirements", action="store_true", help="print the packages needed")
    parser.add_argument("--list", action="store_true", help="print the kernel series to be had")
    parser.add_argument("--prepare", action="store_true", help="have the kernel ready, no more")
    parser.add_argument("--kernel", metavar="VERSION", help="a version prefix, such as 6.12")
    parser.add_argument(
        "--switches", action="store_true", help="have Open vSwitch, teamd and DPDK there too"
    )
    parser.add_argument("--timeout", type=float, default=600, help="seconds")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", type=int, default=2048, help="MiB")
    parser.add_argument("--accel", choices=("auto", "tcg", "kvm"), default="auto")
    parser.add_argument(
        "--exact", action="store_true", help="one processor, an instruction is a nanosecond"
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="$LAB_RESULTS in the guest")
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    options = parser.parse_args()
    if options.requirements:
        print(*sorted({*REQUIREMENTS.values(), "libelf-dev"}), sep="\n")
        return 0
    if options.list:
        print(*series())
        return 0
    if not options.command and not options.prepare:
        parser.error("no COMMAND to run")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_requirements()
        kernel = Kernel(resolve(options.kernel))
        kernel.prepare(say)
        switches = switch_programs.prepare(say) if options.switches else None
        if options.prepare:
            return 0
        if options.results:
            options.results.mkdir(parents=True, exist_ok=True)
        machine = Machine(
            kernel,
            "tcg" if options.exact else choose_accel(options.accel, kernel),
            1 if options.exact else options.cpus,
            options.memory,
            options.results and options.results.resolve(),
            options.exact,
            switches,
        )
        say(f"booting {kernel.release} ({machine.accel}{', exact clock' if options.exact else ''})")
        try:
            return run(machine, options.command, options.timeout)
        except NotStartedError:
            say("booting once more")
            return run(machine, options.command, options.timeout)
    except TimeoutError:
        return TIMED_OUT
    except (LabError, subprocess.CalledProcessError) as error:
        say(str(error))
        return LAB_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
