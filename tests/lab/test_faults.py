"""What may go wrong, the quick part; all of it is `make faults`."""

import pytest
from faults import FAULTS, Fault, happen
from topology import Lab

QUICK = [pytest.param(fault, id=fault.deed.__name__) for fault in FAULTS if fault.quick]


@pytest.mark.parametrize("fault", QUICK)
def test_it_ends_as_it_must(lab: Lab, fault: Fault) -> None:
    outcome = happen(fault, lab)
    assert outcome.right, outcome.ended
