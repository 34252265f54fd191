from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import threading
import time
import warnings
from functools import partial

import pytest

from pfstatus import Cause, Error, LacpReason, MalformedError, Monitor, Observer
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
def observe(kernel):
    """Make an observer of ens5f0 that is not started."""
    observers = []

    def make(*listeners, names=("ens5f0",), interval=NEVER, on_error=None):
        monitor = Monitor(*names, interval=interval, session=kernel.session())
        observers.append(Observer(monitor, *listeners, on_error=on_error))
        return observers[-1]

    yield make
    for observer in observers:
        observer.stop()
        observer.monitor.close()


class Told(queue.Queue):
    """A listener that hands on what it is told."""

    def __call__(self, what) -> None:
        self.put(what)

    def next(self):
        return self.get(timeout=SOON)

    def reason(self):
        return self.next().new.lacp.reason


def until(claim) -> None:
    deadline = time.monotonic() + SOON
    while not claim():
        assert time.monotonic() < deadline
        os.sched_yield()


def thread_of(observer) -> threading.Thread:
    return observer._loop._thread


# ---- What is told


def test_listener_is_told_the_present_then_each_change(pf, observe):
    told = Told()
    with observe(told) as observer:
        first = told.next()
        assert (first.old, first.new.lacp.reason, first.cause) == (
            None,
            LacpReason.UP,
            Cause.START,
        )
        pf.lacp_expire()
        second = told.next()
        assert (second.old, second.cause) == (first.new, Cause.EVENT)
        assert observer.status("ens5f0") == second.new
        assert observer.lost_events == 0


@pytest.mark.usefixtures("pf")
def test_any_callable_is_a_listener(observe):
    told = Told()

    class Listener:
        def method(self, change):
            told.put(("method", change.name))

        def __call__(self, change):
            told.put(("object", change.name))

    def with_word(word, change):
        told.put((word, change.name))

    listeners = [
        Listener().method,
        Listener(),
        partial(with_word, "partial"),
        lambda change: told.put(("lambda", change.name)),
    ]
    with observe(*listeners):
        words = [told.next() for _ in listeners]
    assert words == [(word, "ens5f0") for word in ("method", "object", "partial", "lambda")]


@pytest.mark.usefixtures("pf")
def test_listeners_are_called_in_a_daemon_thread_of_its_own(observe):
    told = Told()
    with observe(lambda _change: told.put(threading.current_thread())) as observer:
        thread = told.next()
        assert thread is thread_of(observer) is not threading.main_thread()
        assert thread.daemon


def test_slow_listener_misses_nothing(pf, observe):
    told, entered, go_on = Told(), threading.Event(), threading.Event()

    def slow(change):
        entered.set()
        assert go_on.wait(SOON)
        told(change)

    with observe(slow):
        assert entered.wait(SOON)
        pf.lacp_expire()
        pf.lacp_default()
        go_on.set()
        reasons = [told.reason() for _ in range(3)]
    assert reasons == [LacpReason.UP, LacpReason.EXPIRED, LacpReason.DEFAULTED]


# ---- Errors


def test_what_a_listener_raises_is_logged_and_reported_and_the_others_run(pf, observe, caplog):
    told, failed = Told(), Told()

    def bad(change):
        raise LookupError(change.new.lacp.reason)

    with observe(bad, told, on_error=failed), caplog.at_level(logging.ERROR, "pfstatus"):
        assert told.reason() is LacpReason.UP
        pf.lacp_expire()
        assert told.reason() is LacpReason.EXPIRED
        assert [failed.next().args for _ in range(2)] == [(LacpReason.UP,), (LacpReason.EXPIRED,)]
    assert "bad" in caplog.text
    assert "LookupError" in caplog.text


def test_on_error_that_raises_is_logged_and_stops_nothing(pf, observe, caplog):
    told = Told()

    def bad(_change):
        raise LookupError

    def worse(_exc):
        raise ArithmeticError

    with observe(bad, told, on_error=worse):
        told.next()
        pf.lacp_expire()
        assert told.reason() is LacpReason.EXPIRED
    assert "ArithmeticError" in caplog.text


def test_error_of_a_pf_is_reported_and_the_observer_goes_on(pf, observe):
    told, failed = Told(), Told()
    with observe(told, on_error=failed, interval=0.02):
        told.next()
        pf.message = lambda *_args, seq=0, **_options: nlmsg(16, b"", seq=seq)
        exc = failed.next()
        assert isinstance(exc, MalformedError)
        assert exc.filename == "ens5f0"
        del pf.message
        pf.lacp_set(0, 0)
        assert told.reason() is LacpReason.NEGOTIATING


@pytest.mark.usefixtures("pf")
def test_kernel_that_hangs_up_is_reported_once_and_is_the_end(kernel, observe):
    told, failed = Told(), Told()
    with observe(told, on_error=failed) as observer:
        told.next()
        kernel.hang_up()
        assert isinstance(failed.next(), Error)
        until(lambda: observer.stopped)
    assert failed.empty()


@pytest.mark.parametrize(
    ("args", "options", "error", "word"),
    [
        ((["ens5f0"],), {}, ValueError, "listener"),
        ((["ens5f0"], None), {}, TypeError, "None"),
        ((["ens5f0"], print), {"on_error": "log"}, TypeError, "log"),
        (("ens5f0", print), {}, TypeError, "list"),
        (([], print), {}, ValueError, "PF"),
        (([""], print), {}, ValueError, "name"),
    ],
    ids=["no-listener", "None", "on_error", "one-string", "no-name", "bad-name"],
)
def test_bad_argument_is_refused(args, options, error, word):
    with pytest.raises(error, match=word):
        Observer(*args, **options)


# ---- The end


def test_nothing_is_called_once_stop_has_returned(pf, observe):
    told = Told()
    observer = observe(told)
    observer.start()
    told.next()
    observer.stop()
    pf.lacp_expire()
    assert not any("Observer" in thread.name for thread in threading.enumerate())
    assert told.empty()


@pytest.mark.usefixtures("pf")
def test_stop_waits_for_the_listener_that_runs_and_calls_no_other(observe):
    entered, go_on, done, told = threading.Event(), threading.Event(), [], Told()

    def slow(_change):
        entered.set()
        assert go_on.wait(SOON)
        done.append(True)

    observer = observe(slow, told)
    observer.start()
    assert entered.wait(SOON)
    stopper = threading.Thread(target=observer.stop)
    stopper.start()
    until(lambda: observer.stopped)
    assert stopper.is_alive()
    go_on.set()
    stopper.join(SOON)
    assert not stopper.is_alive()
    assert done == [True]
    assert told.empty()


@pytest.mark.usefixtures("pf")
def test_stop_from_within_a_listener_makes_that_call_the_last(kernel, observe):
    kernel.add_pf("ens5f1")
    told = Told()

    def last(change):
        observer.stop()
        told.put(("last", change.name))

    observer = observe(last, told, names=["ens5f0", "ens5f1"])
    observer.start()
    assert told.next() == ("last", "ens5f0")
    observer.stop()
    assert not any("Observer" in thread.name for thread in threading.enumerate())
    assert told.empty()


@pytest.mark.usefixtures("pf")
def test_stop_from_within_on_error_works_too(observe):
    told, failed = Told(), Told()

    def on_error(exc):
        observer.stop()
        failed.put(exc)

    observer = observe(lambda _change: 1 / 0, told, on_error=on_error)
    observer.start()
    assert isinstance(failed.next(), ZeroDivisionError)
    observer.stop()
    assert told.empty()


@pytest.mark.usefixtures("pf")
def test_listener_that_stops_and_raises_is_the_last_that_is_heard_of(observe):
    failed = Told()

    def last(_change):
        observer.stop()
        raise LookupError

    observer = observe(last, on_error=failed)
    observer.start()
    thread_of(observer).join(SOON)
    observer.stop()
    assert failed.empty()


@pytest.mark.usefixtures("pf")
def test_stop_by_many_threads_at_once_is_one(observe):
    for _ in range(20):
        observer = observe(Told())
        observer.start()
        threads = [threading.Thread(target=observer.stop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        assert observer.stopped


@pytest.mark.usefixtures("pf")
def test_stop_from_a_signal_handler_ends_it(observe):
    told = Told()
    observer = observe(told)
    before = signal.signal(signal.SIGALRM, lambda *_: observer.stop())
    try:
        with observer:
            told.next()
            signal.raise_signal(signal.SIGALRM)
            assert observer.stopped
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("pf")
def test_observer_starts_once(observe):
    running, ended, never = observe(Told()), observe(Told()), observe(Told())
    running.start()
    ended.start()
    ended.stop()
    never.stop()
    for observer in (running, ended, never):
        with pytest.raises(RuntimeError, match="once"):
            observer.start()


@pytest.mark.usefixtures("pf")
def test_repr_says_what_it_is(observe):
    observer = observe(Told())
    assert repr(observer) == "<pfstatus.Observer ens5f0 not started>"
    observer.start()
    assert repr(observer) == "<pfstatus.Observer ens5f0 running>"
    observer.stop()
    assert repr(observer) == "<pfstatus.Observer ens5f0 stopped>"


@pytest.mark.usefixtures("pf")
def test_stopped_observer_is_collected_in_silence(observe):
    told = Told()
    with observe(told):
        told.next()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


# ---- Processes


def test_program_ends_although_an_observer_runs(script):
    ran = script("""
import pfstatus, threading
told = threading.Event()
observer = pfstatus.Observer(["lo"], lambda change: (print(change, flush=True), told.set()))
observer.start()
told.wait()
""")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "lo: LACP unknown (no-bond) [start]\n"


def test_program_ends_although_a_listener_hangs(script):
    ran = script("""
import pfstatus, threading
told = threading.Event()
def hang(change):
    told.set()
    threading.Event().wait()
observer = pfstatus.Observer(["lo"], hang)
observer.start()
told.wait()
""")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_program_that_ends_gives_the_listener_that_runs_time_to(script):
    """A daemon thread that prints once the interpreter is being torn down may abort it."""
    ran = script("""
import pfstatus, threading, time
told = threading.Event()
def slow(change):
    told.set()
    time.sleep(0.2)
    print("done")
observer = pfstatus.Observer(["lo"], slow)
observer.start()
told.wait()
""")
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "done\n")


def test_ctrl_c_ends_a_program_through_its_with(script):
    ran = script(
        """
import pfstatus, signal
with pfstatus.Observer(["lo"], lambda change: None) as observer:
    try:
        print("entered", flush=True)
        signal.pause()
    finally:
        print("left", flush=True)
""",
        send=signal.SIGINT,
    )
    assert ran.returncode in {1, 130, -signal.SIGINT}
    assert ran.stdout == "entered\nleft\n"
    assert ran.stderr.rstrip().endswith("KeyboardInterrupt")


def test_child_of_fork_has_no_observer_and_the_parent_s_goes_on(script):
    ran = script("""
import os, pfstatus, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that other threads do not go along
told = threading.Event()
with pfstatus.Observer(["lo"], lambda change: told.set()) as observer:
    told.wait()
    if not os.fork():
        assert observer.stopped
        observer.stop()
        try:
            observer.start()
        except RuntimeError as exc:
            print("child:", exc, flush=True)
        del observer
        os._exit(0)
    os.wait()
    assert not observer.stopped
print("parent:", observer)
""")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "child: an observer starts once: make another",
        "parent: <pfstatus.Observer lo stopped>",
    ]
