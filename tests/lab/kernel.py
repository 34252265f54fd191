"""A distribution's kernel, unpacked into a cache and never installed, with nicsim built for it.

Under the cache directory of one kernel lies what its packages hold, made usable in place: `boot/`,
`lib/modules/`, `usr/src/`.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packages import CACHE, LabError, Say, dependencies, packages_named, unpack

SOURCE = Path(__file__).resolve().parent / "nicsim"

_IMAGE = re.compile(r"linux-image-(\d+\.\d+\.[\w.+~-]*?-?(?:amd64|generic))")
_UNWANTED = re.compile(r"-(cloud|rt)-")
_PARTS = re.compile(r"linux-(headers|kbuild|modules|base|binary)-\d")
"""Of an image's and its headers' dependencies, the packages that hold files the lab needs."""


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def resolve(spec: str | None) -> str:
    """Gives the release (`uname -r`) that `spec` names: a version prefix, or None for the
    distribution's own kernel."""
    if os.uname().machine != "x86_64":
        raise LabError(f"the lab runs on x86_64 alone, and this machine is {os.uname().machine}")
    if not shutil.which("apt-cache"):
        raise LabError("the lab takes its kernel from Debian's or Ubuntu's archive: apt is missing")
    if spec is None:
        for meta in ("linux-image-amd64", "linux-image-generic"):
            if meta in packages_named(meta):
                for package in dependencies(meta):
                    if found := _IMAGE.fullmatch(package):
                        return found[1]
        raise LabError("apt knows no linux-image-amd64 or linux-image-generic: run apt-get update")

    releases = [
        release for release in _releases() if re.match(re.escape(spec) + r"(?!\d)", release)
    ]
    if not releases:
        raise LabError(f"apt knows no kernel image and headers of version {spec}")
    return max(releases, key=_numbers)


def _releases() -> Iterator[str]:
    """All releases of which apt knows image and headers."""
    headers = packages_named("linux-headers-")
    for package in packages_named("linux-image-"):
        found = _IMAGE.fullmatch(package)
        if found and not _UNWANTED.search(package) and f"linux-headers-{found[1]}" in headers:
            yield found[1]


def series() -> list[str]:
    """The series that `resolve()` can choose from, such as 6.1 and 6.12, oldest first."""
    return sorted({".".join(release.split(".")[:2]) for release in _releases()}, key=_numbers)


def _packages(release: str) -> Iterator[str]:
    """The packages of one kernel: image and headers, and what those are split into."""
    seen: set[str] = set()
    extra = f"linux-modules-extra-{release}"
    todo = [f"linux-image-{release}", f"linux-headers-{release}"]
    todo += [extra] if extra in packages_named(extra) else []
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        todo += [name for name in dependencies(package) if _PARTS.match(name)]
        yield package


@dataclass(frozen=True, slots=True)
class Kernel:
    """One unpacked kernel."""

    release: str

    @property
    def root(self) -> Path:
        """Its directory in the cache."""
        return CACHE / self.release

    @property
    def image(self) -> Path:
        """What QEMU boots."""
        return self.root / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """Its modules, nicsim among them once built."""
        return self.root / "lib" / "modules" / self.release

    def prepare(self, say: Say) -> None:
        """Brings it into the cache, with nicsim as its source is now; only what is missing."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.root.exists():
                self._download(say)
            if not self._nicsim_stamp().exists():
                self._build_nicsim(say)

    def _download(self, say: Say) -> None:
        say(f"downloading linux-image-{self.release} and its headers (once)")
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            root = unpack(_packages(self.release), Path(scratch))
            if not (root / "lib").exists():  # merged-/usr packages
                (root / "lib").symlink_to("usr/lib")
            _relocate(root, self.root)
            subprocess.run(["depmod", "-b", root, self.release], check=True)
            root.rename(self.root)

    def _nicsim_stamp(self) -> Path:
        digest = hashlib.sha256()
        for file in sorted(SOURCE.iterdir()):
            digest.update(file.name.encode() + file.read_bytes())
        return self.modules / "updates" / f"nicsim-{digest.hexdigest()[:16]}"

    def _build_nicsim(self, say: Say) -> None:
        say(f"building nicsim for {self.release}")
        with tempfile.TemporaryDirectory(dir=self.root) as scratch:
            build = Path(scratch) / "nicsim"
            shutil.copytree(SOURCE, build)
            headers = self.root / "usr" / "src" / f"linux-headers-{self.release}"
            # BTF would need pahole, and nothing here reads it.
            arguments = (f"M={build}", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules")
            made = subprocess.run(
                ["make", "-s", "-C", headers, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if made.returncode:
                raise LabError(f"nicsim does not build for {self.release}:\n{made.stdout}")
            updates = self.modules / "updates"
            shutil.rmtree(updates, ignore_errors=True)
            updates.mkdir()
            shutil.copy(build / "nicsim.ko", updates)
        subprocess.run(["depmod", "-b", self.root, self.release], check=True)
        self._nicsim_stamp().touch()


def _relocate(unpacked: Path, final: Path) -> None:
    """Debian's headers include each other by the path they would be installed at."""
    for makefile in unpacked.glob("usr/src/linux-headers-*/Makefile"):
        if not makefile.is_symlink():
            text = makefile.read_text()
            makefile.write_text(text.replace("/usr/src/linux-", f"{final}/usr/src/linux-"))
