#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether an installed pfstatus works: smoke.py VERSION, in a network namespace of its own.

Needs what a user has who installed the wheel, and nothing else: no pytest, no checkout.
"""

import errno
import sys
from pathlib import Path

import pfstatus
from pfstatus.testing import FakeKernel


def installed(version: str) -> None:
    """It is the wheel's, and so is its libnl."""
    home = Path(pfstatus.__file__).parents[1]
    assert home.name == "site-packages", home
    assert pfstatus.__version__ == version, pfstatus.__version__
    maps = Path("/proc/self/maps").read_text().splitlines()
    libnl = {Path(line.split(maxsplit=5)[-1]) for line in maps if "libnl-3" in line}
    assert [path.parent for path in libnl] == [home / "pfstatus.libs"], libnl


def real_kernel() -> None:
    """A question, a refusal and a monitor."""
    with pfstatus.Session() as session:
        assert session.get("lo").lacp.reason is pfstatus.LacpReason.NO_BOND
        (result,) = session.set_vf_link_state("lo", {0: "disable"})
        assert result.error is not None
        assert result.error.errno == errno.EOPNOTSUPP, result
    with pfstatus.Monitor("lo", "ens5f0") as monitor:
        assert [change.name for change in monitor.poll(1)] == ["lo", "ens5f0"]


def fake_kernel() -> None:
    """VFs fail over and back."""
    with FakeKernel() as kernel:
        pf = kernel.add_pf("ens5f0", vfs=2)
        kernel.add_bond("bond0", pf)
        with pfstatus.Relay("ens5f0", session=kernel.session()) as relay:
            relay.turn(timeout=0)
            for change, state in ((pf.lacp_expire, "disable"), (pf.lacp_up, "auto")):
                change()
                for _ in range(10):  # a turn may do no more than read what the last one set
                    relay.turn(timeout=1)
                    if set(map(str, pf.vfs.values())) == {state}:
                        break
                else:
                    raise AssertionError(pf.vfs)


if __name__ == "__main__":
    installed(sys.argv[1])
    real_kernel()
    fake_kernel()
