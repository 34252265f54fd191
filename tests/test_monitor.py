from __future__ import annotations

import math
import os
import select
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest

from pfstatus import (
    BondMode,
    Cause,
    Error,
    LacpRate,
    LacpReason,
    MalformedError,
    Monitor,
    PortState,
    VfLinkState,
)
from pfstatus.recording.netlink import nlmsg

NEVER = 3600.0  # an interval that no test sees the end of
SOON = 5.0  # what ought to happen at once happens before


@pytest.fixture
def pf(kernel):
    """One in a bond, LACP up."""
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    return pf


@pytest.fixture
def watch(kernel):
    """Make a monitor that has told the present."""
    monitors = []

    def make(*names, interval=NEVER, present=True, **options):
        monitor = Monitor(*names, interval=interval, session=kernel.session(), **options)
        monitors.append(monitor)
        if present:
            assert {change.name for change in monitor.poll(0)} == set(names)
        kernel.requests.clear()
        return monitor

    yield make
    for monitor in monitors:
        monitor.close()


def the(changes):
    """Of the only change: reason and cause."""
    (change,) = changes
    return change.new.lacp.reason, change.cause


def readable(fd, timeout=0.0) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


# ---- The present, and silence


@pytest.mark.usefixtures("pf")
def test_first_told_is_the_present_of_each(kernel, watch):
    kernel.add_pf("ens5f1")
    monitor = watch("ens5f1", "ens5f0", "ens9", present=False)
    changes = monitor.poll(0)
    assert [(c.name, c.old, c.new.lacp.reason, c.cause) for c in changes] == [
        ("ens5f1", None, LacpReason.NO_BOND, Cause.START),
        ("ens5f0", None, LacpReason.UP, Cause.START),
        ("ens9", None, LacpReason.ABSENT, Cause.START),
    ]
    assert monitor.status("ens5f0") == changes[1].new


@pytest.mark.usefixtures("pf")
def test_status_before_the_first_poll_is_none(watch):
    monitor = watch("ens5f0", present=False)
    assert monitor.status("ens5f0") is None
    with pytest.raises(KeyError):
        monitor.status("ens9")


def test_equal_snapshots_are_not_told(kernel, pf, watch):
    monitor = watch("ens5f0", interval=0.01)
    kernel.set_vf(pf, 0, VfLinkState.DISABLE)
    assert monitor.poll(0.1) == []
    assert kernel.requests["get"] > 1


def test_every_event_tells_of_touches_that_left_the_snapshot_equal(kernel, pf, watch):
    monitor = watch("ens5f0", every_event=True)
    kernel.set_vf(pf, 0, VfLinkState.DISABLE)
    (change,) = monitor.poll(SOON)
    assert (change.old, change.cause) == (change.new, Cause.EVENT)
    assert monitor.poll(0) == []


def test_change_goes_from_the_last_snapshot_to_this_one(pf, watch):
    monitor = watch("ens5f0")
    pf.lacp_expire()
    (first,) = monitor.poll(SOON)
    pf.lacp_default()
    (second,) = monitor.poll(SOON)
    assert first.new == second.old
    assert (second.old.lacp.reason, second.new.lacp.reason) == (
        LacpReason.EXPIRED,
        LacpReason.DEFAULTED,
    )


def test_changes_of_one_turn_are_told_in_order(pf, watch):
    monitor = watch("ens5f0")
    pf.lacp_expire()
    pf.lacp_default()
    pf.lacp_up(announce=True)
    assert [change.new.lacp.reason for change in monitor.poll(SOON)] == [
        LacpReason.EXPIRED,
        LacpReason.DEFAULTED,
        LacpReason.UP,
    ]


# ---- Events and questions


def test_event_is_taken_at_its_word_without_a_question(kernel, pf, watch):
    monitor = watch("ens5f0")
    pf.lacp_expire()
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.EVENT)
    assert not kernel.requests


def test_silent_recovery_is_found_by_asking(kernel, pf, watch):
    monitor = watch("ens5f0")
    pf.lacp_expire()
    pf.lacp_default()
    assert len(monitor.poll(SOON)) == 2
    pf.lacp_up()
    assert the(monitor.poll(SOON)) == (LacpReason.UP, Cause.ASKED)
    assert kernel.requests["get"] <= 4, "it asks ten times a second"


def test_silent_loss_is_found_at_the_interval(pf, watch):
    monitor = watch("ens5f0", interval=0.02)
    pf.lacp_set(0x3F, 0x0F)
    assert the(monitor.poll(SOON)) == (LacpReason.NEGOTIATING, Cause.ASKED)


def test_bond_is_asked_for_again_at_the_interval(pf, watch):
    monitor = watch("ens5f0", interval=0.02)
    pf.master.lacp_rate = LacpRate.SLOW
    (change,) = monitor.poll(SOON)
    assert change.new.bond.lacp_rate is LacpRate.SLOW


@pytest.mark.parametrize("vfs", [False, True])
def test_vfs_are_read_only_on_demand(kernel, pf, watch, vfs):
    monitor = watch("ens5f0", vfs=vfs, every_event=True)
    kernel.set_vf(pf, 0, VfLinkState.DISABLE)
    (change,) = monitor.poll(SOON)
    assert kernel.requests["get-vfs"] == vfs
    assert change.new.vfs == (((0, 2), (1, 0)) if vfs else None)


def test_lost_events_make_it_ask_for_everything_and_say_so(kernel, pf, watch):
    kernel.add_bond("bond1", kernel.add_pf("ens5f1"))
    monitor = watch("ens5f0", "ens5f1")
    pf.lacp_expire(announce=False)
    kernel.lose_events()
    (change,) = monitor.poll(SOON)
    assert (change.name, change.new.lacp.reason) == ("ens5f0", LacpReason.EXPIRED)
    assert change.cause is Cause.RESYNC
    assert monitor.lost_events == 1
    assert kernel.requests["get"] == 4, "both, with their bonds"


def test_monitor_hears_again_after_lost_events(kernel, pf, watch):
    monitor = watch("ens5f0")
    for _ in range(3):
        kernel.lose_events()
        assert monitor.poll(0) == []
    pf.lacp_expire()
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.EVENT)


def test_event_that_waited_during_a_question_is_not_taken_for_news(kernel, pf, watch):
    """The LACP loss is announced and over before our question is answered."""
    monitor = watch("ens5f0", interval=0.02)

    def lose_and_recover(_request):
        kernel.on_request = None
        pf.lacp_expire()
        pf.lacp_up(announce=False)

    kernel.on_request = lose_and_recover
    assert monitor.poll(0.2) == []
    assert kernel.on_request is None
    assert monitor.status("ens5f0").lacp.reason is LacpReason.UP


def test_event_that_is_newer_than_the_answer_is_not_missed(kernel, pf, watch):
    """The loss comes between the answer for the PF and the one for its bond."""
    monitor = watch("ens5f0", present=False)

    def lose(_request):
        if kernel.requests["get"] == 2:
            pf.lacp_expire()

    kernel.on_request = lose
    assert [(c.new.lacp.reason, c.cause) for c in monitor.poll(SOON)] == [
        (LacpReason.UP, Cause.START),
        (LacpReason.EXPIRED, Cause.EVENT),
    ]


def test_storm_of_events_is_taken_to_its_end(pf, watch):
    monitor = watch("ens5f0")
    for _ in range(400):
        pf.lacp_expire()
        pf.lacp_up()
    reason = None
    while changes := monitor.poll(0.2):
        reason = changes[-1].new.lacp.reason
    assert reason is LacpReason.UP


def test_events_of_other_links_wake_nobody(kernel, pf, watch):
    monitor = watch("ens5f0")
    assert not readable(monitor)
    for i in range(50):
        kernel.remove(kernel.add_pf(f"veth{i}"))
    assert not readable(monitor)
    kernel.set_vf(pf, 0, VfLinkState.DISABLE)
    assert readable(monitor)


# ---- PFs that come, go and change


def test_pf_that_comes_is_heard_at_once(kernel, watch):
    monitor = watch("ens5f0", interval=0.05)
    kernel.add_pf("ens5f0")
    assert the(monitor.poll(SOON))[0] is LacpReason.NO_BOND


def test_pf_that_goes_is_told_as_absent(kernel, pf, watch):
    monitor = watch("ens5f0")
    kernel.remove(pf)
    assert the(monitor.poll(SOON)) == (LacpReason.ABSENT, Cause.EVENT)


def test_pf_that_is_made_again_is_followed_by_its_name(kernel, pf, watch):
    """A driver reload: the same name, another ifindex."""
    monitor = watch("ens5f0")
    kernel.remove(pf)
    monitor.poll(SOON)
    again = kernel.add_pf("ens5f0")
    kernel.add_bond("bond1", again)
    while monitor.status("ens5f0").lacp.reason is not LacpReason.UP:
        assert monitor.poll(SOON)
    assert monitor.status("ens5f0").ifindex == again.ifindex != pf.ifindex
    again.lacp_expire()
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.EVENT)


def test_pf_that_was_replaced_between_two_turns_is_the_new_one(kernel, pf, watch):
    monitor = watch("ens5f0")
    kernel.remove(pf)
    again = kernel.add_pf("ens5f0")
    (change,) = monitor.poll(SOON)
    assert (change.old.ifindex, change.new.ifindex) == (pf.ifindex, again.ifindex)


def test_pf_that_is_renamed_is_absent_until_it_is_renamed_back(kernel, pf, watch):
    monitor = watch("ens5f0")
    kernel.rename(pf, "eth7")
    assert the(monitor.poll(SOON)) == (LacpReason.ABSENT, Cause.EVENT)
    kernel.rename(pf, "ens5f0")
    assert the(monitor.poll(SOON))[0] is LacpReason.UP


def test_pf_is_followed_by_an_alternative_name(kernel, watch):
    pf = kernel.add_pf("ens5f0", altnames=["a-name-of-more-than-15-bytes"])
    kernel.add_bond("bond0", pf)
    monitor = watch("a-name-of-more-than-15-bytes")
    pf.lacp_expire()
    (change,) = monitor.poll(SOON)
    assert (change.name, change.new.ifname) == ("a-name-of-more-than-15-bytes", "ens5f0")
    assert (change.new.lacp.reason, change.cause) == (LacpReason.EXPIRED, Cause.EVENT)
    kernel.rename(pf, "eth7")
    (change,) = monitor.poll(SOON)
    assert change.new.ifname == "eth7"


def test_pf_that_comes_by_an_alternative_name_is_found_by_asking(kernel, watch):
    monitor = watch("enp3s0f0np0")
    kernel.add_pf("ens5f0", altnames=["enp3s0f0np0"])
    assert the(monitor.poll(SOON))[0] is LacpReason.NO_BOND


def test_bond_that_is_made_again_is_noticed(kernel, pf, watch):
    monitor = watch("ens5f0")
    kernel.remove(pf.master)
    assert the(monitor.poll(SOON)) == (LacpReason.NO_BOND, Cause.EVENT)
    bond = kernel.add_bond("bond0", pf)
    (change,) = monitor.poll(SOON)
    assert change.new.lacp.reason is LacpReason.UP
    assert change.new.bond.ifindex == bond.ifindex


@pytest.mark.parametrize(
    ("master", "reason"),
    [
        (lambda kernel: kernel.add_bridge("br0"), LacpReason.NOT_A_BOND),
        (lambda kernel: kernel.add_bond("b", mode=BondMode.ACTIVE_BACKUP), LacpReason.WRONG_MODE),
        (lambda kernel: kernel.add_bond("b"), LacpReason.UP),
        (lambda _kernel: None, LacpReason.NO_BOND),
    ],
    ids=["bridge", "active-backup", "another-bond", "none"],
)
def test_pf_that_changes_its_master_is_asked_about_that(kernel, pf, watch, master, reason):
    monitor = watch("ens5f0")
    with kernel.change(pf):
        pf.master = master(kernel)
    (change,) = monitor.poll(SOON)
    assert (change.new.lacp.reason, change.cause) == (reason, Cause.EVENT)
    assert change.new.master == (pf.master.ifindex if pf.master else None)


def test_cable_that_is_pulled_is_told(pf, watch):
    monitor = watch("ens5f0")
    pf.set_carrier(False)
    assert the(monitor.poll(SOON)) == (LacpReason.LINK_DOWN, Cause.EVENT)


def test_64_pfs_are_followed(kernel, watch):
    pfs = [kernel.add_pf(f"ens{i}") for i in range(64)]
    kernel.add_bond("bond0", *pfs)
    monitor = watch(*(pf.name for pf in pfs))
    pfs[63].lacp_expire()
    (change,) = monitor.poll(SOON)
    assert change.name == "ens63"


# ---- Doubt


def test_event_that_is_older_than_lost_ones_is_not_believed(kernel, pf, watch):
    """A question is owed, which knows more than what waited in the queue."""
    monitor = watch("ens5f0")
    kernel.lose_events()
    pf.lacp_up(announce=True)
    pf.lacp_expire(announce=False)
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.RESYNC)
    assert monitor.lost_events == 1


def test_bond_is_asked_for_with_its_port(pf, watch):
    """Ten times a second while LACP is down, whatever the interval."""
    pf.lacp_default()
    monitor = watch("ens5f0")
    pf.master.lacp_rate = LacpRate.SLOW
    (change,) = monitor.poll(SOON)
    assert change.new.bond.lacp_rate is LacpRate.SLOW


class InterruptedByHandlerError(Exception):
    """What a signal handler raises."""


@contextmanager
def interruptions(chance):
    """Have a handler raise at any time while a switch is on. Yields the switch."""
    switch = SimpleNamespace(on=False, raised=0)

    def handler(*_):
        if switch.on:
            switch.on = False
            switch.raised += 1
            raise InterruptedByHandlerError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 1e-5, chance)
    try:
        yield switch
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_exception_of_a_signal_handler_loses_no_change(pf, watch):
    """Wherever it strikes: before the kernel is heard, amid a question, or at the last step."""
    monitor = watch("ens5f0")
    told, made = [], []
    with interruptions(0.00037) as switch:
        for turn in range(400):
            made.append(PortState(0x3F if turn % 2 else 0x0F))
            pf.lacp_set(0x3F, made[-1], announce=True)
            deadline = time.monotonic() + SOON
            while len(told) < len(made) and time.monotonic() < deadline:
                switch.on = True
                try:
                    told += monitor.poll(0.5)
                except InterruptedByHandlerError:
                    pass
                finally:
                    switch.on = False
    assert [change.new.partner for change in told] == made
    assert switch.raised > 20


# ---- Without epoll


@pytest.mark.parametrize("missing", [["epoll"], ["epoll", "poll"]], ids=["gevent", "eventlet"])
def test_select_without_epoll_is_enough(pf, watch, monkeypatch, missing):
    """As they leave it to a process that they have patched."""
    for name in missing:
        monkeypatch.delattr(select, name)
    monitor = watch("ens5f0")
    timer = threading.Timer(0.05, pf.lacp_expire)
    timer.start()
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.EVENT)
    timer.join()
    assert not readable(monitor)
    pf.lacp_default()
    assert readable(monitor)
    assert the(monitor.poll(0)) == (LacpReason.DEFAULTED, Cause.EVENT)


# ---- Long times


@pytest.mark.parametrize("interval", [1e8, 1e300, math.inf])
def test_interval_may_be_as_long_as_one_likes(pf, watch, interval):
    monitor = watch("ens5f0", interval=interval)
    monitor.fileno()
    timer = threading.Timer(0.05, pf.lacp_expire)
    timer.start()
    assert the(monitor.poll(interval)) == (LacpReason.EXPIRED, Cause.EVENT)
    timer.join()


# ---- One PF, two names


@pytest.fixture
def two_names(kernel):
    """A PF with an alternative name."""
    pf = kernel.add_pf("ens5f0", altnames=["enp3s0f0np0"])
    kernel.add_bond("bond0", pf)
    return pf


def test_pf_that_is_named_twice_is_told_of_once(two_names, watch):
    monitor = watch("ens5f0", "enp3s0f0np0", "ens5f0", interval=0.02, present=False)
    assert [change.name for change in monitor.poll(0)] == ["ens5f0"]
    assert (monitor.same_as("enp3s0f0np0"), monitor.same_as("ens5f0")) == ("ens5f0", None)
    two_names.lacp_expire()
    assert [change.name for change in monitor.poll(SOON)] == ["ens5f0"]
    assert monitor.poll(0.1) == []
    assert monitor.status("enp3s0f0np0").lacp.reason is LacpReason.EXPIRED


def test_name_that_comes_to_mean_a_pf_that_is_watched_is_told_of_no_more(kernel, watch):
    pf = kernel.add_pf("ens5f0")
    monitor = watch("ens5f0", "enp3s0f0np0", interval=0.02)
    pf.altnames = ("enp3s0f0np0",)
    assert monitor.poll(0.2) == []
    other = kernel.add_pf("ens5f1")
    pf.altnames, other.altnames = (), ("enp3s0f0np0",)
    (change,) = monitor.poll(SOON)
    assert (change.name, change.old, change.new.ifname) == ("enp3s0f0np0", None, "ens5f1")
    pf.altnames, other.altnames = ("enp3s0f0np0",), ()
    (change,) = monitor.poll(SOON)
    assert (change.name, change.new.lacp.reason) == ("enp3s0f0np0", LacpReason.ABSENT)


def test_other_name_is_told_of_once_the_first_is_watched_no_more(two_names, watch):
    monitor = watch("ens5f0", "enp3s0f0np0", present=False)
    monitor.poll(0)
    monitor.remove("ens5f0")
    (change,) = monitor.poll(SOON)
    assert (change.name, change.old, change.cause) == ("enp3s0f0np0", None, Cause.START)
    two_names.lacp_expire()
    assert [change.name for change in monitor.poll(SOON)] == ["enp3s0f0np0"]


# ---- More PFs, and fewer


@pytest.mark.usefixtures("pf")
def test_pf_that_is_added_is_told_of_and_heard(kernel, watch):
    monitor = watch("ens5f0")
    other = kernel.add_pf("ens5f1")
    kernel.add_bond("bond1", other)
    timer = threading.Timer(0.05, monitor.add, ["ens5f1", monitor.status("ens5f0")])
    timer.start()
    (change,) = monitor.poll(SOON)
    timer.join()
    assert (change.name, change.old, change.cause) == ("ens5f1", None, Cause.START)
    assert monitor.pfs == ("ens5f0", "ens5f1")
    other.lacp_expire()
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.EVENT)


def test_pf_that_is_removed_is_not_heard_of_any_more(kernel, pf, watch):
    kernel.add_bond("bond1", kernel.add_pf("ens5f1"))
    monitor = watch("ens5f0", "ens5f1")
    monitor.remove("ens5f0")
    assert monitor.pfs == ("ens5f1",)
    pf.lacp_expire()
    assert monitor.poll(0.15) == []
    with pytest.raises(KeyError):
        monitor.status("ens5f0")
    with pytest.raises(KeyError):
        monitor.remove("ens5f0")


def test_last_pf_may_go_and_another_come(pf, watch):
    monitor = watch("ens5f0")
    fd = monitor.fileno()
    monitor.remove("ens5f0")
    assert monitor.poll(0.05) == []
    pf.lacp_expire()
    assert monitor.poll(0.05) == []
    assert not readable(fd)
    monitor.add("ens5f0")
    assert readable(fd)
    assert the(monitor.poll(0)) == (LacpReason.EXPIRED, Cause.START)


def test_too_many_cannot_be_added(watch):
    monitor = watch(*(f"ens{i}" for i in range(60)))
    with pytest.raises(ValueError, match="64 PFs at most, not 66"):
        monitor.add(*(f"ens{i}" for i in range(55, 66)))
    assert len(monitor.pfs) == 60


def test_all_ports_are_those_of_802_3ad_bonds_now(kernel):
    kernel.add_bond("bond0", kernel.add_pf("ens5f1"))
    kernel.add_bond("bond1", kernel.add_pf("eno1"), mode=BondMode.ACTIVE_BACKUP)
    kernel.add_bond("bond2", kernel.add_pf("ens5f0"))
    kernel.add_pf("eno2")
    with Monitor("eno2", all_ports=True, session=kernel.session()) as monitor:
        assert monitor.pfs == ("eno2", "ens5f1", "ens5f0")


def test_no_such_port_is_an_error_that_says_the_cure(kernel):
    kernel.add_bond("bond1", kernel.add_pf("eno1"), mode=BondMode.ACTIVE_BACKUP)
    with pytest.raises(OSError, match=r"is a port of an 802\.3ad bond: name one"):
        Monitor(all_ports=True, session=kernel.session())


@pytest.mark.usefixtures("pf")
def test_limit_leaves_the_rest_for_the_next_call(watch):
    monitor = watch("ens5f0", "ens8", "ens9", present=False)
    assert [change.name for change in monitor.poll(limit=2)] == ["ens5f0", "ens8"]
    assert [change.name for change in monitor.poll(limit=2)] == ["ens9"]
    with pytest.raises(ValueError, match="limit"):
        monitor.poll(limit=0)


# ---- Errors


def broken(*_args, seq=0, **_options) -> bytes:
    """A link message that ends before it says of which link."""
    return nlmsg(16, b"", seq=seq)


@pytest.mark.parametrize("names", [("ens5f0", "ens5f1"), ("ens5f1", "ens5f0")], ids=" ".join)
def test_error_of_one_pf_does_not_lose_what_was_found_of_the_other(kernel, pf, watch, names):
    other = kernel.add_pf("ens5f1")
    kernel.add_bond("bond1", other)
    monitor = watch(*names, interval=0.02)
    pf.message = broken
    other.lacp_set(0, 0)
    told, failed = [], []
    while not (told and failed):
        try:
            told += monitor.poll(SOON)
        except MalformedError as exc:
            failed.append(exc.filename)
    assert (told[0].name, told[0].new.lacp.reason) == ("ens5f1", LacpReason.NEGOTIATING)
    assert failed[0] == "ens5f0"


def test_monitor_goes_on_after_an_error(pf, watch):
    monitor = watch("ens5f0", interval=0.02)
    pf.message = broken
    with pytest.raises(MalformedError):
        monitor.poll(SOON)
    del pf.message
    pf.lacp_set(0, 0)
    assert the(monitor.poll(SOON))[0] is LacpReason.NEGOTIATING


def test_failing_pf_is_not_asked_without_pause(pf, watch):
    monitor = watch("ens5f0", interval=0.05)
    pf.message = broken
    failures = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        try:
            monitor.poll(end - time.monotonic())
        except MalformedError:
            failures += 1
    assert 1 <= failures <= 11


@pytest.mark.usefixtures("pf")
def test_kernel_that_hangs_up_is_an_error(kernel, watch):
    monitor = watch("ens5f0", interval=0.02)
    kernel.hang_up()
    with pytest.raises(Error):
        monitor.poll(SOON)


@pytest.mark.parametrize(
    ("pfs", "options", "error", "word"),
    [
        ((), {}, ValueError, "a PF is needed"),
        (tuple(f"ens{i}" for i in range(65)), {}, ValueError, "64 PFs at most, not 65"),
        (("ens5f0",), {"interval": 0}, ValueError, "interval"),
        (("ens5f0",), {"interval": math.nan}, ValueError, "interval"),
        (("",), {}, ValueError, "interface name"),
        ((["ens5f0"],), {}, TypeError, r"given one by one, as in Monitor\(\*pfs\)"),
        ((7,), {}, TypeError, "a name or a LinkStatus, not 7"),
    ],
    ids=["no-pf", "65", "interval-0", "interval-nan", "empty-name", "list", "number"],
)
def test_bad_argument_is_refused(pfs, options, error, word):
    with pytest.raises(error, match=word):
        Monitor(*pfs, **options)


def test_netns_goes_with_the_session(kernel):
    with kernel.session() as session, pytest.raises(ValueError, match="netns"):
        Monitor("ens5f0", session=session, netns="/run/netns/blue")


def test_session_without_events_is_refused(kernel):
    session = kernel.session(events=False)
    with pytest.raises(ValueError, match="without events"):
        Monitor("ens5f0", session=session)


@pytest.mark.usefixtures("pf")
def test_second_monitor_on_a_session_is_refused_until_the_first_is_closed(kernel):
    """Each would take the other's events."""
    session = kernel.session()
    with Monitor("ens5f0", session=session) as first:
        with pytest.raises(ValueError, match="a monitor listens on this session already"):
            Monitor("ens5f0", session=session)
        assert the(first.poll(0)) == (LacpReason.UP, Cause.START)
    with Monitor("ens5f0", session=session) as second:
        assert the(second.poll(0)) == (LacpReason.UP, Cause.START)


# ---- Loops of one's own


def test_fileno_is_readable_for_the_present_then_for_news_alone(pf, watch):
    monitor = watch("ens5f0", present=False)
    assert readable(monitor, SOON)
    assert len(monitor.poll(0)) == 1
    assert not readable(monitor)
    pf.lacp_expire()
    assert readable(monitor)
    assert the(monitor.poll(0)) == (LacpReason.EXPIRED, Cause.EVENT)


def test_fileno_is_readable_when_a_question_is_due(pf, watch):
    monitor = watch("ens5f0")
    monitor.fileno()
    pf.lacp_default()
    monitor.poll(0)
    pf.lacp_up()
    assert not readable(monitor), "nobody told us"
    changes = []
    while not changes:
        assert readable(monitor, SOON)
        changes = monitor.poll(0)
    assert the(changes) == (LacpReason.UP, Cause.ASKED)


def test_fileno_falls_silent_after_stop(pf, watch):
    """A loop that does not unwatch it at once must not spin."""
    monitor = watch("ens5f0", interval=0.02)
    monitor.fileno()
    for _ in range(2):
        monitor.stop()
        assert readable(monitor)
        assert monitor.poll(0) == []
        pf.lacp_expire()
        assert not readable(monitor, 0.1)


@pytest.mark.usefixtures("pf")
def test_fileno_is_readable_while_something_waits_to_be_told(kernel, watch):
    kernel.add_bond("bond1", kernel.add_pf("ens5f1"))
    monitor = watch("ens5f0", "ens5f1", present=False)
    monitor.fileno()
    for change in monitor:
        assert change.name == "ens5f0"
        break
    assert readable(monitor, SOON)
    (change,) = monitor.poll(0)
    assert change.name == "ens5f1"
    assert not readable(monitor)


@pytest.mark.usefixtures("pf")
def test_poll_of_nothing_takes_its_time_and_no_longer(watch):
    monitor = watch("ens5f0")
    began = time.monotonic()
    assert monitor.poll(0.05) == []
    assert 0.05 <= time.monotonic() - began < SOON


# ---- The end


@pytest.mark.usefixtures("pf")
def test_stop_from_another_thread_ends_a_wait(watch):
    monitor = watch("ens5f0")
    timer = threading.Timer(0.05, monitor.stop)
    timer.start()
    assert monitor.poll() == []
    timer.join()
    assert monitor.stopped


@pytest.mark.usefixtures("pf")
def test_stop_from_a_signal_handler_ends_a_wait(watch):
    monitor = watch("ens5f0")
    with alarm(lambda *_: monitor.stop()):
        assert list(monitor) == []


def test_keyboard_interrupt_ends_a_wait_and_loses_nothing(pf, watch):
    monitor = watch("ens5f0")
    with alarm(signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        monitor.poll()
    pf.lacp_expire()
    assert the(monitor.poll(SOON)) == (LacpReason.EXPIRED, Cause.EVENT)


class alarm:  # noqa: N801 - reads as a verb
    """A handler that is called in 50 ms."""

    def __init__(self, handler):
        self.handler = handler

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self.handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    def __exit__(self, *_exc):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


def test_nothing_is_told_after_stop(pf, watch):
    monitor = watch("ens5f0", "ens5f1", present=False)
    told = []
    for change in monitor:
        told.append(change.name)
        monitor.stop()
    assert told == ["ens5f0"]
    pf.lacp_expire()
    assert monitor.poll(SOON) == []
    assert list(monitor) == []


@pytest.mark.usefixtures("pf")
def test_iteration_that_was_left_can_be_taken_up_again(watch):
    monitor = watch("ens5f0", "ens5f1", present=False)
    names = [next(iter(monitor)).name, next(iter(monitor)).name]
    assert names == ["ens5f0", "ens5f1"]


@pytest.mark.usefixtures("pf")
def test_stop_during_close_writes_to_no_descriptor_of_another(watch, monkeypatch):
    """The number of a descriptor that was closed is the next file's."""
    monitor = watch("ens5f0")
    written = []

    def close_first(fd, value):
        monitor.close()  # as another thread may, or the program that this handler interrupted
        written.append((fd, value))
        os.fstat(fd)

    monkeypatch.setattr("pfstatus._readiness.os.eventfd_write", close_first)
    monitor.stop()
    ((fd, _),) = written
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.usefixtures("pf")
def test_close_may_be_called_again(kernel):
    with Monitor("ens5f0", session=kernel.session()) as monitor:
        monitor.fileno()
    monitor.close()
    monitor.stop()
    assert monitor.closed
    for use in (partial(monitor.poll, 0), monitor.fileno):
        with pytest.raises(ValueError, match="the monitor is closed"):
            use()


@pytest.mark.parametrize(
    ("end", "word"), [(None, "open"), (Monitor.stop, "stopped"), (Monitor.close, "closed")]
)
def test_repr_says_what_it_is(watch, end, word):
    monitor = watch("ens5f0")
    if end:
        end(monitor)
    assert repr(monitor) == f"<pfstatus.Monitor ens5f0 {word}>"


# ---- Processes


def test_child_of_fork_finds_monitor_and_session_closed_and_disturbs_no_parent(script):
    ran = script("""
import os, pfstatus
descriptors = lambda: set(os.listdir("/proc/self/fd"))
before = descriptors()
monitor = pfstatus.Monitor("lo", interval=3600)
monitor.poll(0)
session = pfstatus.Session()
monitor.fileno()
monitor.poll(0)
if not os.fork():
    assert descriptors() == before
    for use in (monitor.poll, monitor.fileno, lambda: session.get("lo")):
        try:
            use()
        except ValueError as exc:
            print(exc, flush=True)
    monitor.stop()
    session.close()
    monitor.close()
    with pfstatus.Monitor("lo") as own:
        print(own.poll(0)[0].cause, flush=True)
    del monitor, session
    os._exit(0)
os.wait()
print("parent:", session.get("lo").name, monitor.stopped, monitor.poll(0.05))
session.close()
monitor.close()
""")
    assert (ran.returncode, ran.stderr) == (0, "")
    said = "the session is closed: it is its process's own, and a child of fork() opens another"
    first, second, third, own, parent = ran.stdout.splitlines()
    assert first == second == said.replace("session", "monitor")
    assert third == said
    assert own == "start"
    assert parent == "parent: lo False []"


def test_ctrl_c_ends_a_program_and_closes_all(script):
    code = """
import pfstatus
with pfstatus.Monitor("lo") as monitor:
    for change in monitor:
        print(change, flush=True)
"""
    ran = script(code, send=signal.SIGINT)
    assert ran.returncode != 0
    assert ran.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "ResourceWarning" not in ran.stderr


def test_program_that_ends_with_a_monitor_open_is_warned_and_no_more(script):
    ran = script("""
import pfstatus
monitor = pfstatus.Monitor("lo")
print(len(monitor.poll()))
""")
    assert (ran.returncode, ran.stdout) == (0, "1\n")
    assert "ResourceWarning: unclosed <pfstatus.Monitor lo open>" in ran.stderr
    assert "Traceback" not in ran.stderr
