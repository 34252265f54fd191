"""What happens to the relay itself: signals, files, memory, descriptors, others like it."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from topology import run, wait_for

from faults.kit import AGENT, World, fault, resident_kib
from faults.lacp import AUTO, DISABLED

SIXTEEN = (16, 2)


@fault(
    "kill -9 while VFs are set; the next relay goes on",
    "pf0: 16 disable, pf1: 2 auto",
    vfs=SIXTEEN,
    quick=True,
)
def killed(world: World) -> Iterator[None]:
    world.pf0.nic.slow(set_seconds=0.05)
    relay = world.relay(*world.owned)
    world.silence()
    world.begun(world.pf0)
    relay.process.kill()
    relay.process.wait()
    assert "auto" in world.pf0.nic.vf_states().values(), "killed in the middle"
    world.relay(*world.owned, up=("pf1",))
    yield


@fault(
    "W12: kill -9 in an outage, which ends before the next relay starts; one VF is disabled by "
    "somebody else",
    "pf0: 15 auto 1 disable, pf1: 2 auto",
    "with --restore owned; said",
    vfs=SIXTEEN,
)
def killed_and_over(world: World) -> Iterator[None]:
    world.pf0.set_vfs("disable", 15)
    relay = world.relay(*world.owned)
    world.outage(world.pf0)
    relay.process.kill()
    relay.process.wait()
    world.speak()
    world.pf0.wait_lacp(up=True)
    relay = world.relay(*world.owned)
    yield
    assert relay.wait("vfs are disabled, and not by this relay")["ids"] == [15]


@fault("W14: SIGTERM in an outage, with --on-exit restore", AUTO, "exit 0 within 5 s")
def given_back(world: World) -> Iterator[None]:
    state = str(world.folder / "vfs.json")
    relay = world.relay("--on-exit", "restore", "--state-file", state)
    world.outage(world.pf0)
    status, seconds = relay.terminate()
    yield
    assert status == 0
    assert seconds < 5


@fault(
    "SIGTERM while VFs are set; the next relay goes on",
    "pf0: 16 disable, pf1: 2 auto",
    "exit 0 within 5 s",
    vfs=SIXTEEN,
)
def terminated(world: World) -> Iterator[None]:
    world.pf0.nic.slow(set_seconds=0.1)
    relay = world.relay()
    world.silence()
    world.begun(world.pf0)
    status, seconds = relay.terminate()
    world.relay(up=("pf1",))
    yield
    assert status == 0
    assert seconds < 5, seconds


@fault("the state file is damaged", DISABLED, "said; moved aside")
def damaged(world: World) -> Iterator[None]:
    (world.folder / "vfs.json").write_text('{"boot_id": "', encoding="utf-8")
    relay = world.relay(*world.owned)
    relay.wait("record of disabled vfs is damaged, and was moved aside")
    world.silence()
    yield
    assert (world.folder / "vfs.json.damaged").exists()


@fault(
    "the state file is of another boot, and names VFs that somebody disabled now",
    "pf0: 3 auto 1 disable, pf1: 2 auto",
    "they are not given back",
)
def foreign(world: World) -> Iterator[None]:
    nic = {"ifindex": world.pf0.ifindex, "name": "pf0", "disabled": [2], "lent": []}
    record = {"boot_id": "another", "nics": [nic]}
    (world.folder / "vfs.json").write_text(json.dumps(record), encoding="utf-8")
    world.pf0.set_vfs("disable", 2)
    relay = world.relay(*world.owned)
    assert relay.wait("vfs are disabled, and not by this relay")["ids"] == [2]
    yield


@fault("the state file's folder is read-only", DISABLED, "said once")
def read_only(world: World) -> Iterator[None]:
    run("mount", "-t", "tmpfs", "-o", "ro", "none", str(world.folder))
    world.stack.callback(run, "umount", "-l", str(world.folder))
    relay = world.relay(*world.owned)
    world.silence()
    yield
    assert len(relay.said("failed to record disabled vfs")) == 1


@fault("the state file's disk is full", DISABLED, "said; recorded when there is room again")
def full_disk(world: World) -> Iterator[None]:
    run("mount", "-t", "tmpfs", "-o", "size=16k", "none", str(world.folder))
    world.stack.callback(run, "umount", "-l", str(world.folder))
    relay = world.relay(*world.owned)
    filler = world.folder / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}"], stderr=subprocess.DEVNULL, check=False)
    world.silence()
    yield
    relay.wait("failed to record disabled vfs")
    filler.unlink()
    relay.wait("disabled vfs are recorded again")


@fault("the state file's folder is removed in an outage", AUTO, "it is made again")
def no_folder(world: World) -> Iterator[None]:
    state = world.folder / "run" / "vfs.json"
    world.relay("--restore", "owned", "--state-file", str(state))
    world.outage(world.pf0)
    run("rm", "-r", str(state.parent))
    world.speak()
    yield
    assert state.exists()


@fault(
    "two relays on a PF; the first is killed while it sets VFs",
    "pf0: 16 disable, pf1: 2 auto",
    "the second takes over",
    vfs=SIXTEEN,
)
def two_relays(world: World) -> Iterator[None]:
    world.pf0.nic.slow(set_seconds=0.05)
    first = world.relay(*world.owned)
    second = world.relay(*world.owned)
    second.wait("another relay watches this pf", interface="pf0")
    world.silence()
    world.begun(world.pf0)
    first.process.kill()
    yield
    second.wait("pf was taken over from another relay", interface="pf0")


@fault(
    "SIGSTOP for a minute, in which LACP is lost and a VF of the other PF is disabled",
    "pf0: 4 disable, pf1: 2 auto",
    limit=240.0,
)
def stopped(world: World) -> Iterator[None]:
    relay = world.relay()
    relay.process.send_signal(signal.SIGSTOP)
    world.silence()
    world.pf1.set_vfs("disable", 0)
    time.sleep(60)
    relay.process.send_signal(signal.SIGCONT)
    yield


@fault("the clock jumps by a year, both ways, in an outage and after it", AUTO, "4 were disabled")
def clock_jumps(world: World) -> Iterator[None]:
    relay = world.relay("--up-delay", "1")
    year = 365 * 86400
    now = time.time()
    world.stack.callback(
        lambda began: time.clock_settime(time.CLOCK_REALTIME, now + time.monotonic() - began),
        time.monotonic(),
    )
    world.silence()
    time.clock_settime(time.CLOCK_REALTIME, now + year)
    relay.wait("vf link state was set", count=4, state="disable", interface="pf0")
    time.clock_settime(time.CLOCK_REALTIME, now - year)
    time.sleep(1)
    world.speak()
    relay.wait_up("pf0")
    time.clock_settime(time.CLOCK_REALTIME, now + 2 * year)
    yield


@fault(
    "the clock jumps by an hour, both ways, with --heartbeat late",
    AUTO,
    "no silence is told of",
    limit=240.0,
)
def clock_jumps_heartbeat(world: World) -> Iterator[None]:
    relay = world.relay("--heartbeat", "late")
    for pf in ("pf0", "pf1"):
        relay.wait("partner was learned", 60, interface=pf)
    for hours in (1, -1, -1, 1):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + hours * 3600)
        time.sleep(4)
    yield
    assert not relay.said("partner is silent")
    assert world.pf0.nic.calls()[0] == 0


@fault("standard output is read by nobody, and full", "pf0: 64 disable, pf1: 2 auto", vfs=(64, 2))
def unread(world: World) -> Iterator[None]:
    reader, writer = os.pipe()
    world.stack.callback(os.close, reader)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([*AGENT, "pf0", "pf1"], stdout=writer)
    world.stack.callback(process.wait)
    world.stack.callback(process.kill)
    filler = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    os.close(writer)
    time.sleep(3)
    with suppress(BlockingIOError):
        while True:
            os.write(filler, b"\n")
    os.close(filler)
    world.outage(world.pf0)
    world.speak()
    wait_for(lambda: "disable" not in world.pf0.nic.vf_states().values(), 10, "given back")
    world.silence()
    yield
    assert process.poll() is None


@fault("whoever reads standard output goes away", DISABLED, "the relay goes on")
def reader_leaves(world: World) -> Iterator[None]:
    process = subprocess.Popen([*AGENT, "pf0", "pf1"], stdout=subprocess.PIPE)
    world.stack.callback(process.wait)
    world.stack.callback(process.kill)
    assert process.stdout
    while b"lacp is up" not in process.stdout.readline():
        pass
    process.stdout.close()
    world.outage(world.pf0)
    world.speak()
    wait_for(lambda: "disable" not in world.pf0.nic.vf_states().values(), 10, "given back")
    world.silence()
    yield
    assert process.poll() is None


_SHUT = """
import os, runpy, signal, sys
def shut(*_):
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.close(int(fd))
        except FileNotFoundError:
            pass
signal.signal(signal.SIGUSR1, shut)
sys.argv[:1] = ["pfstatus", "relay"]
runpy.run_module("pfstatus.cli", run_name="__main__")
"""


@fault(
    "all its sockets are closed under it", DISABLED, "it ends with status 3; the next one serves"
)
def sockets_closed(world: World) -> Iterator[None]:
    relay = world.relay(program=(sys.executable, "-c", _SHUT))
    relay.process.send_signal(signal.SIGUSR1)
    assert relay.process.wait(15) == 3
    world.relay()
    world.silence()
    yield


@fault(
    "no descriptor is left (RLIMIT_NOFILE), with --restore owned",
    DISABLED,
    "said of the state file",
)
def no_descriptors(world: World) -> Iterator[None]:
    relay = world.relay(*world.owned)
    time.sleep(1)
    pid = relay.process.pid
    free = next(fd for fd in count() if not Path(f"/proc/{pid}/fd/{fd}").is_symlink())
    run("prlimit", f"--pid={pid}", f"--nofile={free}")
    world.silence()
    yield
    relay.wait("failed to record disabled vfs")


@fault(
    "no more memory is to be had (RLIMIT_AS as it is)",
    "pf0: 256 disable, pf1: 2 auto",
    "within the same process",
    vfs=(256, 2),
)
def no_memory(world: World) -> Iterator[None]:
    relay = world.relay()
    time.sleep(1)
    pid = relay.process.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    run("prlimit", f"--pid={pid}", f"--as={pages * os.sysconf('SC_PAGE_SIZE')}")
    world.silence()
    yield
    assert relay.process.poll() is None


@fault(
    "a memory limit of 24 MiB (cgroup), with metrics", "pf0: 64 disable, pf1: 2 auto", vfs=(64, 2)
)
def memory_limit(world: World) -> Iterator[None]:
    root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists():
        run("mount", "-t", "cgroup2", "none", str(root))
    (root / "cgroup.subtree_control").write_text("+memory")
    group = root / "relay"
    group.mkdir(exist_ok=True)
    (group / "memory.max").write_text(str(24 << 20))
    enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    relay = world.relay("--metrics", "127.0.0.1:9876", prefix=("sh", "-c", enter, "sh"))
    world.silence()
    yield
    world.note = f"{resident_kib(relay.process.pid) * 1024 / 1e6:.1f} MB resident"
    assert relay.process.poll() is None


@fault("eight busy processes on two CPUs", DISABLED, within=45.0)
def busy_cpus(world: World) -> Iterator[None]:
    relay = world.relay()
    for _ in range(8):
        spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        world.stack.callback(spinner.wait)
        world.stack.callback(spinner.kill)
    world.silence()
    yield
    assert relay.process.poll() is None


@fault("a CNI's DEL sets a VF to auto in an outage", DISABLED, "within 2 s")
def cni_del(world: World) -> Iterator[None]:
    world.relay("--interval", "60000")
    world.outage(world.pf0)
    time.sleep(1)
    began = time.monotonic()
    world.pf0.set_vfs("auto", 2)
    wait_for(lambda: world.states() == DISABLED, 5, "it is disabled again")
    took = time.monotonic() - began
    yield
    world.note = f"after {took:.2f} s"
    assert took < 2


@fault(
    "a CNI's DEL puts our disable back after the outage",
    AUTO,
    "with --restore owned; said",
)
def cni_puts_back(world: World) -> Iterator[None]:
    relay = world.relay(*world.owned)
    world.outage(world.pf0)
    relay.wait("vf link state was set", count=4, state="disable", interface="pf0")
    world.pf0.set_vfs("enable", 1)
    time.sleep(2)
    world.speak()
    relay.wait("vf link state was set", count=3, state="auto", interface="pf0")
    world.pf0.set_vfs("disable", 1)
    yield
    relay.wait("vf was put back to what this relay had set", id=1)
