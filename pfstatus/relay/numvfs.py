"""Whether VFs were made or removed, seen in sysfs.

The kernel raises no event for it, and reading VFs by rtnetlink costs the driver a call for each
under the RTNL lock.

``sriov_numvfs`` of a PCI device is not what is read: the kernel takes the device's lock for it,
which is held for as long as VFs are being made, seconds with some drivers (drivers/pci/iov.c,
``sriov_numvfs_show()``). The link ``virtfn0`` is there as long as there are VFs, and another one,
with another inode, each time they are made. It comes before the kernel counts them for rtnetlink,
and goes a second before it counts none (``sriov_enable()``, ``sriov_disable()``).
"""

from __future__ import annotations

from pathlib import Path

_SYSFS = Path("/sys/class/net")

Signature = int | str
"""What is equal as long as the VFs are the same ones."""


def agrees(signature: Signature | None, count: int) -> bool:
    """Whether rtnetlink, which counts so many VFs, is where sysfs was."""
    return signature is None or bool(int(signature)) == bool(count)


class NumVfs:
    """Where to look for one NIC.

    Args:
        ifname: the kernel's own name of it.
        ifindex: its ifindex: sysfs may show another network namespace, where the name is
            somebody else's.
        root: where sysfs shows network interfaces.
    """

    def __init__(self, ifname: str, ifindex: int, root: Path = _SYSFS) -> None:
        device = root / ifname / "device"
        self._first_vf: Path | None = None
        self._number: Path | None = None
        try:
            if int((root / ifname / "ifindex").read_text()) != ifindex:
                return
            device = device.resolve(strict=True)  # which stays, whatever the netdev is renamed to
            if (device / "subsystem").resolve().name == "pci":
                self._first_vf = device / "virtfn0"
            else:
                self._number = device / "sriov_numvfs"
        except (OSError, ValueError):
            return

    def signature(self) -> Signature | None:
        """Another one if VFs were made or removed; None where sysfs does not tell."""
        try:
            if self._first_vf is not None:
                return self._first_vf.lstat().st_ino
            return None if self._number is None else self._number.read_text()
        except FileNotFoundError:
            return 0
        except OSError:
            return None
