"""Whole messages in files: what a kernel sent, what a decoder once got wrong.

A file holds lines of comment and lines of hexadecimal digits, little-endian. A valid one says
on a comment line what must be read from it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pfstatus import MalformedError
from pfstatus._wire import decode

if TYPE_CHECKING:
    from pfstatus import Bond, LinkStatus, Vf

DATA = Path(__file__).parent / "data"
VALID = sorted(DATA.glob("valid/*.hex"))
INVALID = sorted(DATA.glob("invalid/*.hex"))

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="recorded on little-endian hosts")


def load(path: Path) -> tuple[list[str], bytes]:
    lines = path.read_text().splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    return comments, bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def summary(status: LinkStatus, bond: Bond | None, vfs: tuple[Vf, ...]) -> str:
    words = [str(status)]
    if status.actor is not None and status.partner is not None:
        words.append(f"actor {status.actor:#04x} partner {status.partner:#04x}")
    if bond is not None:
        words.append(f"bond {bond.mode} {bond.lacp_rate} partner {bond.partner_mac}")
    if vfs:
        words.append("VFs " + " ".join(f"{vf}={state}" for vf, state in vfs))
    return ", ".join(words)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_message_is_read(path):
    comments, message = load(path)
    (expected,) = (line for line in comments if line.startswith("reads: "))
    assert summary(*decode(message)) == expected.removeprefix("reads: ")


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_message_is_refused(path):
    with pytest.raises(MalformedError):
        decode(load(path)[1])


def test_there_are_messages():
    assert VALID
    assert INVALID
