"""A relay with a heartbeat, in real time, against a fake kernel and fake partners."""

from __future__ import annotations

import dataclasses
import time

import pytest

from pfstatus import Kind, Policy, PortState, Relay, VfLinkState
from pfstatus.heartbeat.listener import SLOW
from pfstatus.testing import FakePartner

AUTO, DISABLE = VfLinkState.AUTO, VfLinkState.DISABLE
SOON = 15.0


class Site:
    """Two PFs, each with its partner, and a relay."""

    def __init__(self, kernel, mode, **policy):
        self.pfs = [kernel.add_pf(name, vfs=2) for name in ("pf0", "pf1")]
        for number, pf in enumerate(self.pfs):
            kernel.add_bond(f"bond{number}", pf)
        self.partners = [FakePartner(pf, delay=0.02) for pf in self.pfs]
        self.reports = []
        known = dataclasses.replace(self.partners[0].learned, answer_time=0.5, gap=1.0)
        self.relay = Relay(
            "pf0",
            "pf1",
            policy=Policy(heartbeat=mode, **policy),
            report=self.reports.extend,
            session=kernel.session(),
            open_port=self.open_port,
            known=[known],
        )

    def open_port(self, ifindex):
        (partner,) = [each for each in self.partners if each.pf.ifindex == ifindex]
        return partner.open_port(ifindex)

    def until(self, reached):
        deadline = time.monotonic() + SOON
        while not reached():
            assert time.monotonic() < deadline, [report.to_dict() for report in self.reports]
            self.relay.turn(0.1)

    def heard(self):
        """Until both partners are heard."""
        self.until(lambda: len(self.relay.heard()) == 2)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.relay.turn(0.1)

    def said(self, kind, **fields):
        return [
            report
            for report in self.reports
            if report.kind is kind and fields.items() <= report.fields.items()
        ]

    def close(self):
        self.relay.close()
        for partner in self.partners:
            partner.close()


@pytest.fixture
def site(kernel):
    sites = []

    def make(mode, **options):
        sites.append(Site(kernel, mode, **options))
        return sites[-1]

    yield make
    for each in sites:
        each.close()


@pytest.mark.parametrize("mode", ["late", "pulse"])
def test_a_silent_pfs_vfs_are_disabled_before_the_kernel_knows_and_given_back(site, mode):
    site = site(mode)
    pf = site.pfs[0]
    site.heard()
    site.partners[0].mute = True
    site.until(lambda: set(pf.vfs.values()) == {DISABLE})
    assert pf.actor == 0x3F, "the kernel still calls LACP up"
    assert set(site.pfs[1].vfs.values()) == {AUTO}
    site.run(0.2)
    assert site.said(Kind.PARTNER_SILENT, interface="pf0", acted_upon=True)
    pf.lacp_expire()
    site.until(lambda: site.said(Kind.SILENCE_CONFIRMED, interface="pf0"))
    assert set(pf.vfs.values()) == {DISABLE}
    site.partners[0].mute = False
    pf.lacp_up()
    site.until(lambda: set(pf.vfs.values()) == {AUTO})


def test_watching_touches_nothing(site):
    site = site("watch")
    site.heard()
    site.partners[0].mute = True
    site.until(lambda: site.said(Kind.PARTNER_SILENT, interface="pf0", acted_upon=False))
    site.run(0.5)
    assert set(site.pfs[0].vfs.values()) == {AUTO}


def test_the_last_path_stays(site):
    site = site("pulse")
    site.heard()
    site.pfs[1].lacp_expire()
    site.until(lambda: set(site.pfs[1].vfs.values()) == {DISABLE})
    site.partners[0].mute = True
    site.until(lambda: site.said(Kind.PARTNER_SILENT, interface="pf0", acted_upon=False))
    site.run(0.5)
    assert set(site.pfs[0].vfs.values()) == {AUTO}


def test_a_false_alarm_is_said_and_the_vfs_come_back(site):
    site = site("pulse")
    pf = site.pfs[0]
    site.heard()
    site.partners[0].mute = True
    site.until(lambda: set(pf.vfs.values()) == {DISABLE})
    site.partners[0].mute = False
    site.until(lambda: site.said(Kind.FALSE_ALARM, interface="pf0", hold=1.0))
    assert set(pf.vfs.values()) == {DISABLE}
    site.until(lambda: set(pf.vfs.values()) == {AUTO})


def test_without_the_capability_the_relay_goes_on(site):
    site = site("late")
    for partner in site.partners:
        partner.permitted = False
    site.until(lambda: len(site.said(Kind.HEARTBEAT_IDLE)) == 2)
    assert "CAP_NET_RAW" in site.said(Kind.HEARTBEAT_IDLE)[0].fields["reason"]
    site.pfs[0].lacp_expire()
    site.until(lambda: set(site.pfs[0].vfs.values()) == {DISABLE})


def test_reviving_takes_no_heartbeat(site):
    site = site("off", revive=True)
    site.run(1.5)
    site.partners[0].mute = True
    site.pfs[0].lacp_default()
    site.until(lambda: len(site.partners[0].asked) >= 2)
    assert {asked.partner.state for asked in site.partners[0].asked} == {0x3F}
    assert site.partners[1].asked == []
    site.pfs[0].lacp_up(announce=False)
    site.until(lambda: site.said(Kind.REVIVED, interface="pf0"))
    assert not site.said(Kind.HEARTBEAT_IDLE)


def test_without_either_no_port_is_opened(site):
    site = site("off")
    site.run(0.3)
    assert all(not partner._sockets for partner in site.partners)


@pytest.mark.parametrize("mode", ["never", "", None])
def test_a_policy_knows_its_modes(mode):
    with pytest.raises(ValueError, match="heartbeat"):
        Policy(heartbeat=mode)


def ask_for_the_slow_rate(site):
    for partner in site.partners:
        slow = partner.actor.state & ~PortState.TIMEOUT
        partner.actor = dataclasses.replace(partner.actor, state=slow)


def test_at_the_slow_rate_nothing_is_concluded(site):
    site = site("late")
    ask_for_the_slow_rate(site)
    site.until(lambda: len(site.said(Kind.HEARTBEAT_IDLE, reason=SLOW)) == 2)
    site.partners[0].mute = True
    site.run(3)
    assert not site.said(Kind.PARTNER_SILENT)


def test_heartbeat_slow_concludes_where_the_kernel_would_wait_for_90_s(site):
    here = site("late", heartbeat_slow=True)
    ask_for_the_slow_rate(here)
    here.heard()
    here.partners[0].mute = True
    here.until(lambda: here.said(Kind.PARTNER_SILENT, interface="pf0", acted_upon=True))
    here.until(lambda: set(here.pfs[0].vfs.values()) == {DISABLE})
    here.run(4)
    assert not here.said(Kind.FALSE_ALARM), "the kernel has 90 s to say the same"
    assert set(here.pfs[0].vfs.values()) == {DISABLE}


def test_heartbeat_slow_alone_does_nothing_and_is_refused():
    with pytest.raises(ValueError, match="needs a heartbeat"):
        Policy(heartbeat_slow=True)


def test_pf_is_dropped_and_added_while_the_other_is_silent(site):
    """Who is silent stays lost only as long as another is heard; a reload forgets nobody."""
    here = site("late")
    here.heard()
    here.partners[0].mute = True
    here.until(lambda: here.said(Kind.PARTNER_SILENT, interface="pf0"))
    here.until(lambda: set(here.pfs[0].vfs.values()) == {DISABLE})
    policy = Policy(heartbeat="late", groups=(("pf0", "pf1"),))
    here.relay.reconfigure("pf0", "pf1", interval=1.0, policy=policy)
    here.run(0.3)
    assert set(here.pfs[0].vfs.values()) == {DISABLE}
    here.relay.reconfigure("pf0", interval=1.0, policy=Policy(heartbeat="late"))
    here.until(lambda: set(here.pfs[0].vfs.values()) == {AUTO})
    here.relay.reconfigure("pf0", "pf1", interval=1.0, policy=policy)
    here.until(lambda: "pf1" in here.relay.heard())
    here.until(lambda: set(here.pfs[0].vfs.values()) == {DISABLE})
