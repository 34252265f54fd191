"""Requests as the core writes them, for tests that have no kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfstatus._core import ffi, lib
from pfstatus.errors import error

if TYPE_CHECKING:
    from collections.abc import Sequence


def encode_vf_set(ifindex: int, seq: int, vfs: Sequence[tuple[int, int]]) -> bytes:
    """Write one RTM_SETLINK.

    Raises:
        Error: EMSGSIZE, more than 4,094 VFs.
    """
    size = 36 + 16 * len(vfs)
    buf = ffi.new("char[]", size)
    entries = ffi.new("struct pfs_vf[]", [tuple(map(int, pair)) for pair in vfs])
    ret = lib.pfs_vf_set_encode(buf, size, ifindex, seq, entries, len(vfs))
    if ret < 0:
        raise error(-ret)
    return bytes(ffi.buffer(buf, ret))
