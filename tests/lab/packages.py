"""Packages of the archives that apt already knows, unpacked into a cache and never installed.

`apt-get download` needs no root, and nothing of what is unpacked is started by anybody but the lab.
"""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pfstatus" / "lab"

Say = Callable[[str], None]


class LabError(Exception):
    """The lab cannot be had here; says why, and what to do."""


def output(*command: str) -> str:
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def dependencies(package: str) -> list[str]:
    """The packages that this one needs."""
    wanted = ("--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces")
    lines = output("apt-cache", "depends", *wanted, package).splitlines()
    return [line.split(": ", 1)[1] for line in lines if "Depends: " in line]


def packages_named(prefix: str) -> set[str]:
    """All that apt knows whose names begin so."""
    return set(output("apt-cache", "pkgnames", prefix).split())


def version(package: str) -> str:
    """The version that would be downloaded.

    Raises:
        LabError: apt knows no such package.
    """
    for line in output("apt-cache", "show", "--no-all-versions", package).splitlines():
        if line.startswith("Version: "):
            return line.removeprefix("Version: ")
    raise LabError(f"apt knows no package {package}: run apt-get update")


def with_libraries(packages: Iterable[str]) -> list[str]:
    """These, and the libraries that they need and that are not installed here."""
    found = set(packages)
    needs: dict[str, set[str]] = {}
    wanted = ("--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces")
    for line in output("apt-cache", "depends", "--recurse", *wanted, *found).splitlines():
        if not line.startswith((" ", "|")):
            needs[line] = set()
            package = line
        elif "Depends: lib" in line:
            needs[package].add(line.split(": ", 1)[1])
    installed = {
        line.split(" ")[0]
        for line in output(
            "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"
        ).splitlines()
        if line.endswith(" installed")
    }
    todo = list(found)
    while todo:
        new = needs.get(todo.pop(), set()) - installed - found
        found |= new
        todo += new
    return sorted(found)


def unpack(packages: Iterable[str], scratch: Path) -> Path:
    """Downloads packages into a directory and gives the root file system that they make there."""
    subprocess.run(
        # As root, apt would complain that its own user cannot write here.
        ["apt-get", "-q=2", "-o", "APT::Sandbox::User=root", "download", *sorted(packages)],
        cwd=scratch,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    root = scratch / "root"
    for package in sorted(scratch.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root
