"""What a listener learns and concludes, on a clock of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from heartbeat_world import (
    ANSWERING,
    DPDK,
    FAST,
    LAGG,
    LINUX,
    LINUX_ASKS_SLOW,
    OVS,
    PF,
    SLOW,
    SLOW_LINUX,
    SWITCH,
    TEAMD,
    TEAMD_ASKS_SLOW,
    World,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pfstatus import HeartbeatMode, HeartbeatState, Outcome, Partner
from pfstatus.heartbeat import listener as sentences
from pfstatus.values import Say

LATE, PULSE = HeartbeatMode.LATE, HeartbeatMode.PULSE
HEARD, IDLE, LEARNING, SILENT = (
    HeartbeatState.HEARD,
    HeartbeatState.IDLE,
    HeartbeatState.LEARNING,
    HeartbeatState.SILENT,
)
makes = st.sampled_from(sorted(ANSWERING)).map(ANSWERING.__getitem__)
modes = st.sampled_from(HeartbeatMode)
seeds = st.integers(0, 10**6)


# Learning


@pytest.mark.parametrize(
    ("make", "answers", "copies", "longest"),
    [
        (LINUX, 10, 0, 0.2),
        (TEAMD, 10, 0, 0.01),
        (DPDK, 10, 0, 0.55),
        (ANSWERING["lacplib"], 10, 4, 0.01),
    ],
    ids=["linux", "teamd", "dpdk", "lacplib"],
)
def test_a_partner_is_learned(make, answers, copies, longest):
    world = World(make).learn()
    partner = world.listener.partner()
    assert (partner.system, partner.port) == (SWITCH.system, SWITCH.port)
    assert (partner.questions, partner.answers) == (10, answers)
    assert (partner.copies, partner.copies_answered) == (4, copies)
    assert 0 < partner.answer_time <= longest
    assert 0.3 <= partner.gap <= 0.64
    assert (partner.usable, partner.needed) == (True, 2)
    assert world.states()[-2:] == [LEARNING, HEARD]


def test_who_misses_questions_must_miss_three():
    partner = World(OVS).learn().listener.partner()
    assert partner.usable
    assert partner.missed
    assert partner.needed == 3


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_who_answers_nothing_is_not_used_and_that_is_said_once(mode):
    world = World(LAGG, mode).learn()
    assert not world.listener.partner().usable
    asked = len(world.asked)
    world.mute = True
    world.run(60)
    assert len(world.asked) == asked
    said = [beat for beat in world.beats if sentences.NO_ANSWERS in beat.why]
    assert len(said) == 1
    assert SILENT not in world.states()


def test_learning_is_at_leisure_and_never_in_doubt():
    world = World(LINUX)
    world.link(up=True)
    world.run(8)
    assert world.listener.state is LEARNING
    world.mute = True
    world.run(3)
    quiet_since = world.arrivals[-1] + 1.05
    assert not [at for at, _ in world.asked if at > quiet_since]


def test_another_partner_is_learned_anew_and_a_known_one_is_not():
    world = World(LINUX).learn()
    first = world.listener.partner()
    world.partner = replace(world.partner, port=13)
    world.run(2)
    assert world.listener.state is LEARNING
    world.run(60, until=lambda: world.listener.partner() is not None)
    assert world.listener.partner().port == 13
    world.partner = replace(world.partner, port=12)
    world.run(2)
    assert world.listener.partner() == first
    assert world.listener.state is HEARD


def test_what_was_learned_before_is_not_learned_again():
    known = World(LINUX).learn().listener.partner()
    world = World(LINUX, known=[known])
    world.link(up=True)
    world.run(3)
    assert world.states()[-1] is HEARD
    assert LEARNING not in world.states()


def test_a_learner_that_oversleeps_goes_on_where_it_was():
    """On a node that is so busy that we are late again and again."""
    world = World(LINUX)
    world.link(up=True)
    for _ in range(40):
        world.run(1)
        world.sleep(0.4)
    partner = world.listener.partner()
    assert (partner.questions, partner.answers, partner.copies) == (10, 10, 4)
    assert partner.missed == 0
    assert partner.gap < 1.3


# Asking


@settings(max_examples=25, deadline=None)
@given(makes, modes, seeds)
def test_a_healthy_partner_is_never_silent_and_the_limit_holds(make, mode, seed):
    world = World(make, mode, seed).learn()
    world.run(120)
    assert SILENT not in world.states()
    ours = {at for at, _ in world.asked}
    seconds = [[o for o in world.sent if at - 0.999999 < o <= at] for at in ours]
    assert max(map(len, seconds)) <= 3, "the kernel's own counted in"
    assert {what for _, what in world.asked} == {Say.ASK, Say.COPY}


def test_late_asks_after_silence_alone():
    world = World(TEAMD, LATE).learn()
    asked = len(world.asked)
    world.run(60)
    assert len(world.asked) == asked, "teamd speaks each second"
    world.mute = True
    world.run(1.2)
    at, what = world.asked[asked]
    assert what is Say.ASK
    assert at - world.arrivals[-1] == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("make", "least", "most"),
    [(TEAMD, 0.9, 1.1), (LINUX, 1.2, 1.5), (TEAMD_ASKS_SLOW, 2.9, 3.0), (DPDK, 1.9, 2.7)],
    ids=["teamd", "linux", "teamd-asks-slow", "dpdk"],
)
def test_pulse_asks_all_the_time(make, least, most):
    """Half a second after it was heard last, or as often as the limit lets where that is ours."""
    world = World(make, PULSE).learn()
    asked = len(world.asked)
    world.run(60)
    assert least <= (len(world.asked) - asked) / 60 <= most
    assert max(b - a for (a, _), (b, _) in pairwise(world.asked[asked:])) < 1.3


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_asking_stops_when_our_kernels_own_stop(mode):
    world = World(LINUX, mode).learn()
    world.kernel_mute = world.mute = True
    world.deaf = True
    world.run(2.6)
    assert world.listener.why == sentences.OWN_STOPPED or world.silent
    asked = len(world.asked)
    world.run(30)
    assert len(world.asked) == asked
    assert world.listener.state is IDLE


def test_asking_ends_with_silence():
    world = World(LINUX, PULSE).learn()
    world.mute = True
    world.run(10, until=lambda: world.silent)
    asked = len(world.asked)
    world.run(3)
    assert len(world.asked) == asked


# Concluding


AIMS = {  # seconds: late, pulse in the median, pulse at worst
    "linux": (1.8, 1.1, 1.15),
    "teamd": (1.8, 1.0, 1.15),
    "dpdk": (1.9, 1.3, 1.5),
    "ovs": (2.6, 1.8, 2.1),
    "teamd-asks-slow": (1.8, 0.8, 1.15),
    "linux-asks-slow": (1.8, 1.1, 1.6),
}


@pytest.mark.parametrize("name", AIMS)
def test_a_mute_partner_is_silent_in_time(name):
    """Docs/heartbeat.md has the arithmetic."""
    asks_slow = {"teamd-asks-slow": TEAMD_ASKS_SLOW, "linux-asks-slow": LINUX_ASKS_SLOW}
    make = {**ANSWERING, **asks_slow}[name]
    most_late, median, most = AIMS[name]
    for mode in HeartbeatMode:
        took = []
        for seed in range(15):
            world = World(make, mode, seed).learn()
            world.run(20 + seed * 0.137)
            world.mute = True
            world.run(10, until=lambda world=world: world.silent)
            took.append(world.now - world.arrivals[-1])
        took.sort()
        if mode is LATE:
            assert took[0] >= 1.75
            assert took[-1] <= most_late
        else:
            assert took[len(took) // 2] <= median
            assert took[-1] <= most


@settings(max_examples=25, deadline=None)
@given(makes, modes, seeds, st.floats(0, 30))
def test_every_silence_is_concluded_before_the_kernel_does(make, mode, seed, calm):
    world = World(make, mode, seed).learn()
    world.run(calm)
    world.mute = True
    world.run(3, until=lambda: world.silent)
    assert world.silent
    world.link(up=False)
    assert world.beats[-1].outcome is Outcome.CONFIRMED
    assert world.listener.counts.silences == {Outcome.CONFIRMED: 1, Outcome.FALSE: 0}


@settings(max_examples=15, deadline=None)
@given(makes, modes, seeds)
def test_one_lost_lacpdu_proves_nothing(make, mode, seed):
    """Of either end's, a question, an answer, or another."""
    world = World(make, mode, seed).learn()
    for _ in range(100):
        world.run(2 + world.random.random())
        world.lose = 1
    assert SILENT not in world.states()


def test_heard_again_before_the_kernel_missed_it_is_a_false_alarm():
    world = World(LINUX, PULSE).learn()
    world.mute = True
    world.run(10, until=lambda: world.silent)
    world.mute = False
    world.run(2)
    assert world.listener.state is HEARD
    (false,) = [beat for beat in world.beats if beat.outcome]
    assert (false.old, false.new, false.outcome) == (SILENT, HEARD, Outcome.FALSE)


def test_what_the_kernel_does_not_confirm_is_a_false_alarm():
    world = World(LINUX, PULSE).learn()
    world.mute = True
    world.run(10, until=lambda: world.silent)
    world.run(3.4)
    assert world.silent
    world.run(0.2)
    assert world.listener.state is IDLE
    assert world.listener.counts.silences[Outcome.FALSE] == 1


def test_a_longer_gap_that_proved_healthy_widens_the_threshold():
    world = World(LINUX, PULSE).learn()
    before = world.listener.partner()
    arrivals = len(world.arrivals)
    world.run(2, until=lambda: len(world.arrivals) > arrivals)
    world.mute = True
    world.run(0.75)
    assert not world.silent
    world.mute = False
    world.run(2)
    after = world.listener.partner()
    assert after.gap > before.gap
    assert after.threshold > before.threshold
    assert replace(after, gap=before.gap) == before


@pytest.mark.parametrize("mode", HeartbeatMode)
@pytest.mark.parametrize("make", [LINUX, OVS, DPDK], ids=["linux", "ovs", "dpdk"])
def test_our_own_lateness_is_not_the_partners(make, mode):
    world = World(make, mode).learn()
    for _ in range(20):
        world.run(1 + world.random.random())
        world.sleep(2.0)
    assert SILENT not in world.states()


def test_a_question_that_we_overslept_is_asked_again():
    world = World(LINUX, PULSE).learn()
    world.run(5)
    world.mute = True
    world.sleep(2.0)
    assert not world.silent
    asked = len(world.asked)
    world.run(2, until=lambda: world.silent)
    assert world.silent
    assert len(world.asked) >= asked + 1


@pytest.mark.parametrize("mode", HeartbeatMode)
@pytest.mark.parametrize("make", [LINUX, TEAMD, OVS, DPDK], ids=["linux", "teamd", "ovs", "dpdk"])
def test_a_busy_switch_is_not_silent(make, mode):
    """For ten minutes each of its LACPDUs is 0.2 to 0.9 s late, as it was while it was learned."""
    world = World(make, mode)
    world.delay = lambda: world.random.uniform(0.2, 0.9)
    world.learn()
    world.run(600)
    assert SILENT not in world.states()


@pytest.mark.parametrize("make", [LINUX, TEAMD, OVS], ids=["linux", "teamd", "ovs"])
@pytest.mark.parametrize("seed", range(4))
def test_a_switch_that_gets_busy_at_one_blow_is_known_to_be_after_that(make, seed):
    """The first of them may be 2.2 s after the one before, which no bound below that can know."""
    for mode, most in ((LATE, 1), (PULSE, 3)):
        world = World(make, mode, seed).learn()
        world.run(10)
        world.delay = lambda world=world: world.random.uniform(0.2, 0.9)
        world.run(600)
        assert world.states().count(SILENT) <= most


@pytest.mark.parametrize("name", ANSWERING)
def test_a_partner_that_hears_nothing_speaks(name):
    """Until it misses us, 3 s later: at most one silence of pulse, which its next LACPDU ends."""
    for mode, most in ((LATE, 0), (PULSE, 1)):
        for seed in range(8):
            world = World(ANSWERING[name], mode, seed).learn()
            world.run(10 + seed * 0.37)
            world.deaf = True
            world.run(3)
            assert world.states().count(SILENT) <= most


# Where nothing is concluded


def test_idle_until_lacp_is_up_and_both_have_spoken():
    world = World(LINUX)
    world.turn()
    assert world.listener.why == sentences.NOT_YET
    world.link(up=False)
    assert world.listener.why == sentences.LACP_DOWN
    world.run(5)
    assert world.asked == []
    world.link(up=True)
    world.run(1)
    assert world.listener.state is LEARNING


def test_idle_without_a_template():
    world = World(LINUX)
    world.kernel_mute = True
    world.link(up=True)
    world.run(5)
    assert world.listener.why == sentences.NO_TEMPLATE
    assert world.asked == []


def test_idle_where_it_cannot_listen():
    world = World(LINUX)
    world.listener.failed("CAP_NET_RAW is missing")
    world.link(up=True)
    world.run(5)
    assert [beat.why for beat in world.beats] == ["CAP_NET_RAW is missing"]
    assert world.asked == []


def test_the_slow_rate_takes_being_asked_for():
    world = World(SLOW_LINUX)
    world.actor = replace(PF, state=SLOW)
    world.link(up=True)
    world.run(60)
    assert world.listener.why == sentences.SLOW
    assert world.asked == []


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_the_slow_rate_is_concluded_from_as_the_fast_one(mode):
    world = World(SLOW_LINUX, mode, slow=True)
    world.actor = replace(PF, state=SLOW)
    world.learn()
    assert world.listener.partner().usable
    world.run(120)
    assert SILENT not in world.states()
    world.mute = True
    world.run(3, until=lambda: world.silent)
    assert world.silent
    assert world.now - world.arrivals[-1] < 1.9
    world.run(80)
    assert world.silent, "the kernel needs 90 s"
    world.link(up=False)
    assert world.beats[-1].outcome is Outcome.CONFIRMED


def test_what_was_said_for_another_bond_is_forgotten():
    world = World(LINUX, PULSE).learn()
    world.listener.forget()
    world.kernel_mute = True
    asked = len(world.asked)
    world.run(10)
    assert len(world.asked) == asked
    assert world.listener.why == sentences.NO_TEMPLATE


# Reviving


def test_a_defaulted_port_is_revived_twice_a_second():
    world = World(LINUX, revive=True).learn()
    world.mute = True
    world.run(4)
    world.link(up=False)
    world.run(5)
    before = len(world.asked)
    world.link(up=False, revivable=True)
    world.run(10)
    said = world.asked[before:]
    assert {what for _, what in said} == {Say.REPEAT}
    assert 20 <= len(said) <= 21
    world.mute = False
    world.link(up=True)
    assert world.listener.counts.revivals == 1
    world.run(5)
    assert world.listener.state is HEARD


def test_nothing_is_revived_unless_told_nor_without_our_kernels_own():
    for revive, kernel_mute in ((False, False), (True, True)):
        world = World(LINUX, revive=revive).learn()
        world.mute, world.kernel_mute = True, kernel_mute
        world.link(up=False, revivable=True)
        world.run(45)
        before = len(world.asked)
        world.run(60)
        assert len(world.asked) == before


# What is told


def test_beats_tell_what_was_and_what_is():
    world = World(LINUX, PULSE).learn()
    world.mute = True
    world.run(10, until=lambda: world.silent)
    beat = world.beats[-1]
    assert (beat.name, beat.new) == ("pf0", SILENT)
    assert beat.silence == pytest.approx(world.now - world.arrivals[-1])
    assert isinstance(beat.partner, Partner)
    assert str(beat).startswith("pf0: asked -> silent: ")
    assert str(world.listener.partner()).startswith(
        "02:00:00:00:00:b0 port 12: 10 of 10 questions answered within"
    )


def test_counts_count():
    world = World(TEAMD, PULSE).learn()
    world.run(30)
    counts = world.listener.counts
    assert counts.questions == sum(what is Say.ASK for _, what in world.asked)
    assert 0 < counts.answers <= counts.questions
    assert sum(counts.gaps) == len(world.arrivals) - 1
    assert counts.gap_seconds == pytest.approx(world.arrivals[-1] - world.arrivals[0])
    assert counts.answer_seconds / counts.answers < 0.05


def test_states_of_a_port_are_its_octets():
    assert (FAST, SLOW) == (0x3F, 0x3D)
