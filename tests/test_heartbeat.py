"""Heartbeats in real time, against a fake kernel and a fake partner."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import select
import threading
import time
from contextlib import ExitStack

import pytest

from pfstatus import (
    AsyncHeartbeat,
    Beat,
    Heartbeat,
    HeartbeatMode,
    HeartbeatState,
    Outcome,
    Partner,
)
from pfstatus.cli import ping
from pfstatus.heartbeat.learn import learn
from pfstatus.testing import FakePartner
from pfstatus.testing.partner import Answers

SOON = 10.0
ASKED, HEARD, IDLE, LEARNING, SILENT = (
    HeartbeatState.ASKED,
    HeartbeatState.HEARD,
    HeartbeatState.IDLE,
    HeartbeatState.LEARNING,
    HeartbeatState.SILENT,
)


@pytest.fixture
def pf(kernel):
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    return pf


@pytest.fixture
def partner(pf):
    # Patient: this machine is busy with other things.
    with FakePartner(pf, delay=0.02) as partner:
        yield partner


@pytest.fixture
def options(kernel, partner):
    known = dataclasses.replace(partner.learned, answer_time=0.5, gap=1.0)
    return {"session": kernel.session(), "open_port": partner.open_port, "known": [known]}


def until(heartbeat, state, pf="ens5f0"):
    beats = []
    deadline = time.monotonic() + SOON
    while heartbeat.state(pf) is not state:
        assert time.monotonic() < deadline, beats
        beats += heartbeat.poll(0.5)
    return beats


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_mute_partner_falls_silent_and_the_kernel_confirms(pf, partner, options, mode):
    with Heartbeat("ens5f0", mode=mode, **options) as heartbeat:
        assert heartbeat.state("ens5f0") is IDLE
        until(heartbeat, HEARD)
        partner.mute = True
        beats = until(heartbeat, SILENT)
        assert beats[-1].new is SILENT
        assert beats[-1].silence > 1
        assert heartbeat.status("ens5f0").lacp
        pf.lacp_expire()
        (beat,) = until(heartbeat, IDLE)
        assert beat.outcome is Outcome.CONFIRMED
        counts = heartbeat.counts("ens5f0")
        assert counts.silences == {Outcome.CONFIRMED: 1, Outcome.FALSE: 0}
        assert counts.questions >= 2


def test_a_partner_that_is_not_known_is_learned(partner, kernel):
    options = {"session": kernel.session(), "open_port": partner.open_port}
    with Heartbeat("ens5f0", **options) as heartbeat:
        until(heartbeat, LEARNING)
        assert heartbeat.partner("ens5f0") is None
        while len(partner.asked) < 4:
            heartbeat.poll(1)
    states = [asked.partner.state for asked in partner.asked]
    assert states[:3] == [0x3D, 0x3D, 0x3F], "two questions, and a copy without"
    marks = [asked.mark for asked in partner.asked]
    assert len(set(marks)) == len(marks)
    assert 0 not in marks


def test_partners_are_learned_once_or_it_is_said_why_not(kernel, pf, partner, options):
    assert learn("ens5f0", **options) == {"ens5f0": options["known"][0]}
    pf.lacp_expire()
    options["session"] = kernel.session()
    assert learn("ens5f0", **options) == {"ens5f0": "LACP is not up"}
    pf.lacp_up()
    partner.kernel_mute = True
    options["session"] = kernel.session()
    (why,) = learn("ens5f0", timeout=0.5, **options).values()
    assert "our kernel has sent no LACPDU" in why


def test_of_16_pfs_each_has_a_partner_of_its_own(kernel):
    names = [f"pf{number}" for number in range(16)]
    partners = {}
    with ExitStack() as stack:
        for number, name in enumerate(names):
            pf = kernel.add_pf(name)
            kernel.add_bond(f"bond{number}", pf)
            partners[name] = stack.enter_context(FakePartner(pf, delay=0.02))
        by_index = {partner.pf.ifindex: partner for partner in partners.values()}
        known = dataclasses.replace(partners["pf0"].learned, answer_time=0.5, gap=1.0)
        heartbeat = stack.enter_context(
            Heartbeat(
                *names,
                mode="pulse",
                known=[known],
                session=kernel.session(),
                open_port=lambda ifindex: by_index[ifindex].open_port(ifindex),
            )
        )
        for name in names:
            until(heartbeat, HEARD, name)
        mute = {"pf3", "pf12"}
        for name in mute:
            partners[name].mute = True
        silent = set()
        deadline = time.monotonic() + SOON
        while silent != mute:
            assert time.monotonic() < deadline
            silent |= {beat.name for beat in heartbeat.poll(1) if beat.new is SILENT}


def test_the_capability_that_is_missing_is_said_once(partner, options):
    partner.permitted = False
    with Heartbeat("ens5f0", **options) as heartbeat:
        (beat,) = heartbeat.poll(SOON)
        assert "CAP_NET_RAW" in beat.why
        assert heartbeat.poll(1.5) == []
        assert heartbeat.status("ens5f0") is not None


def test_a_pf_that_is_made_again_is_listened_to_again(kernel, pf, partner, options):
    with Heartbeat("ens5f0", **options) as heartbeat:
        until(heartbeat, HEARD)
        kernel.remove(pf)
        until(heartbeat, IDLE)
        partner.pf = again = kernel.add_pf("ens5f0")
        kernel.add_bond("bond1", again)
        until(heartbeat, HEARD)


def test_a_pf_that_changes_its_bond_is_asked_nothing_until_its_kernel_speaks(
    kernel, pf, partner, options
):
    with Heartbeat("ens5f0", mode="pulse", **options) as heartbeat:
        until(heartbeat, HEARD)
        partner.kernel_mute = True
        kernel.add_bond("bond1", pf)
        until(heartbeat, IDLE)
        asked = heartbeat.counts("ens5f0").questions
        heartbeat.poll(1.5)
        assert heartbeat.counts("ens5f0").questions == asked
        partner.kernel_mute = False
        until(heartbeat, HEARD)


def test_a_defaulted_port_is_revived_and_seen_to_be_up_at_once(pf, partner, options):
    with Heartbeat("ens5f0", revive=True, interval=60, **options) as heartbeat:
        until(heartbeat, HEARD)
        partner.mute = True
        pf.lacp_default()
        until(heartbeat, IDLE)
        asked = len(partner.asked)
        deadline = time.monotonic() + SOON
        while len(partner.asked) < asked + 2:
            assert time.monotonic() < deadline
            heartbeat.poll(0.2)
        assert {each.partner.state for each in partner.asked[asked:]} == {0x3F}
        partner.mute = False
        pf.lacp_up(announce=False)
        until(heartbeat, HEARD)
        assert heartbeat.counts("ens5f0").revivals == 1


def test_heartbeats_speak_the_words_of_monitors(options):
    with Heartbeat("ens5f0", **options) as heartbeat:
        assert repr(heartbeat) == "<pfstatus.Heartbeat ens5f0 open>"
        deadline = time.monotonic() + SOON
        while heartbeat.state("ens5f0") is not HEARD:
            assert time.monotonic() < deadline
            select.select([heartbeat.fileno()], [], [], SOON)
            heartbeat.poll(0)
        threading.Timer(0.1, heartbeat.stop).start()
        assert list(heartbeat) == []
        assert heartbeat.stopped
        with pytest.raises(KeyError):
            heartbeat.state("other")
    assert heartbeat.closed
    heartbeat.close()
    heartbeat.stop()


@pytest.mark.parametrize(("pfs", "options"), [((), {}), (("a",), {"mode": "never"})])
def test_a_heartbeat_of_nonsense(pfs, options):
    with pytest.raises(ValueError, match=r"interface name|never"):
        Heartbeat(*pfs, **options)


def test_asyncio(partner, options):
    async def run():
        beats = []
        async with AsyncHeartbeat("ens5f0", mode="pulse", **options) as heartbeat:
            async for beat in heartbeat:
                beats.append(beat)
                if beat.new is HEARD and not partner.mute:
                    partner.mute = True
                if beat.new is SILENT:
                    heartbeat.stop()
            assert await heartbeat.poll(0) == []
        assert heartbeat.closed
        return beats

    beats = asyncio.run(asyncio.wait_for(run(), 2 * SOON))
    assert beats[-1].new is SILENT


def test_asyncio_waits_as_long_as_it_is_told_and_for_one_task(options):
    async def run():
        async with AsyncHeartbeat("ens5f0", **options) as heartbeat:
            while heartbeat.heartbeat.state("ens5f0") is not HEARD:
                await heartbeat.poll(SOON)
            began = time.monotonic()
            assert await heartbeat.poll(0.2) == []
            assert time.monotonic() - began >= 0.2
            waiting = asyncio.create_task(heartbeat.poll())
            await asyncio.sleep(0.05)
            with pytest.raises(RuntimeError, match="another task"):
                await heartbeat.poll()
            heartbeat.close()
            assert await asyncio.wait_for(waiting, SOON) == []

    asyncio.run(asyncio.wait_for(run(), 3 * SOON))


def test_beats_and_partners_are_values():
    partner = Partner("02:00:00:00:00:b0", 12, 10, 8, 4, 0, 0.076, 0.5, 3)
    beat = Beat("ens5f0", HEARD, SILENT, "it does not answer", 1.2, partner, None)
    assert pickle.loads(pickle.dumps(beat)) == beat
    assert hash(beat) == hash(dataclasses.replace(beat))
    assert (partner.usable, partner.needed) == (True, 3)
    assert partner.threshold == pytest.approx(0.85)
    assert str(beat) == "ens5f0: heard -> silent: it does not answer"
    assert not dataclasses.replace(partner, answers=2).usable
    assert str(dataclasses.replace(partner, answers=2)).endswith("2 of 10 questions answered")


# pfstatus ping


def run_ping(kernel, partner, interval=1.0, count=2):
    with kernel.session() as session, partner.open_port(partner.pf.ifindex) as port:
        return ping.Ping(session, port, "ens5f0", interval, count).run()


@pytest.mark.parametrize("interval", [0.333, 1.0])
def test_ping_tells_each_answer_and_sums_up(kernel, partner, capsys, interval):
    assert run_ping(kernel, partner, interval) == ping.ANSWERED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "LACP PING ens5f0: system 02:00:5e:00:00:01, from 02:00:5e:00:00:01  port 12  key 32768"
    )
    answers = [line for line in lines if line.startswith("answer from 02:00:5e:00:00:01  port 12")]
    assert len(answers) == 2
    assert "2 questions, 2 answered, 0% unanswered" in lines[-2]
    assert lines[-1].startswith("time min/avg/max/mdev = ")
    assert [asked.partner.state for asked in partner.asked] == [0x3D, 0x3D]


def test_ping_of_who_does_not_answer_says_what_that_can_mean(kernel, partner, capsys):
    partner.answers = Answers.NOTHING
    assert run_ping(kernel, partner) == ping.UNANSWERED
    said = capsys.readouterr().out
    assert said.count("no answer to question") == 2
    assert "2 questions, 0 answered, 100% unanswered" in said
    assert "A missing answer can mean" in said


def test_ping_asks_nothing_where_lacp_is_not_up(kernel, pf, partner, capsys):
    pf.lacp_expire()
    with kernel.session() as session, pytest.raises(OSError, match="keeps a dead end alive"):
        ping._check(session, "ens5f0")
    pf.lacp_up()
    with kernel.session() as session, partner.open_port(pf.ifindex) as port:
        asking = ping.Ping(session, port, "ens5f0", 1.0, None)
        threading.Timer(2.5, pf.lacp_expire).start()
        assert asking.run() == ping.ANSWERED
    assert "while LACP is not up" in capsys.readouterr().err


def test_ping_can_be_stopped(kernel, partner, capsys):
    with kernel.session() as session, partner.open_port(partner.pf.ifindex) as port:
        asking = ping.Ping(session, port, "ens5f0", 1.0, None)
        threading.Timer(1.5, asking.stop).start()
        asking.run()
    assert "LACP ping statistics" in capsys.readouterr().out
