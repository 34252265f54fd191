from __future__ import annotations

import builtins
import json
import logging
import re
import threading

import pytest

from pfstatus import (
    Kind,
    LacpReason,
    Outbox,
    PortState,
    Report,
    VfLinkState,
    json_lines,
    to_logging,
)
from pfstatus.relay.report import deliver


def test_report_is_one_line_of_json():
    fields = {"id": 3, "state": VfLinkState.DISABLE, "interface": "VFs \u00e9"}
    report = Report(1_700_000_000_012_345_678, Kind.VF_SET, fields)
    assert (report.level, report.message) == ("INFO", "vf link state was set")
    assert report.to_json() == (
        '{"time":"2023-11-14T22:13:20.012345678Z","level":"INFO","msg":"vf link state was set",'
        '"id":3,"state":"disable","interface":"VFs \\u00e9"}'
    )


def test_fields_become_words_and_octets_numbers():
    fields = {
        "interface": "ens5f0",
        "reason": LacpReason.EXPIRED,
        "actor": PortState(0x8F),
        "partner": None,
    }
    written = Report(0, Kind.LACP_DOWN, fields).to_dict()
    assert list(written)[3:] == [*Kind.LACP_DOWN.fields]
    assert (written["reason"], written["actor"], written["partner"]) == ("expired", 0x8F, None)
    failed = {"id": 1, "interface": "ens5f0", "error": OSError(5, "Input/output error")}
    assert Report(0, Kind.VF_FAILED, failed).to_dict()["error"] == "[Errno 5] Input/output error"


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 4), ("INFO", 3), ("WARN", 2), ("ERROR", 1)])
def test_json_lines_keeps_to_its_level(tmp_path, level, lines):
    kinds = (Kind.LACP_STILL_DOWN, Kind.STARTED, Kind.EVENTS_LOST, Kind.CANNOT_SET)
    assert [kind.level for kind in kinds] == ["DEBUG", "INFO", "WARN", "ERROR"]
    reports = [Report(0, kind, {}) for kind in kinds]
    with (tmp_path / "log").open("w+") as stream:
        json_lines(stream, level)(reports)
        stream.seek(0)
        written = [json.loads(line) for line in stream]
    assert len(written) == lines
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z", line["time"]) for line in written)


def test_reports_go_to_the_logger_by_default(caplog):
    caplog.set_level("DEBUG", "pfstatus")
    to_logging([Report(0, Kind.SLOW_RATE, {"interface": "ens5f0"})])
    assert caplog.record_tuples == [
        ("pfstatus", logging.WARNING, "pf is using slow lacp rate interface=ens5f0")
    ]


def numbers(count, first=0):
    return [Report(number, Kind.EVENTS_LOST, {}) for number in range(first, first + count)]


def test_outbox_hands_on_in_order_what_it_was_given():
    told = []
    with Outbox(told.extend) as outbox:
        for first in range(0, 100, 10):
            outbox(numbers(10, first))
    assert [report.time_ns for report in told] == [*range(100)]
    assert outbox.dropped == 0


def test_outbox_waits_for_nobody_drops_and_counts():
    go_on, told = threading.Event(), []
    began = threading.Event()

    def slow(reports):
        began.set()
        assert go_on.wait(20)
        told.extend(reports)

    with Outbox(slow, capacity=10) as outbox:
        outbox(numbers(1))
        assert began.wait(20)
        outbox(numbers(8, 1))
        outbox(numbers(8, 9))
        assert outbox.dropped == 6
        go_on.set()
        outbox.close(20)
    assert [report.time_ns for report in told] == [*range(11)]


def test_outbox_tells_how_many_it_dropped_when_there_is_room():
    go_on, told, began = threading.Event(), [], threading.Event()

    def slow(reports):
        told.extend(reports)
        began.set()
        assert go_on.wait(20)

    with Outbox(slow, capacity=1) as outbox:
        outbox(numbers(1))
        assert began.wait(20)
        outbox(numbers(5, 1))
        go_on.set()
        while len(told) < 2:
            threading.Event().wait(0.01)
        outbox(numbers(1, 9))
        outbox.close(20)
    assert [(report.kind, report.fields) for report in told if report.fields] == [
        (Kind.DROPPED, {"count": 4})
    ]


def test_outbox_ends_though_nobody_listens():
    never = threading.Event()
    outbox = Outbox(lambda _reports: never.wait(20) and None)
    outbox(numbers(5))
    outbox.close(0.05)
    never.set()


def test_outbox_survives_a_callback_that_raises(caplog):
    told = []

    def fail_once(reports):
        told.append(reports)
        if len(told) == 1:
            raise OSError(28, "No space left on device")

    with Outbox(fail_once) as outbox:
        outbox(numbers(1))
        while not told:
            threading.Event().wait(0.01)
        outbox(numbers(1))
    assert len(told) == 2
    assert "the report callback failed" in caplog.text


@pytest.mark.parametrize("failure", [OSError(24, "Too many open files"), RuntimeError("no")])
def test_listener_that_fails_stops_nothing_where_logging_cannot_be_loaded_either(
    monkeypatch, failure
):
    load = builtins.__import__

    def no_descriptor(name, *args, **kwargs):
        if name == "logging":
            raise OSError(24, "Too many open files")
        return load(name, *args, **kwargs)

    def report(_reports):
        raise failure

    monkeypatch.setattr(builtins, "__import__", no_descriptor)
    deliver(report, numbers(1))
