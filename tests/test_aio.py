from __future__ import annotations

import asyncio
import signal
import threading

import anyio
import pytest

from pfstatus import AsyncMonitor, Cause, LacpReason, MalformedError, Monitor, VfLinkState
from pfstatus.recording.netlink import nlmsg

NEVER = 3600.0
SOON = 5.0


@pytest.fixture
def pf(kernel):
    """One in a bond, LACP up."""
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    return pf


@pytest.fixture
def watch(kernel):
    """Make a monitor."""
    monitors = []

    def make(*names, interval=NEVER, **options):
        monitors.append(Monitor(*names, interval=interval, session=kernel.session(), **options))
        return AsyncMonitor(monitors[-1])

    yield make
    for monitor in monitors:
        monitor.close()


def run(coroutine):
    """As a program runs it, but not for ever, and with asyncio's own checks."""

    async def in_time():
        async with asyncio.timeout(SOON):
            return await coroutine

    return asyncio.run(in_time(), debug=True)


def reasons(changes) -> list[LacpReason]:
    return [change.new.lacp.reason for change in changes]


async def waits(task) -> None:
    """Let a task run until it waits for the monitor."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()


# ---- The same words as Monitor's


def test_iteration_tells_the_present_then_each_change(pf, watch):
    async def program():
        told = []
        async with watch("ens5f0", "ens9") as monitor:
            async for change in monitor:
                told.append((change.name, change.new.lacp.reason, change.cause))
                if len(told) == 2:
                    pf.lacp_expire()
                elif len(told) == 3:
                    break
            assert monitor.status("ens5f0") == change.new
            assert (monitor.closed, monitor.stopped) == (False, False)
        assert monitor.closed
        return told

    assert run(program()) == [
        ("ens5f0", LacpReason.UP, Cause.START),
        ("ens9", LacpReason.ABSENT, Cause.START),
        ("ens5f0", LacpReason.EXPIRED, Cause.EVENT),
    ]


def test_event_wakes_a_task_that_waits(pf, watch):
    async def program():
        monitor = watch("ens5f0")
        assert reasons(await monitor.poll()) == [LacpReason.UP]
        task = asyncio.create_task(monitor.poll())
        await waits(task)
        pf.lacp_expire()
        return reasons(await task)

    assert run(program()) == [LacpReason.EXPIRED]


def test_silent_recovery_is_found_by_asking(pf, watch):
    async def program():
        pf.lacp_default()
        monitor = watch("ens5f0")
        await monitor.poll()
        pf.lacp_up()
        (change,) = await monitor.poll()
        return change.new.lacp.reason, change.cause

    assert run(program()) == (LacpReason.UP, Cause.ASKED)


def test_options_are_monitor_s(kernel, pf, watch):
    async def program():
        monitor = watch("ens5f0", vfs=True, every_event=True)
        await monitor.poll()
        kernel.set_vf(pf, 0, VfLinkState.DISABLE)
        (change,) = await monitor.poll()
        assert monitor.monitor.session.get("ens5f0").vfs == change.new.vfs
        return change.new.vfs

    assert run(program()) == ((0, VfLinkState.DISABLE), (1, VfLinkState.AUTO))


@pytest.mark.usefixtures("pf")
def test_iteration_that_was_left_can_be_taken_up_again(watch):
    async def program():
        monitor = watch("ens5f0", "ens8", "ens9")
        told = []
        async for change in monitor:
            told.append(change.name)
            break
        told.append((await anext(monitor)).name)
        return told + [change.name for change in await monitor.poll()]

    assert run(program()) == ["ens5f0", "ens8", "ens9"]


@pytest.mark.usefixtures("pf")
def test_poll_of_nothing_takes_its_time_and_no_longer(watch):
    async def program():
        monitor = watch("ens5f0")
        await monitor.poll()
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await monitor.poll(0) == []
        assert await monitor.poll(0.05) == []
        return clock() - began

    assert 0.05 <= run(program()) < SOON


@pytest.mark.usefixtures("pf")
def test_poll_that_is_over_leaves_nothing_in_the_loop(watch):
    async def program():
        loop = asyncio.get_running_loop()
        timers = []
        call_at = loop.call_at

        def noting(*args, **options):
            timers.append(call_at(*args, **options))
            return timers[-1]

        monitor = watch("ens5f0")
        await monitor.poll()
        loop.call_at = noting
        task = asyncio.create_task(monitor.poll(NEVER))
        await waits(task)
        monitor.stop()
        await task
        assert not loop.remove_reader(monitor.monitor.fileno())
        return [timer.cancelled() for timer in timers]

    assert run(program()) == [True]


def test_no_thread_is_made(pf, watch):
    before = threading.enumerate()

    async def program():
        monitor = watch("ens5f0")
        await monitor.poll()
        pf.lacp_expire()
        await monitor.poll()
        return threading.enumerate()

    assert run(program()) == before


def test_storm_of_changes_lets_other_tasks_run(pf, watch):
    """Each turn finds a change: without a pause none of the other tasks would ever run."""

    async def storm(monitor):
        async for _ in monitor:
            pf.lacp_set(pf.actor ^ 1, 0x3F, announce=True)

    async def program():
        task = asyncio.create_task(storm(watch("ens5f0")))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()

    run(program())


def test_many_monitors_share_a_loop(kernel, watch):
    async def program():
        pfs = [kernel.add_pf(f"ens{i}") for i in range(8)]
        kernel.add_bond("bond0", *pfs)
        monitors = [watch(pf.name) for pf in pfs]
        await asyncio.gather(*(monitor.poll() for monitor in monitors))
        tasks = [asyncio.create_task(monitor.poll()) for monitor in monitors]
        await waits(tasks[5])
        pfs[5].lacp_expire()
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [change.name for task in done for change in task.result()]

    assert run(program()) == ["ens5"]


def test_one_monitor_serves_one_loop_after_another(pf, watch):
    monitor = watch("ens5f0")
    assert reasons(run(monitor.poll())) == [LacpReason.UP]
    pf.lacp_expire()
    assert reasons(run(monitor.poll())) == [LacpReason.EXPIRED]


# ---- Cancellation, errors


def test_cancelled_task_loses_nothing(pf, watch):
    async def program():
        monitor = watch("ens5f0")
        await monitor.poll()
        task = asyncio.create_task(monitor.poll())
        await waits(task)
        pf.lacp_expire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return reasons(await monitor.poll())

    assert run(program()) == [LacpReason.EXPIRED]


@pytest.mark.usefixtures("pf")
def test_cancellation_before_the_first_look_loses_nothing(watch):
    async def program():
        monitor = watch("ens5f0")
        task = asyncio.create_task(monitor.poll())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return reasons(await monitor.poll())

    assert run(program()) == [LacpReason.UP]


def test_timeout_of_asyncio_s_leaves_it_usable(pf, watch):
    async def program():
        monitor = watch("ens5f0")
        async for _ in monitor:
            break
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(monitor)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(monitor), 0.02)
        pf.lacp_expire()
        return reasons([await anext(monitor)])

    assert run(program()) == [LacpReason.EXPIRED]


@pytest.mark.usefixtures("pf")
def test_second_task_on_one_monitor_is_refused(watch):
    async def program():
        monitor = watch("ens5f0")
        await monitor.poll()
        first = asyncio.create_task(monitor.poll())
        await waits(first)
        with pytest.raises(RuntimeError, match="another task"):
            await monitor.poll()
        monitor.stop()
        return await first

    assert run(program()) == []


def test_monitor_goes_on_after_an_error(pf, watch):
    async def program():
        monitor = watch("ens5f0", interval=0.02)
        await monitor.poll()
        pf.message = lambda *_args, seq=0, **_options: nlmsg(16, b"", seq=seq)
        with pytest.raises(MalformedError):
            await anext(monitor)
        del pf.message
        pf.lacp_set(0, 0)
        return reasons(await monitor.poll())

    assert run(program()) == [LacpReason.NEGOTIATING]


# ---- The end


@pytest.mark.usefixtures("pf")
@pytest.mark.parametrize("by", ["stop", "stop in a thread", "close"])
def test_iteration_ends_by(watch, by):
    async def program():
        monitor = watch("ens5f0")

        async def listen():
            return [change.name async for change in monitor]

        task = asyncio.create_task(listen())
        await waits(task)
        if by == "stop in a thread":
            await asyncio.to_thread(monitor.stop)
        else:
            getattr(monitor, by)()
        return await task

    assert run(program()) == ["ens5f0"]


def test_nothing_is_told_after_stop(pf, watch):
    async def program():
        monitor = watch("ens5f0", "ens9")
        told = []
        async for change in monitor:
            told.append(change.name)
            monitor.stop()
        pf.lacp_expire()
        assert await monitor.poll() == []
        return told

    assert run(program()) == ["ens5f0"]


@pytest.mark.usefixtures("pf")
def test_loop_forgets_a_monitor_that_is_closed_while_a_task_waits(watch):
    """Its descriptor's number is another file's at once."""

    async def program():
        monitor = watch("ens5f0")
        await monitor.poll()
        fd = monitor.monitor.fileno()
        task = asyncio.create_task(monitor.poll())
        await waits(task)
        monitor.close()
        monitor.close()
        assert not asyncio.get_running_loop().remove_reader(fd)
        return await task

    assert run(program()) == []


@pytest.mark.usefixtures("pf")
def test_poll_after_close_is_refused(watch):
    async def program():
        async with watch("ens5f0") as monitor:
            pass
        monitor.close()
        with pytest.raises(ValueError, match="closed"):
            await monitor.poll()

    run(program())


# ---- Other people's loops


def test_works_under_anyio_with_cancel_scopes_and_task_groups(pf, watch):
    async def program():
        told = []
        with anyio.fail_after(SOON):
            async with watch("ens5f0") as monitor, anyio.create_task_group() as group:

                async def listen():
                    async for change in monitor:
                        told.append(change.new.lacp.reason)
                        if change.new.lacp.reason is LacpReason.UP:
                            pf.lacp_expire()
                        else:
                            group.cancel_scope.cancel()

                group.start_soon(listen)
            with anyio.move_on_after(0.02) as scope:
                async with watch("ens9") as absent:
                    async for _ in absent:
                        pass
            assert scope.cancelled_caught
        return told

    assert anyio.run(program, backend="asyncio") == [LacpReason.UP, LacpReason.EXPIRED]


# ---- Processes


WATCH = """
import asyncio, pfstatus
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # machines may be busy
    async with pfstatus.AsyncMonitor("lo") as monitor:
        {before}
        async for change in monitor:
            print(change, flush=True)
    print("closed:", monitor.closed)
asyncio.run(main())
"""


def test_signal_handler_of_the_loop_s_ends_a_program(script):
    handler = "asyncio.get_running_loop().add_signal_handler(15, monitor.stop)"
    ran = script(WATCH.format(before=handler), send=signal.SIGTERM)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["lo: LACP unknown (no-bond) [start]", "closed: True"]


def test_ctrl_c_ends_a_program_and_closes_all(script):
    ran = script(WATCH.format(before=""), send=signal.SIGINT)
    assert ran.returncode != 0
    assert ran.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "ResourceWarning" not in ran.stderr


def test_program_that_ends_with_a_monitor_open_is_warned_and_no_more(script):
    ran = script("""
import asyncio, pfstatus
monitor = pfstatus.AsyncMonitor("lo")
print(len(asyncio.run(monitor.poll())))
""")
    assert (ran.returncode, ran.stdout) == (0, "1\n")
    assert "ResourceWarning: unclosed <pfstatus.AsyncMonitor lo open>" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_child_of_fork_finds_it_closed(script):
    ran = script("""
import asyncio, os, pfstatus
monitor = pfstatus.AsyncMonitor("lo")
asyncio.run(monitor.poll())
if not os.fork():
    try:
        asyncio.run(monitor.poll())
    except ValueError as exc:
        print(exc, flush=True)
    os._exit(0)
os.wait()
print(asyncio.run(monitor.poll(0)))
monitor.close()
""")
    assert (ran.returncode, ran.stderr) == (0, "")
    said, parent = ran.stdout.splitlines()
    assert "a child of fork() opens another" in said
    assert parent == "[]"
