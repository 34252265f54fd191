"""Where an agent tells how it does: what the kernel counts, warnings, TLS, a file, lines."""

from __future__ import annotations

import errno
import http.client
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from pfstatus import BondMode, Kind, LacpRate, PortState, Report, VfLinkState, text_lines
from pfstatus.agent import lacpdus, textfile
from pfstatus.agent.config import Outlets
from pfstatus.agent.forewarn import Warnings
from pfstatus.agent.http import serve_http
from pfstatus.agent.lacpdus import Lacpdus, Reader
from pfstatus.agent.metrics import Metrics
from pfstatus.agent.textfile import keep_textfile
from pfstatus.recording.netlink import NLMSG_ERROR, nla, nlmsg

LIMIT = 20.0
_, ENABLE, DISABLE = VfLinkState


def told(text):
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.decode().splitlines()
        if not line.startswith("#")
    }


# LACPDUs


def answer(*counts, seq=1, kind=92):
    stats = b"".join(nla(number, struct.pack("=Q", count)) for number, count in enumerate(counts))
    nest = nla(3, nla(2, nla(1, stats)))
    return nlmsg(kind, struct.pack("=BxHII", 0, 0, 7, 4) + nest, seq=seq)


def test_lacpdus_are_those_of_the_bonds_statistics():
    assert lacpdus.parse(answer(12, 34, 5, 6), 1) == Lacpdus(received=12, sent=34)


@pytest.mark.parametrize(
    "datagram",
    [
        answer(12),
        answer(),
        nlmsg(92, struct.pack("=BxHII", 0, 0, 7, 4), seq=1),
        nlmsg(NLMSG_ERROR, struct.pack("=i", -errno.ENODEV), seq=1),
    ],
    ids=["too-few", "none", "no-port", "error"],
)
def test_lacpdus_of_what_is_no_port_are_none(datagram):
    assert lacpdus.parse(datagram, 1) is None


@pytest.mark.parametrize(
    "datagram",
    [b"", answer(1, 2, seq=2), answer(1, 2, kind=93), answer(1, 2)[:-4], answer(1, 2)[:30]],
    ids=["empty", "another-question", "another-kind", "cut", "cut-in-the-header"],
)
def test_what_is_no_answer_is_refused(datagram):
    with pytest.raises(ValueError, match="no a"):
        lacpdus.parse(datagram, 1)


def test_kernel_that_runs_here_answers_of_loopback_that_it_is_no_port():
    assert lacpdus.read(socket.if_nametoindex("lo")) is None


def test_metrics_have_lacpdus_where_they_can_be_had(rig):
    rig.pf("ens5f0")
    port = rig.pf("ens5f1")
    relay = rig.relay("ens5f0", "ens5f1")
    reader = Reader({port.ifindex: Lacpdus(received=12, sent=34)}.get, LIMIT)
    said = told(Metrics(relay, lacpdus=reader).text())
    assert said['pfstatus_lacpdus_received_total{pf="ens5f1"}'] == 12
    assert said['pfstatus_lacpdus_sent_total{pf="ens5f1"}'] == 34
    assert 'pfstatus_lacpdus_sent_total{pf="ens5f0"}' not in said


def test_lacpdus_of_before_are_given_while_something_holds_the_lock():
    counts = iter(range(10))
    held = threading.Event()
    held.set()
    asked = []

    def ask(ifindex):
        asked.append(ifindex)
        assert held.wait(LIMIT)
        return Lacpdus(next(counts), 0)

    assert Reader(ask, LIMIT)([7]) == {7: Lacpdus(0, 0)}
    reader = Reader(ask, patience=0.05)
    held.clear()
    assert reader([7]) == {}
    began = time.monotonic()
    assert [reader([7]) for _ in range(3)] == [{}] * 3
    assert time.monotonic() - began < LIMIT / 2
    assert len(asked) == 2, "one thread waits, however many ask"
    held.set()
    wait_for(lambda: reader([7]))
    held.clear()
    assert reader([7, 8]) == {7: Lacpdus(*reader([7])[7])}
    held.set()


# Counters


def test_counters_begin_at_0_since_prometheus_sees_no_growth_in_what_first_appears_at_1(rig):
    pf = rig.pf("ens5f0", vfs=2)
    relay = rig.relay("ens5f0")
    metrics = Metrics(relay)
    metrics(rig.reports)
    before = told(metrics.text())
    rig.reports.clear()
    pf.vf_errors[1] = (errno.EIO, 3)
    pf.lacp_expire()
    rig.pass_time(relay, 2)
    metrics(rig.reports)
    after = told(metrics.text())
    lost = 'pfstatus_lacp_transitions_total{pf="ens5f0",to="down"}'
    failed = 'pfstatus_vf_sets_total{pf="ens5f0",result="error",state="disable"}'
    assert (before[lost], after[lost]) == (0, 1)
    assert before[failed] == 0
    assert after[failed] >= 1


# The lock


def test_time_that_reading_and_setting_took_is_counted(rig):
    pf = rig.pf(vfs=4)
    relay = rig.relay()
    before = told(Metrics(relay).text())["pfstatus_rtnl_seconds_total"]
    pf.delay, pf.read_delay = 0.1, 0.01
    pf.lacp_expire()
    rig.pass_time(relay, 0.9)
    took = told(Metrics(relay).text())["pfstatus_rtnl_seconds_total"] - before
    assert took == pytest.approx(0.1 * 4 + 0.01 * 4 * 2, abs=0.001)


# Reactions


def reactions(rig, relay):
    metrics = Metrics(relay)
    metrics(rig.reports)
    said = told(metrics.text())
    return said["pfstatus_reaction_seconds_count"], said["pfstatus_reaction_seconds_sum"]


def test_reaction_lasts_until_all_vfs_were_read_back_and_is_one_whatever_their_number(rig):
    pf = rig.pf(vfs=8)
    relay = rig.relay()
    pf.delay, pf.read_delay = 0.1, 0.01
    pf.lacp_expire()
    rig.pass_time(relay, 2)
    assert set(pf.vfs.values()) == {DISABLE}
    count, seconds = reactions(rig, relay)
    assert count == 1
    read_and_set = 2 * 8 * 0.01 + 8 * 0.1
    assert read_and_set <= seconds < read_and_set + 0.2


def test_vf_that_somebody_sets_in_an_outage_is_no_reaction_to_lacp(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    pf.vfs[1] = VfLinkState.AUTO
    rig.pass_time(relay, 5)
    assert pf.vfs[1] is DISABLE
    assert reactions(rig, relay)[0] == 1


def test_reaction_is_not_over_while_a_vf_fails(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay()
    pf.vf_errors[1] = (errno.EBUSY, 3)
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    count, seconds = reactions(rig, relay)
    assert count == 1
    assert 0.1 + 0.2 <= seconds < 2


def test_reaction_to_lacp_that_is_back_begins_after_the_up_delay(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(up_delay=3.0)
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    pf.lacp_up()
    rig.pass_time(relay, 5)
    assert set(pf.vfs.values()) == {VfLinkState.AUTO}
    count, seconds = reactions(rig, relay)
    assert count == 1
    assert seconds < 0.5


def test_outage_in_which_nothing_is_to_be_set_is_no_reaction(rig):
    pf = rig.pf(vfs=1)
    pf.vfs[0] = ENABLE
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    assert reactions(rig, relay)[0] == 0


# Warnings


@pytest.fixture
def warnings(rig, clock, monkeypatch):
    monkeypatch.setattr("pfstatus.agent.forewarn.time", clock)
    return Warnings(rig.reports.extend, may_set_vfs=True)


def warned(rig):
    return [
        (report.fields["interface"], report.fields["topic"])
        for report in rig.reports
        if report.kind is Kind.WARNED
    ]


def test_what_will_hurt_is_said_once_with_its_remedy_and_metered_as_long_as_it_holds(rig, warnings):
    pf = rig.pf(lacp_rate=LacpRate.SLOW)
    pf.vfs[1] = ENABLE
    relay = rig.relay("ens5f0", "ens5f9")
    for _ in range(3):
        rig.pass_time(relay, 70)
        warnings.update(relay.snapshot())
    topics = {topic for name, topic in warned(rig) if name == "ens5f0"}
    assert topics >= {"slow-rate", "enable-vf"}
    assert len(warned(rig)) == len(set(warned(rig)))
    (slow,) = [r for r in rig.reports if r.fields.get("topic") == "slow-rate"]
    assert "after 90 s" in slow.fields["problem"]
    assert "lacp_rate fast" in slow.fields["remedy"]
    assert warnings.topics["ens5f9"] == {"absent": True}
    metrics = Metrics(relay, warnings=lambda: warnings.topics)
    assert told(metrics.text())['pfstatus_warning{pf="ens5f9",topic="absent"}'] == 1

    pf.master.lacp_rate = LacpRate.FAST
    rig.pass_time(relay, 2)
    warnings.update(relay.snapshot())
    assert warnings.topics["ens5f0"]["slow-rate"] is False
    pf.master.lacp_rate = LacpRate.SLOW
    rig.forget()
    rig.pass_time(relay, 2)
    warnings.update(relay.snapshot())
    assert warned(rig) == [("ens5f0", "slow-rate")]


def in_no_bond(_kernel, pf):
    pf.master = None


def in_another_mode(_kernel, pf):
    pf.master.mode = BondMode.ACTIVE_BACKUP


def not_alone(kernel, pf):
    kernel.add_pf("other").master = pf.master


@pytest.mark.parametrize(
    ("wrong", "topic", "said"),
    [
        (in_no_bond, "bond", False),
        (in_another_mode, "bond-mode", False),
        (not_alone, "ports", True),
    ],
)
def test_pf_that_is_not_set_up_for_it_is_metered(rig, warnings, wrong, topic, said):
    """Where the relay calls a PF not ready, it says why and what to do: once is enough."""
    wrong(rig.kernel, rig.pf())
    relay = rig.relay()
    warnings.update(relay.snapshot())
    assert warnings.topics["ens5f0"][topic]
    assert (("ens5f0", topic) in warned(rig)) == said


def test_outage_is_no_warning(rig, warnings):
    pf = rig.pf()
    relay = rig.relay()
    warnings.update(relay.snapshot())
    before = warnings.topics
    rig.forget()
    pf.lacp_expire()
    for _ in range(3):
        rig.pass_time(relay, 70)
        warnings.update(relay.snapshot())
    assert warnings.topics == before
    assert not warned(rig)


def test_pf_that_is_watched_no_more_is_warned_of_no_more(rig, warnings):
    rig.pf()
    relay = rig.relay("ens5f0", "ens5f9")
    warnings.update(relay.snapshot())
    assert set(warnings.topics) == {"ens5f0", "ens5f9"}
    warnings.update({"ens5f0": relay.snapshot()["ens5f0"]})
    assert set(warnings.topics) == {"ens5f0"}


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, a certificate of it for 127.0.0.1, and one of another CA: name.pem and name.key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "other-ca"):
        openssl(
            "req", "-x509", *key, "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem"
        )
    for name, ca in (("good", "ca"), ("bad", "other-ca")):
        openssl(
            "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
        signed = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", "san")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


def get(port, path, ca, shown=None):
    context = ssl.create_default_context(cafile=ca)
    if shown:
        context.load_cert_chain(shown.with_suffix(".pem"), shown.with_suffix(".key"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=LIMIT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_metrics_by_tls_are_for_those_who_show_a_certificate(certificates):
    tls = tuple(certificates / name for name in ("good.pem", "good.key", "ca.pem"))
    ca = certificates / "ca.pem"
    with serve_http("127.0.0.1:0", lambda: b"x\n", lambda: True, lambda: True, tls=tls) as port:
        with socket.create_connection(("127.0.0.1", port)):  # who says nothing holds up nobody
            assert get(port, "/metrics", ca, certificates / "good") == 200
        assert get(port, "/metrics", ca) == 403
        assert get(port, "/readyz", ca) == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            get(port, "/metrics", ca, certificates / "bad")
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        plain.request("GET", "/metrics")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()
        plain.close()


def test_certificate_that_cannot_be_read_is_an_error(certificates):
    tls = tuple(certificates / name for name in ("none.pem", "good.key", "ca.pem"))
    serving = serve_http("127.0.0.1:0", bytes, bool, bool, tls=tls)
    with pytest.raises(OSError, match="No such file"):
        serving.__enter__()


def test_certificates_that_are_renewed_are_read_again(certificates, tmp_path):
    tls = tuple(tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt"))

    def put(name, ca):
        for file, source in zip(tls, (f"{name}.pem", f"{name}.key", f"{ca}.pem"), strict=True):
            new = tmp_path / "new"
            shutil.copy(certificates / source, new)
            new.replace(file)

    put("good", "ca")
    with serve_http("127.0.0.1:0", lambda: b"x\n", lambda: True, lambda: True, tls=tls) as port:
        assert get(port, "/metrics", certificates / "ca.pem", certificates / "good") == 200
        tls[1].unlink()  # half of a renewal
        assert get(port, "/metrics", certificates / "ca.pem", certificates / "good") == 200
        put("bad", "other-ca")
        other = certificates / "other-ca.pem"
        assert get(port, "/metrics", other, certificates / "bad") == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            get(port, "/metrics", other, certificates / "good")


def test_tls_is_whole_or_not_at_all(tmp_path):
    cert = tmp_path / "cert"
    with pytest.raises(ValueError, match="go together"):
        Outlets(metrics=":1", metrics_cert=cert)
    with pytest.raises(ValueError, match="go together"):
        Outlets(metrics_cert=cert, metrics_key=cert, metrics_ca=cert)
    assert Outlets(metrics=":1").tls() is None
    assert Outlets(":1", cert, cert, cert).tls() == (cert, cert, cert)


@pytest.mark.parametrize("address", ["0.0.0.0:9143", "[::]:9143", "192.0.2.7:1", "node.example:1"])
def test_metrics_for_others_want_certificates_or_a_word(tmp_path, address):
    cert = tmp_path / "cert"
    with pytest.raises(ValueError, match=r"whoever reaches this node.*metrics_open"):
        Outlets(metrics=address)
    assert Outlets(address, cert, cert, cert).tls()
    assert Outlets(address, metrics_open=True).tls() is None
    with pytest.raises(ValueError, match="without TLS"):
        Outlets(address, cert, cert, cert, metrics_open=True)


@pytest.mark.parametrize("address", [":1", "127.0.0.9:1", "[::1]:1", "localhost:1", None])
def test_metrics_at_the_loopback_want_neither(address):
    assert Outlets(metrics=address).metrics == address
    with pytest.raises(ValueError, match="not the loopback"):
        Outlets(metrics=address, metrics_open=True)


# A file for node_exporter


def wait_for(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_textfile_is_written_again_and_again_and_goes_with_us(tmp_path, monkeypatch):
    monkeypatch.setattr(textfile, "EVERY", 0.01)
    path = tmp_path / "pfstatus.prom"
    texts = iter(f"metric {n}\n".encode() for n in range(10**9))
    with keep_textfile(path, lambda: next(texts), pytest.fail):
        wait_for(path.exists)
        first = path.read_text()
        wait_for(lambda: path.read_text() not in ("", first))
        assert path.stat().st_mode & 0o777 == 0o644
    assert not list(tmp_path.iterdir())


def test_textfile_that_cannot_be_written_is_said_once_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(textfile, "EVERY", 0.01)
    path = tmp_path / "folder" / "pfstatus.prom"
    said, tried = [], []
    with keep_textfile(path, lambda: tried.append(1) or b"metric 1\n", said.append):
        wait_for(lambda: len(tried) > 3)
        assert [exc.errno for exc in said] == [errno.ENOENT]
        path.parent.mkdir()
        wait_for(path.exists)


def test_textfile_that_node_exporter_would_not_read_is_refused(tmp_path):
    assert Outlets(textfile=tmp_path / "pfstatus.prom")
    with pytest.raises(ValueError, match=r"ends with \.prom"):
        Outlets(textfile=tmp_path / "pfstatus.txt")


# Lines for people


def test_lines_for_people_have_time_level_pf_and_what(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    fields = {
        "interface": "ens5f0",
        "reason": "expired",
        "actor": PortState(0x8F),
        "partner": None,
    }
    warning = {"interface": "ens5f0", "topic": "ports", "problem": "It has 2.", "remedy": None}
    reports = [
        Report(1_700_000_000_012_345_678, Kind.STARTED, {}),
        Report(1_700_000_000_112_345_678, Kind.LACP_DOWN, fields),
        Report(1_700_000_000_112_345_678, Kind.LACP_STILL_DOWN, fields),
        Report(1_700_000_001_000_000_000, Kind.WARNED, warning),
    ]
    with (tmp_path / "log").open("w+") as stream:
        text_lines(stream)(reports)
        stream.seek(0)
        assert stream.read() == (
            "22:13:20.012 INFO  -: Starting application\n"
            "22:13:20.112 INFO  ens5f0: lacp is down reason=expired actor=0x8f\n"
            "22:13:21.000 WARN  ens5f0: pf wants mending before an outage topic=ports "
            'problem="It has 2."\n'
        )
    assert json.loads(reports[3].to_json())["remedy"] is None
