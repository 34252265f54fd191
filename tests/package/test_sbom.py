"""What `make image` says of what is in the image."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("sbom", Path(__file__).with_name("sbom.py"))
sbom = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sbom)

METADATA = (
    "Metadata-Version: 2.4\nName: Some_Thing\nVersion: 1.2\nLicense-Expression: MIT\n\nText\n"
)


def test_wheels_and_packages_are_listed(tmp_path, monkeypatch, capsys):
    wheel = tmp_path / "some_thing-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some_thing-1.2.dist-info/METADATA", METADATA)
    monkeypatch.setattr("sys.stdin", io.StringIO("openssl libssl3 3.0.1-2 amd64\n"))
    sbom.main(str(tmp_path))
    found = json.loads(capsys.readouterr().out)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    thing, package = found["components"]
    assert thing["purl"] == "pkg:pypi/some-thing@1.2"
    assert thing["licenses"] == [{"license": {"name": "MIT"}}]
    assert thing["hashes"][0]["content"] == sha256(wheel.read_bytes()).hexdigest()
    assert package["purl"] == "pkg:deb/debian/libssl3@3.0.1-2?arch=amd64&upstream=openssl"


def test_line_that_is_no_package_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("nonsense\n"))
    with pytest.raises(ValueError, match="not enough values"):
        sbom.main(str(tmp_path))
