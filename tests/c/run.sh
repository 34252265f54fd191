#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All tests of the C core: plain, under AddressSanitizer and
# UndefinedBehaviorSanitizer, under ThreadSanitizer, with coverage, fuzzed.
#
#   tests/c/run.sh [SECONDS]     SECONDS of fuzzing in all (30); 0: none
#
# Needs cmake, gcc, libnl-3-dev, pkg-config, iproute2; skips, and says so, what
# clang, libclang-rt-14-dev, g++, abigail-tools are missing for. Network
# namespaces are used where they are allowed. Builds in build/.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-30}
jobs=-j$(nproc)
say() { printf '== %s\n' "$*"; }

# build NAME OPTION... and run what matches $only.
only=.
suite() {
    name=$1
    shift
    say "$name"
    cmake -S . -B "build/$name" -DPFSTATUS_WERROR=ON "$@" >/dev/null
    cmake --build "build/$name" "$jobs" >/dev/null
    (cd "build/$name" && ctest "$jobs" -R "$only" --timeout 600 --output-on-failure --no-tests=error) \
        >"build/$name/log" || { cat "build/$name/log"; exit 1; }
    grep -E 'Skipped|tests passed|Total' "build/$name/log"
}

suite plain
# Figures worth a look.
for figure in "test_alloc allocates" "test_kernel 10000" "test_filter never_drops"; do
    build/plain/tests/c/${figure} | grep '^#' || true
done
tests/c/frames.sh . build/plain
suite address -DPFSTATUS_SANITIZE=address
only='threads|query|kernel'
suite thread -DPFSTATUS_SANITIZE=thread
say coverage
tests/c/coverage.sh
[ "$seconds" = 0 ] || {
    say "fuzz"
    rc=0
    tests/fuzz/run.sh "$seconds" || rc=$?
    [ $rc = 0 ] || [ $rc = 77 ]
}
