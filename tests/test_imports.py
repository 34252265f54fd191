"""Data flows one way; nobody reaches back."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

import pfstatus

SOURCE = Path(pfstatus.__file__).parent
MODULES = sorted(
    path.stem
    for path in (*SOURCE.glob("*.py"), *(init.parent for init in SOURCE.glob("*/__init__.py")))
    if path.stem != "__init__"
)

LAYERS = {  # each may import those of smaller numbers
    "errors": 0,
    "values": 1,
    "pcapng": 2,
    "explain": 2,
    "sysfs": 3,
    "_core": 1,
    "_wire": 2,
    "session": 3,
    "monitor": 4,
    "ledger": 4,
    "policy": 4,
    "report": 4,
    "replay": 4,
    "cli": 9,
    "relay": 5,
    "observer": 5,
    "wait": 5,
    "aio": 6,
    "testing": 5,
}


def imports(module: str) -> set[str]:
    """Modules of the package that a module imports, also for types alone."""
    found = set()
    files = [SOURCE / f"{module}.py", *(SOURCE / module).glob("*.py")]
    for node in chain.from_iterable(
        ast.walk(ast.parse(file.read_text())) for file in files if file.exists()
    ):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [node.module or ""]
            if node.module == "pfstatus":
                names = [f"pfstatus.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pfstatus.")}
    return found - {module}  # a package's own files


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_those_below_it(module):
    assert module in LAYERS, "a new module: give it a layer"
    reached_back = {name for name in imports(module) if LAYERS[name] >= LAYERS[module]}
    assert not reached_back


def test_values_and_errors_know_no_other():
    assert imports("values") == imports("errors") == imports("ledger") == set()


def test_wire_alone_imports_the_core():
    assert [module for module in MODULES if "_core" in imports(module)] == ["_wire"]


def test_package_needs_cffi_alone():
    code = (
        "import sys; before = set(sys.modules); import pfstatus;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    ran = subprocess.run([sys.executable, "-Pc", code], capture_output=True, text=True, check=True)
    foreign = set(ran.stdout.split()) - set(sys.stdlib_module_names)
    assert foreign <= {"pfstatus", "_cffi_backend"}


def test_package_leaves_asyncio_to_those_who_use_it():
    code = (
        "import pfstatus, sys; before = 'asyncio' in sys.modules; pfstatus.AsyncMonitor;"
        "print(before, 'asyncio' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-Pc", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]


def test_everything_public_is_listed():
    assert pfstatus.__all__ == sorted(pfstatus.__all__)
    assert all(hasattr(pfstatus, name) for name in pfstatus.__all__)
