"""A kernel to test against: rtnetlink on socketpairs, without root and without a network card.

``FakeKernel`` answers as Linux does, faults included: a VF list's length wraps, a failing VF
stops a batch without a word which one it was, and the usual LACP recovery is announced by
nothing. An agent that embeds pfstatus is tested with it like this::

    from pfstatus import VfLinkState, Policy, Relay
    from pfstatus.testing import FakeKernel

    def test_vfs_fail_over():
        with FakeKernel() as kernel:
            pf = kernel.add_pf("ens5f0", vfs=2)
            kernel.add_bond("bond0", pf)
            with Relay("ens5f0", session=kernel.session()) as relay:
                relay.turn(timeout=0)               # it sees the present
                pf.lacp_expire()                    # the switch dies
                relay.turn(timeout=1)
                assert set(pf.vfs.values()) == {VfLinkState.DISABLE}

With pytest the fixture ``pfstatus_kernel`` is there wherever pfstatus is installed, and closes the
kernel after the test::

    def test_pf_without_bond(pfstatus_kernel):
        pfstatus_kernel.add_pf("ens5f0")
        with pfstatus_kernel.session() as session:
            assert session.get("ens5f0").bond is None

``replay(path)`` is another such kernel: a recording that ``pfstatus capture`` made elsewhere.

It shares no code with the C core, nor does it judge whether LACP is up.

Methods may be called from any thread. They return when every session has the event waiting, or
queued behind others: a socketpair takes about ten.
"""

from __future__ import annotations

from pfstatus.recording.replay import replay as replay
from pfstatus.testing.links import FakeBond as FakeBond
from pfstatus.testing.links import FakeBridge as FakeBridge
from pfstatus.testing.links import FakeLink as FakeLink
from pfstatus.testing.links import FakePf as FakePf
from pfstatus.testing.partner import FakePartner as FakePartner
from pfstatus.testing.server import FakeKernel as FakeKernel
from pfstatus.testing.server import Write as Write
