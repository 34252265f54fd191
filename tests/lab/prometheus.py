"""A Prometheus of our own on the loopback: the real program, Debian's `prometheus`."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

_START_SECONDS = 120.0
"""In an emulated machine, which reads its 50 MB first."""
_STOP_SECONDS = 60.0


class Series(NamedTuple):
    """One series of an answer."""

    labels: dict[str, str]
    points: list[tuple[float, float]]
    """Unix time and value; NaN where there is none."""


class Prometheus:
    """A running server; a context manager.

    Args:
        data: folder of its database, made or gone on with.
        config: its configuration, as YAML has it. JSON is YAML.

    Raises:
        FileNotFoundError: it is not installed.
    """

    def __init__(self, data: Path, config: Mapping[str, Any]) -> None:
        program = shutil.which("prometheus")
        if not program:
            raise FileNotFoundError("no prometheus here: apt-get install prometheus")
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        data.mkdir(parents=True, exist_ok=True)
        file = data / "prometheus.yml"
        file.write_text(json.dumps(config))
        self._api = f"http://{address}"
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={data}",
                "--storage.tsdb.retention.time=100y",  # a story stays what it was
                f"--web.listen-address={address}",
                "--log.level=warn",
            ]
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise TimeoutError("prometheus did not start")
            time.sleep(0.2)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.terminate()
        self._process.wait(_STOP_SECONDS)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._api}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str, **query: object) -> Any:
        """The `data` of what its HTTP API answers.

        Raises:
            ValueError: it says what is wrong with the question.
        """
        url = f"{self._api}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise ValueError(f"{query}: {json.load(exc)['error']}") from None

    def at(self, expr: str, when: float) -> list[Series]:
        """An expression at an instant."""
        found = self.get("query", query=expr, time=when)["result"]
        return [Series(one["metric"], _points([one["value"]])) for one in found]

    def over(self, expr: str, begin: float, end: float, step: float) -> list[Series]:
        """An expression over a time, each `step` seconds."""
        found = self.get("query_range", query=expr, start=begin, end=end, step=step)["result"]
        return [Series(one["metric"], _points(one["values"])) for one in found]


def _points(values: list[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(when, float(value)) for when, value in values]
