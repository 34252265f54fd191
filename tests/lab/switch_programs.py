"""Programs that speak LACP as a switch would, in the cache: Open vSwitch, teamd, DPDK's bonding.

They lie in one directory as in a root file system of their own, with what libraries they need and
this machine lacks. DPDK is a library: `dpdk_switch.c`, built here, is the program.
`switches.py` runs them in the guest.
"""

import fcntl
import hashlib
import re
import tempfile
from pathlib import Path

from packages import (
    CACHE,
    LabError,
    Say,
    output,
    packages_named,
    unpack,
    version,
    with_libraries,
)

LIBRARIES = "usr/lib/x86_64-linux-gnu"

_PACKAGES = ("openvswitch-switch", "openvswitch-common", "libteam-utils")
_DPDK = (
    "eal",
    "ethdev",
    "mbuf",
    "mempool",
    "bus-vdev",
    "mempool-ring",
    "net-af-packet",
    "net-bond",
)
"""Its libraries that the program uses; the last four are found by being linked, not called."""
_HEADERS = ("libdpdk-dev", "libbsd-dev")
_SOURCE = Path(__file__).with_name("dpdk_switch.c")


def root() -> Path:
    """Where they are, or will be; another place for other versions."""
    digest = hashlib.sha256(_SOURCE.read_bytes())
    for package in (*_PACKAGES, *_HEADERS):
        digest.update(f"{package} {version(package)}\n".encode())
    return CACHE / f"switches-{digest.hexdigest()[:16]}"


def prepare(say: Say) -> Path:
    """Brings them into the cache, unless they are there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        programs = root()
        if not programs.exists():
            say("downloading Open vSwitch, teamd and DPDK (once)")
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                packages = with_libraries((*_PACKAGES, *_dpdk_packages()))
                unpacked = unpack((*packages, *_HEADERS), Path(scratch))
                _build(unpacked)
                unpacked.rename(programs)
    return programs


def _dpdk_packages() -> list[str]:
    """Debian's names of them end with the version of DPDK's ABI, such as 23."""
    found = []
    for name in _DPDK:
        of_it = [
            package
            for package in packages_named(f"librte-{name}")
            if re.fullmatch(rf"librte-{name}[0-9.]+", package)
        ]
        if not of_it:
            raise LabError(f"apt knows no package librte-{name}: run apt-get update")
        found.append(max(of_it))
    return found


def _build(root: Path) -> None:
    include = root / "usr/include"
    libraries = [root / LIBRARIES / f"librte_{name.replace('-', '_')}.so" for name in _DPDK]
    output(
        *("gcc", "-std=gnu11", "-O2", "-march=corei7", "-include", "rte_config.h"),
        *(f"-isystem{include / name}" for name in ("", "dpdk", "x86_64-linux-gnu/dpdk")),
        *("-o", str(root / "usr/bin/dpdk_switch"), str(_SOURCE)),
        *("-Wl,--no-as-needed", *map(str, libraries), f"-Wl,-rpath-link,{root / LIBRARIES}"),
    )
