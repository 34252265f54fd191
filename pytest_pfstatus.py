"""Fixtures of pfstatus for pytest, which finds them by entry point where pfstatus is installed.

At the top, and not in the package: pytest imports this in every session on the machine, which
must cost nothing where nobody uses it, and must not import what is to be measured for coverage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfstatus.testing import FakeKernel


@pytest.fixture
def pfstatus_kernel() -> Iterator[FakeKernel]:
    """A kernel with no link but ``lo``: pfstatus.testing.FakeKernel, closed after the test."""
    from pfstatus.testing import FakeKernel  # noqa: PLC0415 - see above

    with FakeKernel() as kernel:
        yield kernel
