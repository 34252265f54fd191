"""The interface of a PCI device, by its address: "0000:5e:00.0"."""

from __future__ import annotations

import os
import re

ROOT = "/sys/bus/pci/devices"

_ADDRESS = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")


def interfaces(address: str) -> list[tuple[str, int]]:
    """Name and ifindex of each interface that a device has, by sysfs; none where it cannot tell.

    Representors of its VFs are left out. sysfs shows the network namespace that it was mounted in,
    which need not be the one that is meant: whoever asks compares the ifindex with netlink's.
    """
    if not _ADDRESS.fullmatch(address):
        return []
    folder = f"{ROOT}/{address.lower()}/net"
    try:
        return [
            (name, int(_text(f"{folder}/{name}/ifindex")))
            for name in sorted(os.listdir(folder))  # noqa: PTH208 - pathlib is dear to import
            if not _REPRESENTOR.fullmatch(_text(f"{folder}/{name}/phys_port_name"))
        ]
    except (OSError, ValueError):
        return []


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 - likewise
            return opened.read().strip()
    except OSError:  # phys_port_name of a NIC without ports to name
        return ""
