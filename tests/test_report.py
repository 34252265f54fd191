from __future__ import annotations

import json
import logging
import re

import pytest

from pfstatus import Report, json_lines, to_logging


def test_report_is_one_line_of_json():
    report = Report(
        1_700_000_000_012_345_678, "WARN", "VFs \u00e9", {"interface": "ens5f0", "id": 3}
    )
    assert report.to_json() == (
        '{"time":"2023-11-14T22:13:20.012345678Z","level":"WARN","msg":"VFs \\u00e9",'
        '"interface":"ens5f0","id":3}'
    )


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 4), ("INFO", 3), ("WARN", 2), ("ERROR", 1)])
def test_json_lines_keeps_to_its_level(tmp_path, level, lines):
    reports = [Report(0, word, word, {}) for word in ("DEBUG", "INFO", "WARN", "ERROR")]
    with (tmp_path / "log").open("w+") as stream:
        json_lines(stream, level)(reports)
        stream.seek(0)
        written = [json.loads(line) for line in stream]
    assert len(written) == lines
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z", line["time"]) for line in written)


def test_reports_go_to_the_logger_by_default(caplog):
    caplog.set_level("DEBUG", "pfstatus")
    to_logging([Report(0, "WARN", "pf is using slow lacp rate", {"interface": "ens5f0"})])
    assert caplog.record_tuples == [
        ("pfstatus", logging.WARNING, "pf is using slow lacp rate interface=ens5f0")
    ]
