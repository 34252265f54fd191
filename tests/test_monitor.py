from __future__ import annotations

from pfstatus import Cause, LacpReason, Monitor


def test_first_change_is_the_present(kernel):
    kernel.add_bond("bond0", kernel.add_pf("ens5f0"))
    with Monitor("ens5f0", session=kernel.session()) as monitor:
        (change,) = monitor.poll(0)
    assert (change.old, change.cause) == (None, Cause.START)
    assert change.new.lacp.reason is LacpReason.UP
