"""Metrics as a file for node_exporter's textfile collector, where no port may be opened."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVERY = 15.0
"""Seconds between two writings; node_exporter tells how old a file is."""


@contextmanager
def keep_textfile(
    path: Path, metrics: Callable[[], bytes], failed: Callable[[OSError], object]
) -> Iterator[None]:
    """Write it again and again, in a thread of its own; it is gone at the end of the context.

    Args:
        path: ends with ".prom", as node_exporter wants it.
        metrics: the text.
        failed: is called with why it could not be written, once as long as that stays.
    """
    ended = threading.Event()

    def write() -> None:
        why: int | None = None
        while True:
            try:
                _replace(path, metrics())
                why = None
            except OSError as exc:
                if exc.errno != why:
                    failed(exc)
                why = exc.errno
            if ended.wait(EVERY):
                return

    writing = threading.Thread(target=write, name="textfile", daemon=True)
    writing.start()
    try:
        yield
    finally:
        ended.set()
        writing.join()
        with suppress(OSError):
            path.unlink()


def _replace(path: Path, text: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(text)
    new.chmod(0o644)  # node_exporter is another user
    new.replace(path)
