from __future__ import annotations

import asyncio
import errno
import os
import pickle
import subprocess
import sys
import threading

import pytest

import pfstatus.aio
from pfstatus import LacpReason, LacpTimeoutError, MalformedError, wait_for
from pfstatus.recording.netlink import nlmsg

SOON = 5.0


@pytest.fixture
def pf(kernel):
    """One in a bond, LACP up."""
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    return pf


def wait_for_async(*args, **options):
    return asyncio.run(pfstatus.aio.wait_for(*args, **options))


@pytest.fixture(params=[wait_for, wait_for_async], ids=["sync", "asyncio"])
def wait(request, kernel):
    """Either, on the fake kernel."""

    def wait(*args, **options):
        return request.param(*args, session=kernel.session(), **options)

    return wait


@pytest.mark.usefixtures("pf")
def test_what_holds_is_not_waited_for(wait):
    assert wait("ens5f0", timeout=0).lacp.reason is LacpReason.UP
    assert wait("ens5f0").ifname == "ens5f0"


def test_down_can_be_waited_for(pf, wait):
    pf.lacp_default()
    assert wait("ens5f0", up=False, timeout=0).lacp.reason is LacpReason.DEFAULTED


def test_silent_recovery_is_waited_for(pf, wait):
    pf.lacp_default()
    timer = threading.Timer(0.05, pf.lacp_up)
    timer.start()
    assert wait("ens5f0", timeout=SOON).lacp.reason is LacpReason.UP
    timer.join()


def test_pf_that_is_yet_to_be_made_is_waited_for(kernel, wait):
    timer = threading.Timer(0.05, lambda: kernel.add_bond("bond0", kernel.add_pf("ens5f0")))
    timer.start()
    assert wait("ens5f0", timeout=SOON).bond.name == "bond0"
    timer.join()


def test_loss_is_waited_for_by_its_event(pf, wait):
    timer = threading.Timer(0.05, pf.lacp_expire)
    timer.start()
    status = wait("ens5f0", up=False, timeout=SOON, interval=3600)
    assert status.lacp.reason is LacpReason.EXPIRED
    timer.join()


@pytest.mark.parametrize("timeout", [0, 0.05, -1])
def test_time_over_says_what_lacp_is_instead(pf, wait, timeout):
    pf.lacp_expire()
    with pytest.raises(LacpTimeoutError) as caught:
        wait("ens5f0", timeout=timeout)
    assert caught.value.status.lacp.reason is LacpReason.EXPIRED
    assert str(caught.value) == (
        f"[Errno {errno.ETIMEDOUT}] LACP is down (expired), not up: "
        f"{caught.value.status.lacp.sentence.rstrip('.')}: 'ens5f0'"
    )


@pytest.mark.parametrize("wait", [wait_for, wait_for_async], ids=["sync", "asyncio"])
def test_timeout_that_is_no_number_is_refused(wait):
    with pytest.raises(ValueError, match="nan"):
        wait("lo", timeout=float("nan"))


def test_unknown_is_not_down(wait):
    with pytest.raises(TimeoutError, match=r"unknown \(absent\), not down"):
        wait("ens9", up=False, timeout=0)


@pytest.mark.usefixtures("pf")
def test_time_over_survives_pickle(wait):
    with pytest.raises(LacpTimeoutError) as caught:
        wait("ens5f0", up=False, timeout=0)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.status) == (str(caught.value), caught.value.status)


def test_error_of_the_pf_is_raised(pf, wait):
    pf.message = lambda *_args, seq=0, **_options: nlmsg(16, b"", seq=seq)
    with pytest.raises(MalformedError):
        wait("ens5f0")


def test_no_capability_is_needed():
    """Also not for a monitor, an observer, and asyncio's."""
    code = """
import asyncio, pathlib, pfstatus, queue
status = pathlib.Path("/proc/self/status").read_text()
assert "CapEff:\\t0000000000000000" in status, status
try:
    pfstatus.wait_for("lo", timeout=0)
except TimeoutError as exc:
    print(exc)
with pfstatus.Monitor("lo") as monitor:
    print(next(iter(monitor)))
told = queue.Queue()
with pfstatus.Observer(["lo"], told.put):
    print(told.get())
async def first():
    async with pfstatus.AsyncMonitor("lo") as monitor:
        return await anext(monitor)
print(asyncio.run(first()))
"""
    argv = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=SOON, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    told, *present = ran.stdout.splitlines()
    assert "LACP is unknown (no-bond), not up: The interface is in no bond: 'lo'" in told
    assert present == ["lo: LACP unknown (no-bond) [start]"] * 3
