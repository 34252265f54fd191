"""One version for Python and for C, wherever the source came from."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

import pfstatus

ROOT = Path(__file__).parents[2]


def git(source: Path, *words: str) -> None:
    who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *who, *words], cwd=source, capture_output=True, check=True)


def commit(source: Path) -> None:
    git(source, "commit", "-q", "--allow-empty", "-m", "A commit")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What decides the version, in a folder outside any repository."""
    source = tmp_path / "source"
    (source / "cmake").mkdir(parents=True)
    for name in ("pyproject.toml", "cmake/version.cmake", ".git_archival.txt", ".gitattributes"):
        shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture
def clone(source: Path) -> Path:
    git(source, "init", "-q")
    git(source, "add", ".")
    commit(source)
    return source


def python_version(source: Path) -> str:
    code = "from scikit_build_core.metadata.setuptools_scm import dynamic_metadata as provide\n"
    code += "print(provide('version'))"
    run = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(
        run, cwd=source, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def c_version(source: Path) -> str:
    script = source.parent / "print.cmake"
    script.write_text(
        f'include("{source}/cmake/version.cmake")\nmessage("${{PFSTATUS_VERSION}}")\n'
    )
    run = [Path(sys.executable).with_name("cmake"), "-P", script]
    return subprocess.run(run, stderr=subprocess.PIPE, text=True, check=True).stderr.strip()


def versions(source: Path) -> tuple[str, str]:
    """Python's without what names the commit, and C's."""
    return python_version(source).partition("+")[0], c_version(source)


def test_tag_is_the_version(clone):
    git(clone, "tag", "v1.2.3")
    assert versions(clone) == ("1.2.3", "1.2.3")


def test_commit_past_a_tag_is_on_the_way_to_the_next_release(clone):
    git(clone, "tag", "v1.2.3")
    commit(clone)
    assert versions(clone) == ("1.2.4.dev1", "1.2.4")


def test_clone_without_tags_has_the_version_to_come(clone):
    python, c = versions(clone)
    assert re.fullmatch(r"0\.1(\.0)?\.dev\d+", python)
    assert c == "0.1.0"


def test_copy_without_git_has_the_version_to_come(source):
    assert versions(source) == ("0.1.0.dev0", "0.1.0")


def test_sdist_keeps_its_version(source):
    (source / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: pfstatus\nVersion: 1.2.3\n")
    assert versions(source) == ("1.2.3", "1.2.3")


def test_archive_of_a_tag_has_its_version(clone, tmp_path):
    git(clone, "tag", "v1.2.3")
    git(clone, "archive", "-o", tmp_path / "archive.tar", "HEAD")
    with tarfile.open(tmp_path / "archive.tar") as archive:
        archive.extractall(tmp_path / "archive", filter="data")
    assert versions(tmp_path / "archive") == ("1.2.3", "1.2.3")


def test_package_tells_its_version():
    assert pfstatus.__version__ == version("pfstatus")
