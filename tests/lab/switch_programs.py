"""Programs that speak LACP as a switch would, unpacked into the cache: Open vSwitch and teamd.

They lie in one directory as in a root file system of their own, with what libraries they need and
this machine lacks. `switches.py` runs them in the guest.
"""

import fcntl
import hashlib
import tempfile
from pathlib import Path

from packages import CACHE, Say, unpack, version, with_libraries

LIBRARIES = "usr/lib/x86_64-linux-gnu"

_PACKAGES = ("openvswitch-switch", "openvswitch-common", "libteam-utils")


def root() -> Path:
    """Where they are, or will be; another place for other versions."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        digest.update(f"{package} {version(package)}\n".encode())
    return CACHE / f"switches-{digest.hexdigest()[:16]}"


def prepare(say: Say) -> Path:
    """Brings them into the cache, unless they are there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        programs = root()
        if not programs.exists():
            say("downloading Open vSwitch and teamd (once)")
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                unpack(with_libraries(_PACKAGES), Path(scratch)).rename(programs)
    return programs
