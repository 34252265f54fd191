"""The fake kernel itself: where a mistake would let other tests pass."""

from __future__ import annotations

import errno
import math
import select
import sys
import textwrap

import pytest
from core_requests import encode_vf_set

from pfstatus import Error, VfLinkState, testing
from pfstatus.testing import FakeKernel

AUTO, ENABLE, DISABLE = VfLinkState


def test_example_of_the_docstring_works():
    paragraphs = testing.__doc__.split("\n\n")
    code = textwrap.dedent("\n\n".join(p for p in paragraphs if p.startswith("    ")))
    scope = {}
    exec(code, scope)
    scope["test_vfs_fail_over"]()


def readable(session) -> bool:
    return bool(select.select([session._wire.fileno()], [], [], 0)[0])


def test_every_session_hears_of_a_change(kernel):
    with kernel.session() as one, kernel.session() as other:
        kernel.add_pf("ens5f0")
        assert readable(one)
        assert readable(other)


@pytest.mark.parametrize(
    ("before", "change", "heard"),
    [
        ("lacp_up", "lacp_expire", True),
        ("lacp_expire", "lacp_default", True),
        ("lacp_default", "lacp_up", False),
        ("lacp_expire", "lacp_up", True),
    ],
)
def test_lacp_is_announced_as_bonding_does(kernel, before, change, heard):
    pf = kernel.add_pf("ens5f0")
    getattr(pf, before)()
    with kernel.session() as session:
        getattr(pf, change)()
        assert readable(session) is heard


@pytest.mark.parametrize("up", [True, False])
def test_vf_is_announced_only_of_a_pf_that_is_up(kernel, up):
    pf = kernel.add_pf("ens5f0", vfs=1)
    pf.up = up
    with kernel.session() as session:
        session.set_vf_link_state("ens5f0", {0: "disable"})
        assert readable(session) is up
    with kernel.session() as session:
        kernel.set_vf(pf, 0, AUTO)
        assert readable(session) is up


def test_batch_stops_at_the_first_vf_that_fails(kernel):
    pf = kernel.add_pf("ens5f0", vfs=4)
    pf.vf_errors = {2: (errno.EIO, math.inf)}
    request = encode_vf_set(pf.ifindex, 1, [(vf, DISABLE) for vf in pf.vfs])
    (answer,) = kernel._answers(request)
    assert answer[16:20] == (-errno.EIO).to_bytes(4, sys.byteorder, signed=True)
    assert list(pf.vfs.values()) == [DISABLE, DISABLE, AUTO, AUTO]


def test_each_request_of_a_datagram_has_its_answer(kernel):
    pf = kernel.add_pf("ens5f0", vfs=2)
    pf.vf_errors = {0: (errno.EBUSY, 1)}
    requests = [encode_vf_set(pf.ifindex, seq, [(seq - 1, DISABLE)]) for seq in (1, 2)]
    answers = list(kernel._answers(b"".join(requests)))
    assert [int.from_bytes(answer[8:12], sys.byteorder) for answer in answers] == [1, 2]
    assert list(pf.vfs.values()) == [AUTO, DISABLE]


def test_driver_that_ignores_a_state_says_yes(kernel):
    pf = kernel.add_pf("ens5f0", vfs=1)
    pf.ignores = {ENABLE}
    with kernel.session() as session:
        (result,) = session.set_vf_link_state("ens5f0", {0: "enable"})
    assert result.error is None
    assert pf.vfs == {0: AUTO}


def test_session_that_is_closed_does_not_disturb_the_others(kernel):
    kernel.add_pf("ens5f0")
    kernel.session().close()
    with kernel.session() as session:
        kernel.lose_events()
        assert session.get("ens5f0").ifname == "ens5f0"


def test_sockets_fail_once_it_has_hung_up(kernel):
    with kernel.session() as session:
        kernel.hang_up()
        with pytest.raises(Error):
            session.get("ens5f0")


def test_close_closes_the_sessions_that_it_opened():
    with FakeKernel() as kernel:
        session = kernel.session()
        kernel.close()
        assert session.closed
    kernel.close()
