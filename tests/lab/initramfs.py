"""The initramfs of the lab's guest, written in cpio's "newc" format.

It holds busybox, the modules without which no root file system can be mounted, and `guest/`.
"""

import gzip
import lzma
import stat
import subprocess
from pathlib import Path

from kernel import Kernel
from packages import LabError

_GUEST = Path(__file__).resolve().parent / "guest"
_WANTED = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")


def _entry(name: str, mode: int, data: bytes, inode: int) -> bytes:
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)


def archive(files: dict[str, bytes]) -> bytes:
    """Packs executable files, and the directories above them, into a cpio archive."""
    above = {str(parent) for name in files for parent in Path(name).parents}
    directories = sorted(above - {"."})
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in directories]
    entries += [(name, stat.S_IFREG | 0o755, data) for name, data in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_entry(*entry, inode) for inode, entry in enumerate(entries, 1))


def _module_name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


def _load_order(kernel: Kernel) -> list[str]:
    """Paths of the wanted modules, each after those it needs."""
    lines = (kernel.modules / "modules.dep").read_text().splitlines()
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in lines)}
    paths = {_module_name(path): path for path in needs}
    builtin = (kernel.modules / "modules.builtin").read_text().split()
    present = {_module_name(path) for path in builtin}
    order: list[str] = []

    def add(path: str) -> None:
        for needed in needs[path]:
            add(needed)
        if path not in order:
            order.append(path)

    for name in _WANTED:
        if name in paths:
            add(paths[name])
        elif name not in present:
            raise LabError(f"kernel {kernel.release} has no module {name}")
    return order


def _unpacked(path: Path) -> bytes:
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".gz":
            return gzip.decompress(path.read_bytes())
        case ".zst":
            return subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
        case _:
            return path.read_bytes()


def build(kernel: Kernel, busybox: Path, settings: str, command: str) -> bytes:
    """Gives the archive. `settings` is what `guest/init` reads, `command` what `guest/main` runs,
    both in the shell's language."""
    files = {
        "bin/busybox": busybox.read_bytes(),
        "init": (_GUEST / "init").read_bytes(),
        "lab/main": (_GUEST / "main").read_bytes(),
        "lab/settings": settings.encode(),
        "lab/command": command.encode(),
    }
    for number, path in enumerate(_load_order(kernel)):
        files[f"modules/{number:02}-{_module_name(path)}"] = _unpacked(kernel.modules / path)
    return archive(files)
