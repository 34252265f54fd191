"""examples/relay.py as its users run it, and what it says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

RELAY = Path(__file__).parents[2] / "examples" / "relay.py"
PFSTATUS = (sys.executable, "-m", "pfstatus.cli")
"""The command."""

Line = dict[str, Any]


class RelayProcess:
    """A running relay.

    Args:
        args: its arguments.
        env: set in its environment besides ours.
        prefix: a command to run it by, such as capsh.
        program: another relay: `pfstatus relay` for the agent.
    """

    def __init__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, str(RELAY)),
    ) -> None:
        self.lines: list[Line] = []
        self._news = threading.Condition()
        self._mark = 0
        self.process = subprocess.Popen(
            [*prefix, *program, *args],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._reader.join()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self._news:
                self.lines.append(json.loads(text))
                self._news.notify_all()

    def mark(self) -> None:
        """Lines so far do not count for wait() and said()."""
        with self._news:
            self._mark = len(self.lines)

    def said(self, msg: str, **fields: object) -> list[Line]:
        """Lines since mark() with this message and these fields."""
        return [
            line
            for line in self.lines[self._mark :]
            if line["msg"] == msg and fields.items() <= line.items()
        ]

    def wait(self, msg: str, timeout: float = 15.0, *, count: int = 1, **fields: object) -> Line:
        """Returns the last of `count` such lines, as soon as they are there.

        Raises:
            TimeoutError: they did not come; says what came instead.
        """
        with self._news:
            if not self._news.wait_for(lambda: len(self.said(msg, **fields)) >= count, timeout):
                came = "\n".join(map(json.dumps, self.lines[self._mark :]))
                raise TimeoutError(
                    f"not {count} times {msg!r} {fields} in {timeout} s, but:\n{came}"
                )
            return self.said(msg, **fields)[count - 1]

    def wait_up(self, *interfaces: str, timeout: float = 60.0) -> None:
        """Returns once LACP was said to be up on these."""
        for interface in interfaces:
            self.wait("lacp is up", timeout, interface=interface)

    def terminate(self) -> tuple[int, float]:
        """SIGTERM. Returns the exit status and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10), time.monotonic() - began
