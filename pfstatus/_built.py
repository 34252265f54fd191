"""Imported first: says what to do in a checkout whose C core was not built."""

from importlib.util import find_spec

if find_spec("pfstatus._core") is None:
    msg = (
        "pfstatus was not built here: install it (python3 -m venv .venv, .venv/bin/pip install .) "
        "and use that, from another folder or with .venv/bin/python -P; see docs/installation.md"
    )
    raise ModuleNotFoundError(msg, name="pfstatus._core")
