"""Whoever opened a thing closes it, and nothing else: for all that watch."""

from __future__ import annotations

import asyncio
import gc
import queue
import warnings
from pathlib import Path

import pytest

import pfstatus.aio
from pfstatus import AsyncMonitor, Monitor, Observer, Session, wait_for

SOON = 5.0


def use_monitor(*pfs, **options):
    with Monitor(*pfs, **options) as monitor:
        monitor.fileno()
        monitor.poll(0)


def use_async_monitor(*pfs):
    async def use():
        async with AsyncMonitor(*pfs) as monitor:
            await monitor.poll()
            await monitor.poll(0)

    asyncio.run(use())


def use_observer(*pfs):
    told = queue.Queue()
    with Observer(pfs[0] if isinstance(pfs[0], Monitor) else pfs, told.put):
        told.get(timeout=SOON)


def use_no_observer(*pfs):
    Observer(pfs[0] if isinstance(pfs[0], Monitor) else pfs, print).stop()


def wait(*pfs, **options):
    with pytest.raises(TimeoutError):
        wait_for(*pfs, timeout=0, **options)


def wait_async(*pfs, **options):
    with pytest.raises(TimeoutError):
        asyncio.run(pfstatus.aio.wait_for(*pfs, timeout=0, **options))


ON_SESSIONS = [use_monitor, wait, wait_async]
ON_MONITORS = [use_async_monitor, use_observer, use_no_observer]


def descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("use", [*ON_SESSIONS, *ON_MONITORS])
def test_what_it_opened_is_closed(use):
    before = descriptors()
    use("lo")
    assert descriptors() == before


@pytest.mark.parametrize("use", ON_SESSIONS)
def test_caller_s_session_stays_open_and_can_be_listened_to_again(use):
    with Session(events=True) as session:
        before = descriptors()
        for _ in range(2):
            use("lo", session=session)
            assert descriptors() == before
        assert session.get("lo").ifindex == 1


@pytest.mark.parametrize("use", ON_MONITORS)
def test_caller_s_monitor_stays_open(use):
    with Monitor("lo") as monitor:
        before = descriptors()
        use(monitor)
        assert descriptors() == before
        assert not monitor.closed
        assert monitor.session.get("lo").ifindex == 1


@pytest.mark.parametrize("fails", ["Readiness.add", "Session.listen", "Monitor._watch"])
def test_what_was_opened_is_closed_where_the_rest_failed(monkeypatch, fails):
    before = descriptors()
    monkeypatch.setattr(f"pfstatus.monitor.{fails}", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Monitor("lo")
    assert descriptors() == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Session, r"unclosed <pfstatus.Session open>"),
        (lambda: Monitor("lo"), r"unclosed <pfstatus.Monitor lo open>"),
        (lambda: AsyncMonitor("lo"), r"unclosed <pfstatus.AsyncMonitor lo open>"),
        (lambda: Observer(["lo"], print), r"unstopped <pfstatus.Observer lo not started>"),
    ],
    ids=["Session", "Monitor", "AsyncMonitor", "Observer"],
)
def test_forgotten_one_warns_and_is_closed(make, said):
    before = descriptors()
    forgotten = [make()]
    with pytest.warns(ResourceWarning, match=said):
        forgotten.clear()
    assert descriptors() == before


def test_forgotten_one_that_opened_nothing_goes_in_silence():
    with Monitor("lo") as monitor, warnings.catch_warnings():
        warnings.simplefilter("error")
        AsyncMonitor(monitor)
        gc.collect()
