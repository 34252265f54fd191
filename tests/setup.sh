#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings a machine to where pfstatus builds and its tests run: system packages, and a virtual
# environment in .venv with pfstatus itself. Says what it does; does nothing twice.
#
#   tests/setup.sh [build] [lab] [dashboard] [switches] [test] [docs] [bench]
#
# The words say what for: each adds packages to the one before.
#
# $PYTHON names the interpreter (python3).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

command -v "$PYTHON" >/dev/null || die "no $PYTHON here: install Python 3.11 or newer"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed (PYTHON=/path/to/it make ...)"

# ---- System packages

packages() {
    echo gcc libc6-dev make pkg-config libnl-3-dev iproute2
    # An interpreter of its own (pyenv, uv) brings venv and headers along.
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    "$PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        echo python3-dev
    for what in "$@"; do
        case $what in
        build | docs | switches) ;;
        lab) echo libjansson-dev; "$PYTHON" tests/lab/vm.py --requirements ;;
        test) echo g++ clang abigail-tools libcap2-bin util-linux tshark openssl prometheus ;;
        dashboard) echo prometheus ;;
        bench) echo libnl-route-3-dev ;;
        *) die "unknown word: $what" ;;
        esac
    done
}

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

sudo=()
as_root() {
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "neither root nor sudo; have somebody run: $*"
        sudo=(sudo)
    fi
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@"
}

update() {
    as_root apt-get -qq update || say "apt-get update failed; trying with what is known"
}

install_packages() {
    local name missing=()
    for name in "$@"; do
        installed "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    update
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
        "${missing[@]}" >/dev/null </dev/null
}

wanted=$(packages "$@")
# shellcheck disable=SC1091
. /etc/os-release 2>/dev/null || ID=unknown
case " $ID ${ID_LIKE:-} " in
*" debian "* | *" ubuntu "*)
    # shellcheck disable=SC2086
    install_packages $wanted
    if [[ " $* " == *" test "* ]]; then
        # The runtime of the fuzzer carries the compiler's version in its name.
        install_packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    fi
    prepare=("$PYTHON" tests/lab/vm.py --prepare)
    [[ " $* " == *" switches "* ]] && prepare+=(--switches)
    if [[ " $* " == *" lab "* ]] && ! "${prepare[@]}"; then
        say "that may be an old list of packages: updating it"
        update
        "${prepare[@]}"
    fi
    ;;
*)
    say "this is not Debian or Ubuntu; what these packages bring must be here already:"
    # shellcheck disable=SC2086
    say $wanted
    ;;
esac

# ---- Virtual environment

version=$("$PYTHON" -c 'import sys; print(sys.version, sys.base_prefix)')
if [ "$(cat .venv/.python 2>/dev/null)" != "$version" ]; then
    say "making the virtual environment .venv"
    "$PYTHON" -m venv --clear .venv
    printf '%s\n' "$version" >.venv/.python
fi

# What the environment was made from: the C core is compiled anew when it changes, and an editable
# install knows its modules by name.
state=$({
    find pfstatus pytest_pfstatus.py -name '*.py' | sort
    cat pyproject.toml CMakeLists.txt cmake/* csrc/*.[ch] pfstatus/*.h "$0"
} | sha256sum)
if [ "$(cat .venv/.state 2>/dev/null)" != "$state" ]; then
    say "building pfstatus into .venv"
    .venv/bin/python -m pip --disable-pip-version-check install -q \
        'scikit-build-core>=1.1' 'setuptools-scm>=8.1' 'cffi>=2.1' 'cmake>=3.26' ninja
    .venv/bin/python -m pip --disable-pip-version-check install -q --no-build-isolation -e '.[test,bench]'
    printf '%s\n' "$state" >.venv/.state
fi

# The documentation's tools are pure Python, and for those alone who build it.
if [[ " $* " == *" docs "* ]] && ! .venv/bin/python -c 'import furo, myst_parser' 2>/dev/null; then
    say "installing the documentation's tools into .venv"
    .venv/bin/python -c 'import tomllib
with open("pyproject.toml", "rb") as project:
    print(*tomllib.load(project)["project"]["optional-dependencies"]["docs"], sep="\n")' |
        .venv/bin/python -m pip --disable-pip-version-check install -q -r /dev/stdin
fi
