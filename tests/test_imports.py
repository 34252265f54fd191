"""Data flows one way; nobody reaches back."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pfstatus

SOURCE = Path(pfstatus.__file__).parent

FLOORS = {  # each may import what stands on lower floors, and itself
    "errors": 0,
    "values": 1,
    "_built": 0,
    "_core": 1,
    "_fork": 0,
    "_busy": 1,
    "_pci": 0,
    "_port": 2,
    "_timer": 2,
    "_version": 0,
    "_waiter": 0,
    "_wire": 2,
    "_readiness": 3,
    "recording.netlink": 2,
    "recording.pcapng": 3,
    "explain": 2,
    "session": 3,
    "sysfs": 3,
    "monitor": 4,
    "recording.capture": 4,
    "recording.replay": 4,
    "heartbeat.values": 1,
    "heartbeat.learner": 3,
    "heartbeat.listener": 4,
    "heartbeat.ports": 5,
    "heartbeat.watch": 6,
    "heartbeat.aio": 7,
    "heartbeat.learn": 7,
    "wait": 5,
    "observer": 5,
    "testing.links": 5,
    "testing.partner": 6,
    "testing.server": 6,
    "testing": 7,
    "aio": 6,
    "relay.pace": 6,
    "relay.policy": 6,
    "relay.ownership": 6,
    "relay.report": 6,
    "relay.rival": 6,
    "relay.drills": 7,
    "relay.numvfs": 6,
    "relay.config": 7,
    "relay.narrator": 7,
    "relay.trust": 6,
    "relay.hearts": 8,
    "relay.setter": 7,
    "relay.release": 8,
    "relay.pf": 8,
    "relay.groups": 9,
    "relay.checks": 9,
    "relay.worker": 10,
    "relay.loop": 11,
    "relay.rehearsal": 12,
    "relay.program": 13,
    "agent.config": 0,
    "agent.http": 1,
    "agent.systemd": 0,
    "agent.health": 12,
    "agent.heartbeats": 12,
    "agent.lacpdus": 3,
    "agent.textfile": 0,
    "agent.forewarn": 12,
    "agent.metrics": 13,
    "agent.program": 14,
    "cli": 15,
    "operator.resource": 0,
    "operator.conflict": 1,
    "operator.ports": 2,
    "operator.status": 1,
    "operator.render": 2,
    "operator.decide": 3,
    "operator.changes": 4,
    "operator.lease": 1,
    "operator.cluster": 2,
    "operator.watch": 2,
    "operator.loop": 5,
    "operator.serving": 0,
    "operator.__main__": 6,
}
"""By room: a module, or a package whose files are one."""


def room_of(module: str) -> str | None:
    """The room that a module is in, by its dotted name below ``pfstatus``."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in FLOORS:
            return name
    return None


def name_of(path: Path) -> str:
    """The dotted name below ``pfstatus``."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py")) if name_of(path)}


def imports(module: str) -> set[str]:
    """What a module imports of the package, by dotted name, also for types alone."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [node.module or ""]
            if f"{node.module}." in {"pfstatus.", *(f"pfstatus.{room}." for room in PACKAGES)}:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.partition(".")[2] for name in names if name.startswith("pfstatus.")}
    return found


PACKAGES = {name for name, path in FILES.items() if path.stem == "__init__"}


@pytest.mark.parametrize("module", FILES)
def test_module_imports_only_what_stands_below_it(module):
    if module in PACKAGES and module not in FLOORS:
        assert not imports(module), "the door of a package of several rooms is empty"
        return
    room = room_of(module)
    assert room is not None, "a new room: give it a floor"
    above = {
        name
        for name in imports(module)
        if room_of(name) != room and FLOORS[room_of(name) or ""] >= FLOORS[room]
    }
    assert not above


def test_values_know_errors_alone():
    assert imports("errors") == set()
    assert imports("values") == {"errors"}


def test_operator_is_a_house_of_its_own():
    within = {name for name in FILES if name.split(".")[0] == "operator"}
    assert {name for name in FILES if imports(name) & within} <= within
    assert {room_of(found) for name in within for found in imports(name)} <= within


def test_four_modules_alone_import_the_core():
    found = [module for module in FILES if "_core" in imports(module)]
    assert found == ["_port", "_readiness", "_timer", "_wire"]


@pytest.mark.parametrize("module", FILES)
def test_module_keeps_its_hands_off_the_privates_of_others(module):
    """What begins with an underscore is used where it is made: in the same file."""
    nodes = list(ast.walk(ast.parse(FILES[module].read_text())))
    own = {"_replace"}  # a named tuple's
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own |= {
        node.attr
        for node in attributes
        if ast.unparse(node.value) == "self" and isinstance(node.ctx, ast.Store)
    }
    foreign = {
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in attributes
        if re.match("_[^_]", node.attr)
        and node.attr not in own
        and ast.unparse(node.value) not in {"self", "cls", "lib"}
    }
    assert not foreign


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


def test_a_checkout_that_was_not_built_says_what_to_do(tmp_path):
    package = tmp_path / "pfstatus"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("_core*.so", "__pycache__"))
    # Without site: an editable install would be found instead.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", "import pfstatus"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: pfstatus was not built here: install it")
