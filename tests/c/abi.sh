#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The ABI against that of the first release, recorded in libpfstatus.abi. What
# breaks a caller fails; what only adds passes. To record a new baseline:
#   tests/c/abi.sh SOURCE BUILD record
set -eu
source=$1 build=$2 baseline=$1/tests/c/libpfstatus.abi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
command -v abidw >/dev/null && command -v abidiff >/dev/null || {
    echo "SKIP: abidiff is not installed (apt-get install abigail-tools)"
    exit 77
}
[ "$(uname -m)" = x86_64 ] || { echo "SKIP: the baseline is x86_64's"; exit 77; }

abidw --no-corpus-path --no-comp-dir-path --no-show-locs --headers-dir "$source/csrc" \
    --drop-private-types --exported-interfaces-only "$build/libpfstatus.so" |
    sed "s|path='$source/|path='|" >"$tmp/now.abi"
if [ "${3:-}" = record ]; then
    cp "$tmp/now.abi" "$baseline"
    exit
fi
rc=0
abidiff --no-show-locs "$baseline" "$tmp/now.abi" || rc=$?
# Bit 3: incompatible; bits 0 and 1: it could not be compared; bit 2: changed, perhaps added.
[ $((rc & 11)) = 0 ] || { echo "not ok - the ABI is broken (abidiff: $rc)"; exit 1; }
echo "ok - the ABI is that of the first release (abidiff: $rc)"
