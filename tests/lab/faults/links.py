"""PFs, their masters and their VFs come, go and change."""

import time
from collections.abc import Iterator

from topology import Port, ip, run

from faults.kit import BOTH, World, fault
from faults.lacp import AUTO, DISABLED


def bring_back(port: Port, vfs: int = 4) -> None:
    """After its PF went: the PF with VFs in its bond, which is made anew."""
    port.create_pf()
    port.nic.num_vfs = vfs
    port.delete_bond()
    rebond(port)


def rebond(port: Port) -> None:
    """Makes the bond, and has the switch's end start from nothing too."""
    port.make_bond()
    ip(
        f"link set {port.switch_port} nomaster",
        f"link set {port.switch_port} master {port.switch_bond}",
        netns="sw",
    )


@fault("W4: a PF is missing at the start, and comes", DISABLED, "it is said to be missing")
def missing(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    world.pf0.remove_pf()
    relay = world.relay(up=("pf1",))
    relay.wait("pf is not ready", interface="pf0")
    bring_back(world.pf0)
    relay.wait_up("pf0")
    world.silence()
    yield


@fault("W4: no PF is there at the start; one comes", DISABLED)
def none_there(world: World) -> Iterator[None]:
    for port in (world.pf0, world.pf1):
        port.disturbed = True
        port.remove_pf()
    relay = world.relay(up=())
    for pf in BOTH:
        relay.wait("pf is not ready", interface=pf)
    bring_back(world.pf1, vfs=2)
    bring_back(world.pf0)
    relay.wait_up(*BOTH)
    world.silence()
    yield


@fault("W5: the driver is loaded anew: another ifindex", DISABLED, quick=True)
def reloaded(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.disturbed = True
    before = world.pf0.ifindex
    world.pf0.remove_pf()
    relay.wait("pf is not ready", interface="pf0")
    relay.mark()
    bring_back(world.pf0)
    relay.wait_up("pf0")
    assert world.pf0.ifindex != before
    world.silence()
    yield


@fault("the PF vanishes while its VFs are set", DISABLED, "and is served when it is back")
def vanishes(world: World) -> Iterator[None]:
    world.pf0.nic.slow(set_seconds=0.3)
    relay = world.relay()
    world.pf0.disturbed = True
    world.silence()
    world.begun(world.pf0)
    relay.mark()
    world.pf0.remove_pf()
    world.pf0.nic.slow()
    world.speak()
    relay.wait("pf is not ready", interface="pf0")
    bring_back(world.pf0)
    relay.wait_up("pf0")
    world.silence()
    yield


@fault("W6: the bond is deleted and made again", DISABLED)
def bond_again(world: World) -> Iterator[None]:
    relay = world.relay()
    relay.mark()
    world.pf0.disturbed = True
    world.pf0.delete_bond()
    relay.wait("pf is not ready", interface="pf0")
    rebond(world.pf0)
    relay.wait_up("pf0")
    world.silence()
    yield


@fault(
    "W7: the master is a bridge at the start", "pf0: 4 auto, pf1: 2 disable", "said, and its cure"
)
def bridge(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    world.pf0.delete_bond()
    world.pf0.set_master("br7", "bridge")
    relay = world.relay(up=("pf1",))
    assert "bond" in relay.wait("pf is not ready", interface="pf0")["error"]
    world.silence(world.pf1)
    yield
    assert world.pf0.nic.calls()[0] == 0


@fault("W7: the master becomes a VRF, later a bond again", DISABLED)
def vrf(world: World) -> Iterator[None]:
    relay = world.relay()
    relay.mark()
    world.pf0.disturbed = True
    world.pf0.delete_bond()
    world.pf0.set_master("vrf7", "vrf", "table 10")
    relay.wait("pf is not ready", interface="pf0")
    world.pf0.clear_master()
    ip("link set pf0 down")  # or bonding refuses it
    rebond(world.pf0)
    relay.wait_up("pf0")
    world.silence()
    yield


@fault("the bond is in mode active-backup", AUTO, "said, with a cure")
def wrong_mode(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    world.pf0.delete_bond()
    world.pf0.make_bond("active-backup")
    relay = world.relay(up=("pf1",))
    assert "802.3ad" in relay.wait("pf is not ready", interface="pf0")["error"]
    yield
    assert world.pf0.nic.calls()[0] == 0


@fault("W8: LACP expires while the relay starts", DISABLED, "with a polling interval of a minute")
def in_mid_start(world: World) -> Iterator[None]:
    world.silence()
    time.sleep(1.0)  # LACP expires in 2 to 3 s more; an interpreter takes that to start
    world.relay("--interval", "60000", up=("pf1",))
    yield


@fault("the relay starts in an outage", DISABLED)
def in_outage(world: World) -> Iterator[None]:
    world.silence()
    world.pf0.wait_lacp(up=False)
    world.relay(up=("pf1",))
    yield


@fault("the PF moves to another network namespace and back", DISABLED, "said both times")
def namespace(world: World) -> Iterator[None]:
    relay = world.relay()
    world.pf0.disturbed = True
    run("ip", "netns", "add", "elsewhere")
    world.stack.callback(run, "ip", "netns", "del", "elsewhere")
    relay.mark()
    ip("link set pf0 netns elsewhere")
    relay.wait("pf is not ready", interface="pf0")
    ip("link set pf0 netns 1", netns="elsewhere")
    world.pf0.delete_bond()
    rebond(world.pf0)
    relay.wait_up("pf0")
    world.silence()
    yield


@fault("a PF known by an alternative name is renamed in an outage", DISABLED)
def renamed(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    ip("link property add dev pf0 altname port-zero")
    world.relay(pfs=("port-zero", "pf1"))
    world.outage(world.pf0)
    ip("link set pf0 down", "link set pf0 name lost0")
    world.stack.callback(ip, "link set lost0 down", "link set lost0 name pf0", "link set pf0 up")
    ip("link set lost0 up", "link set lost0 vf 1 state auto")
    yield


@fault("one PF by two names", DISABLED, "said; each VF is set once")
def two_names(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    ip("link property add dev pf0 altname port-zero")
    relay = world.relay(pfs=("pf0", "port-zero", "pf1"), up=BOTH)
    relay.wait("pf is watched by another name")
    world.silence()
    yield
    assert world.pf0.nic.calls()[0] == 4


@fault("the PF is set down in an outage, a VF is touched, and it is set up", DISABLED)
def set_down(world: World) -> Iterator[None]:
    world.pf0.disturbed = True
    relay = world.relay()
    world.outage(world.pf0)
    ip("link set pf0 down")
    relay.wait("pf is not ready", interface="pf0")
    world.pf0.set_vfs("auto", 2)
    ip("link set pf0 up")
    yield


@fault("VFs are made in an outage", "pf0: 4 disable, pf1: 2 auto", "said", vfs=(0, 2))
def vfs_made(world: World) -> Iterator[None]:
    relay = world.relay()
    world.silence()
    relay.wait("lacp is down")
    world.pf0.nic.num_vfs = 4
    relay.wait("VFs detected on interface", interface="pf0")
    yield


@fault(
    "the VFs are made anew, fewer, while they are set", "pf0: 6 disable, pf1: 2 auto", vfs=(16, 2)
)
def vfs_changed(world: World) -> Iterator[None]:
    world.pf0.nic.slow(set_seconds=0.1)
    world.relay()
    world.silence()
    world.begun(world.pf0)
    world.pf0.nic.num_vfs = 6
    yield


@fault("W25: 256 VFs, whose list's length wraps", "pf0: 256 disable", vfs=(256, 0))
def many_vfs(world: World) -> Iterator[None]:
    world.relay(pfs=("pf0",))
    world.silence()
    yield


@fault("sysfs shows nothing (another mount namespace)", DISABLED)
def no_sysfs(world: World) -> Iterator[None]:
    hide = 'mount -t tmpfs none /sys && exec "$@"'
    world.relay(prefix=("unshare", "-m", "sh", "-c", hide, "sh"))
    world.silence()
    yield
