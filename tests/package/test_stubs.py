from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pfstatus
from pfstatus._core import ffi, lib

STUB = ast.parse((Path(pfstatus.__file__).parent / "_core.pyi").read_text())
LIB = next(node for node in STUB.body if isinstance(node, ast.ClassDef) and node.name == "_Lib")
FUNCTIONS = {node.name: node for node in LIB.body if isinstance(node, ast.FunctionDef)}
NAMES = {ast.unparse(node.target) for node in LIB.body if isinstance(node, ast.AnnAssign)}
ANNOTATIONS = {  # by kind of C type
    "primitive": {"int"},
    "pointer": {"_CData", "_Chars"},
    "function": {"_CData"},
    "void": {"None"},
}


def test_annotations_and_run_time_agree(tmp_path):
    # mypy reads what lies in its folder, or else what is installed.
    root = Path(__file__).parents[2]
    editable = root in Path(pfstatus.__file__).parents
    allowed = Path(__file__).with_name("stubtest.allow")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "pfstatus", "--allowlist", allowed],
        capture_output=True,
        text=True,
        check=False,
        cwd=root if editable else tmp_path,
    )
    assert ran.returncode == 0, ran.stdout


def test_stub_declares_what_the_core_has():
    assert FUNCTIONS.keys() | NAMES == set(dir(lib))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_stub_has_the_types_that_were_compiled(name):
    compiled = ffi.typeof(getattr(lib, name))
    _self, *arguments = FUNCTIONS[name].args.posonlyargs
    assert len(arguments) == len(compiled.args)
    for argument, ctype in zip(arguments, compiled.args, strict=True):
        assert ast.unparse(argument.annotation) in ANNOTATIONS[ctype.kind], argument.arg
    assert ast.unparse(FUNCTIONS[name].returns) in ANNOTATIONS[compiled.result.kind]
