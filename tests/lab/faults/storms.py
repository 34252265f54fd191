"""Much at once: events, PFs, VFs."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from topology import ip, wait_for

from faults.kit import World, cpu_seconds, fault, share_of_a_cpu
from faults.lacp import AUTO, DISABLED

_OPTMEM_MAX = Path("/proc/sys/net/core/optmem_max")
_ALL_DISABLED = "all 16 PFs: 64 disable"


@fault(
    "W1: events are lost (ENOBUFS), that of the loss among them",
    DISABLED,
    "said; at rest afterwards",
)
def overrun(world: World) -> Iterator[None]:
    relay = world.relay("--interval", "60000", pfs=("pf0",))
    relay.process.send_signal(signal.SIGSTOP)
    ip(*(f"link set dev pf0 alias {number}" for number in range(10000)))
    world.silence()
    world.pf0.wait_lacp(up=False)
    time.sleep(0.5)
    relay.process.send_signal(signal.SIGCONT)
    yield
    relay.wait("events were lost, asking for everything")
    share = share_of_a_cpu(relay.process.pid, 3)
    world.note = f"then {share:.1%} of a CPU"
    assert share < 0.1


@fault(
    "the most events that the lab can make, all of the PF, before and while LACP is lost",
    DISABLED,
    "the relay keeps up, or says that it lost some",
)
def storm(world: World) -> Iterator[None]:
    relay = world.relay("--interval", "60000", pfs=("pf0",))
    commands = "".join(f"link set dev pf0 alias {number}\n" for number in range(1_000_000))
    before, began = cpu_seconds(relay.process.pid), time.monotonic()
    maker = subprocess.Popen(["ip", "-batch", "-"], stdin=subprocess.PIPE, text=True)
    world.stack.callback(maker.wait)
    world.stack.callback(maker.kill)
    assert maker.stdin
    world.silence()
    sent = 0
    while time.monotonic() - began < 6:
        maker.stdin.write(commands[sent : sent + 4096])
        sent += 4096
    yield
    seconds = time.monotonic() - began
    rate = commands[:sent].count("\n") / seconds
    took = (cpu_seconds(relay.process.pid) - before) / seconds
    world.note = f"{rate:.0f} events a second, {took:.0%} of a CPU"
    maker.kill()
    maker.wait()
    with suppress(BrokenPipeError):  # what was not sent yet
        maker.stdin.close()


@fault("a storm of other links' events", AUTO, "they do not wake the relay: it beats once a second")
def other_links(world: World) -> Iterator[None]:
    relay = world.relay("--interval", "60000", pfs=("pf0",))
    _come_to_rest(relay.process.pid)
    before, began = _wakes(relay.process.pid), time.monotonic()
    for _ in range(3):
        ip(*(f"link add storm{i} type dummy" for i in range(40)))
        ip(*(f"link del storm{i}" for i in range(40)))
    yield
    wakes, seconds = _wakes(relay.process.pid) - before, time.monotonic() - began
    world.note = f"{wakes} wakes in {seconds:.0f} s and 480 events"
    assert wakes <= 2 + 1.2 * seconds, world.note


def _come_to_rest(pid: int) -> None:
    """Waits until a relay that has begun does no more than beat."""

    def rests() -> bool:
        before = _wakes(pid)
        time.sleep(2)
        return _wakes(pid) - before <= 4

    wait_for(rests, 60, "the relay at rest")


def _wakes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


@fault(
    "16 PFs of 64 VFs fail at once",
    _ALL_DISABLED,
    vfs=(64,),
    ports=16,
    within=60.0,
    limit=600.0,
)
def crowd(world: World) -> Iterator[None]:
    pfs = [port.pf for port in world.lab.ports]
    world.relay("--interval", "60000", pfs=pfs)
    _silence_all(world)
    yield
    first, last = _span(world)
    world.note = f"{last - first:.2f} s from the first VF to the last"


@fault(
    "optmem_max of 10240, 16 PFs of 64 VFs: little room for a filter",
    _ALL_DISABLED,
    vfs=(64,),
    ports=16,
    within=60.0,
    limit=600.0,
)
def small_optmem(world: World) -> Iterator[None]:
    before = _OPTMEM_MAX.read_text()
    world.stack.callback(_OPTMEM_MAX.write_text, before)
    _OPTMEM_MAX.write_text("10240")
    pfs = [port.pf for port in world.lab.ports]
    world.relay("--interval", "60000", pfs=pfs)
    _silence_all(world)
    yield


def _silence_all(world: World) -> None:
    world.silence(*world.lab.ports)
    world.stack.callback(world.lab.unmute, world.lab.ports)  # which a crowd's reset() leaves


def _span(world: World) -> tuple[float, float]:
    """When the first VF was set, and the last, seconds."""
    sets = [
        record.ns / 1e9
        for port in world.lab.ports
        for record in port.nic.trace()
        if record.kind == "set"
    ]
    return min(sets), max(sets)
