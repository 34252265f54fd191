"""What `pip install` makes of the source."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def wheel(source: Path, out: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", out, source],
        env={**os.environ, "LC_ALL": "C", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, unpacked."""
    out = tmp_path_factory.mktemp("sdist")
    code = f"from scikit_build_core.build import build_sdist; print(build_sdist({str(out)!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with tarfile.open(out / ran.stdout.splitlines()[-1]) as archive:
        archive.extractall(out, filter="data")
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git knows what is ours; no repository")
def test_sdist_holds_all_that_git_does(sdist):
    ours = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    here = {name for name in ours.stdout.split("\0") if name and (ROOT / name).exists()}
    missing = {name for name in here if not (sdist / name).exists()}
    assert {name for name in missing if not name.startswith(".ci/")} == set()


def test_sdist_alone_makes_the_wheel(sdist, tmp_path):
    ran = wheel(sdist, tmp_path, GIT_DIR="/nonexistent")
    assert ran.returncode == 0, ran.stdout
    (made,) = tmp_path.glob("*.whl")
    assert made.name.startswith(f"{sdist.name}-cp311-abi3-linux_")
    with zipfile.ZipFile(made) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {"pfstatus/_core.abi3.so", "pfstatus/_core.pyi", "pfstatus/py.typed"} <= names
    assert {name.partition("/")[0] for name in names} == {"pfstatus", "pytest_pfstatus.py"}
    assert {Path(name).suffix for name in names} == {".py", ".pyi", ".so", ".typed"}


def test_without_libnl_pip_ends_with_the_package_to_install(sdist, tmp_path):
    ran = wheel(sdist, tmp_path, PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="")
    assert ran.returncode != 0
    end = "\n".join(ran.stdout.splitlines()[-20:])
    for words in (
        "libnl-3.0 (3.2.29 or newer) was not found",
        "apt-get install libnl-3-dev pkg-config",
        "dnf install libnl3-devel pkgconf-pkg-config",
        "apk add libnl3-dev pkgconf",
    ):
        assert words in end
