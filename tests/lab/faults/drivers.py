"""What a NIC's driver does when VFs are read and set."""

import errno
import time
import urllib.request
from collections.abc import Iterator

from nic import Record
from relay_process import RelayProcess
from topology import wait_for

from faults.kit import LOST_SECONDS, World, fault
from faults.lacp import AUTO, DISABLED


def refusals(world: World) -> list[Record]:
    """Settings that pf0's driver refused, in order."""
    return [r for r in world.pf0.nic.trace() if r.kind == "set" and r.result]


def confirmed(relay: RelayProcess, vf: int) -> bool:
    """Whether a VF was said to be disabled."""
    return bool(relay.said("vf link state was set", id=vf, state="disable", interface="pf0"))


@fault("W2: a VF cannot be set (EIO), twice", DISABLED, "it is not said to be set before it is")
def twice(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.fail(1, errno.EIO, 2)
    world.silence()
    yield
    relay.wait("vf link state was set", id=1, state="disable")
    kinds = [line["msg"] for line in relay.lines if line.get("id") == 1]
    assert kinds == ["failed to set vf link state", "vf link state was set"], kinds


@fault(
    "W18: a VF is busy for ever (EBUSY)",
    "pf0: 1 auto 3 disable, pf1: 2 auto",
    "said once; tried at most 10 times in 10 s",
)
def busy(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.fail(1, errno.EBUSY)
    world.silence()
    relay.wait("failed to set vf link state", id=1)
    time.sleep(10)
    yield
    assert len(relay.said("failed to set vf link state", id=1)) == 1
    assert len(refusals(world)) <= 10


@fault("W18: no VF can be set (EOPNOTSUPP)", AUTO, "said once for the outage; tried once")
def unsupported(world: World) -> Iterator[None]:
    relay = world.relay()
    for vf in range(4):
        world.pf0.nic.fail(vf, errno.EOPNOTSUPP)
    world.silence()
    relay.wait("pf cannot set vf link states", interface="pf0")
    time.sleep(3)
    yield
    assert len(relay.said("pf cannot set vf link states")) == 1
    assert not relay.said("vf link state was set", interface="pf0")
    assert len(refusals(world)) <= 5  # the batch, and each by itself


@fault("a setter appears between two outages", DISABLED)
def setter_appears(world: World) -> Iterator[None]:
    relay = world.relay()
    for vf in range(4):
        world.pf0.nic.fail(vf, errno.EOPNOTSUPP)
    world.silence()
    relay.wait("pf cannot set vf link states", interface="pf0")
    relay.mark()
    world.speak()
    relay.wait_up("pf0")
    for vf in range(4):
        world.pf0.nic.fail(vf, 0, 0)
    world.silence()
    yield


@fault("a VF answers EAGAIN three times", DISABLED, "each VF is set once", quick=True)
def again(world: World) -> Iterator[None]:
    world.relay()
    world.pf0.nic.fail(2, errno.EAGAIN, 3)
    world.silence()
    yield
    done = sorted(r.vf or 0 for r in world.pf0.nic.trace() if r.kind == "set" and not r.result)
    assert done == [0, 1, 2, 3], done


@fault(
    "the driver says EPERM of one VF, as if we lacked the capability",
    "pf0: 1 auto 3 disable, pf1: 2 auto",
    "the relay goes on",
)
def not_permitted(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.fail(0, errno.EPERM)
    world.silence()
    relay.wait("failed to set vf link state", id=0)
    yield
    assert relay.process.poll() is None


@fault(
    "the driver says ENODEV of one VF, as if the PF were gone",
    "pf0: 1 auto 3 disable, pf1: 2 auto",
    "said to be the VF's",
)
def no_device(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.fail(3, errno.ENODEV)
    world.silence()
    relay.wait("failed to set vf link state", id=3)
    yield
    assert not relay.said("pf is not ready", interface="pf0")


@fault(
    "the driver says yes of a VF and does nothing",
    "pf0: 1 auto 3 disable, pf1: 2 auto",
    "said once; tried at most 10 times in 10 s",
)
def ignored(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.fail(1, 0)
    world.silence()
    relay.wait("driver accepted a vf link state and did not set it", id=1)
    time.sleep(10)
    yield
    assert len(relay.said("driver accepted a vf link state and did not set it")) == 1
    assert len([r for r in world.pf0.nic.trace() if r.kind == "set" and r.vf == 1]) <= 10


@fault(
    "the driver sets a VF and says an error, in the outage and after it",
    AUTO,
    "with --restore owned: it is known to be ours",
)
def done_all_the_same(world: World) -> Iterator[None]:
    world.relay(*world.owned)
    world.pf0.nic.fail(2, errno.EIO, 2, done=True)
    world.outage(world.pf0)
    time.sleep(0.5)
    world.speak()
    yield


@fault("VFs cannot be read at first (EAGAIN): the list is sparse", DISABLED)
def hidden(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.hide([0, 3])
    world.silence()
    relay.wait("vf link state was set", count=2, state="disable", interface="pf0")
    world.pf0.nic.hide([])
    yield


@fault("no VF of the PF can be read for 3 s", DISABLED)
def all_hidden(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.hide(range(4))
    world.silence()
    relay.wait("lacp is down", interface="pf0")
    time.sleep(3)
    world.pf0.nic.hide([])
    yield


@fault(
    "the driver hangs for 10 s in one VF: all RTNL with it",
    "pf0: 4 disable, pf1: 2 disable",
    "the other PF, which is lost meanwhile, is served as well",
    within=40.0,
)
def hangs(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.nic.slow(set_seconds=10.0)
    world.silence(world.pf0)
    wait_for(lambda: world.pf0.nic.calls()[0], LOST_SECONDS, "the driver hangs", every=0.002)
    world.pf0.nic.slow()  # the other VFs take no time
    world.silence(world.pf1)
    yield
    assert relay.process.poll() is None


@fault(
    "W23: the driver hangs for 10 s in one VF; somebody asks for health and metrics",
    "pf0: 4 disable, pf1: 2 auto",
    "answered within 2 s",
    within=40.0,
)
def health(world: World) -> Iterator[None]:
    def ask() -> list[bytes]:
        pages = (f"http://127.0.0.1:9143/{page}" for page in ("healthz", "metrics"))
        return [urllib.request.urlopen(page, timeout=8).read() for page in pages]

    world.relay("--metrics", "127.0.0.1:9143")
    ask()  # as somebody does all the time
    world.pf0.nic.slow(set_seconds=10.0)
    world.silence(world.pf0)
    wait_for(lambda: world.pf0.nic.calls()[0], LOST_SECONDS, "the driver hangs", every=0.002)
    world.pf0.nic.slow()
    began = time.monotonic()
    _, metrics = ask()
    took = time.monotonic() - began
    assert "auto" in world.pf0.nic.vf_states().values(), "it hangs still"
    yield
    world.note = f"after {took:.1f} s"
    assert b'pfstatus_lacpdus_received_total{pf="pf0"}' in metrics
    assert took < 2, took


@fault(
    "W3: a NIC that takes 60 ms a VF, and another that fails just then",
    "pf0: 64 disable, pf1: 2 disable",
    "the quick one is done first",
    vfs=(64, 2),
)
def slow(world: World) -> Iterator[None]:
    world.pf0.nic.slow(set_seconds=0.06)
    world.relay()
    world.silence(world.pf0)
    time.sleep(0.9)
    world.silence(world.pf1)
    yield
    last = [max(r.ns for r in p.nic.trace() if r.kind == "set") for p in (world.pf0, world.pf1)]
    assert last[1] < last[0]


@fault("W13: a VF in enable", "pf0: 3 disable 1 enable, pf1: 2 auto", "said once; not touched")
def enabled(world: World) -> Iterator[None]:
    world.pf0.set_vfs("enable", 1)
    relay = world.relay()
    world.pf0.nic.reset_trace()
    world.silence()
    yield
    assert relay.wait("vf will not fail over", interface="pf0")["id"] == 1
    assert not [r for r in world.pf0.nic.trace() if r.vf == 1]


@fault(
    "W10: 64 VFs, each of whose settings may raise an event",
    "pf0: 64 disable",
    "each VF is read at most 4 times",
    vfs=(64, 0),
)
def few_reads(world: World) -> Iterator[None]:
    world.relay(pfs=("pf0",))
    world.pf0.nic.reset_trace()
    world.silence()
    yield
    reads = world.pf0.nic.calls()[1] / 64
    world.note = f"{reads:.1f} reads of each VF"
    assert reads <= 4


@fault("W11: a polling interval of 100 ms, and nothing happens", AUTO, "no VF is read in 5 s")
def no_reads(world: World) -> Iterator[None]:
    relay = world.relay("--interval", "100")
    relay.wait("lacp is up", interface="pf1")
    time.sleep(1)
    world.pf0.nic.reset_trace()
    time.sleep(5)
    yield
    assert world.pf0.nic.calls()[1] == 0


@fault(
    "an outage of 10 s on a NIC that takes 5 ms to read a VF",
    "pf0: 64 disable",
    "reading takes less than a tenth of RTNL's time",
    vfs=(64, 0),
)
def slow_to_read(world: World) -> Iterator[None]:
    world.pf0.nic.slow(get_seconds=0.005)
    world.relay(pfs=("pf0",))
    world.silence()
    wait_for(lambda: world.states() == "pf0: 64 disable", 15, "VFs disabled")
    time.sleep(2)
    world.pf0.nic.reset_trace()
    time.sleep(10)
    yield
    share = world.pf0.nic.calls()[1] * 0.005 / 10.5
    world.note = f"{share:.1%} of RTNL's time"
    assert share < 0.1
