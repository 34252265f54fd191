"""Figures as they are kept, in the lab's results and in the baseline: nanoseconds."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path


def here() -> str:
    """What an exact figure hangs on besides our own code."""
    kernel = ".".join(platform.release().split(".")[:2])
    python = ".".join(platform.python_version_tuple()[:2])
    return f"Linux {kernel}, Python {python}"


class Figures(dict[str, int]):
    """Nanoseconds by what was measured."""

    def add(self, what: str, seconds: float) -> None:
        """Note one."""
        self[what] = round(seconds * 1e9)

    def save(self, name: str) -> None:
        """Write them to the lab's results, if there is a place for these."""
        results = os.environ.get("LAB_RESULTS")
        if results:
            text = json.dumps({here(): self}, indent=2)
            (Path(results) / f"{name}.json").write_text(text + "\n")
