"""What may go wrong on a node, and the state that it must end in.

`kit.py` says what a fault is; each other file has those of one subject. `fault_matrix.py` runs them
all and makes the table, `test_faults.py` the quick ones.
"""

from faults.kit import FAULTS as FAULTS
from faults.kit import Fault as Fault
from faults.kit import Outcome as Outcome
from faults.kit import happen as happen

# isort: split
from faults import drivers, lacp, links, processes, storms  # noqa: F401 - they fill the list
