#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints which lines of csrc/ the C tests run. Fails below 100%, lines marked
# GCOV_EXCL_LINE (each says why) aside.
#   tests/c/coverage.sh [BUILD]
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build/coverage}
command -v gcov >/dev/null || { echo "SKIP: no gcov"; exit 77; }

cmake -S . -B "$build" -DPFSTATUS_COVERAGE=ON >/dev/null
cmake --build "$build" -j"$(nproc)" >/dev/null
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -R '^c\.' -E 'package|abi|frames|headers|growth|alloc' \
    -j"$(nproc)" --timeout 600 --output-on-failure --no-tests=error >"$build/log" || { cat "$build/log"; exit 1; }

objects=$(dirname "$(find "$build" -path '*pfstatus_objects*' -name 'decode.c.gcda')")
(cd "$objects" && gcov -p ./*.gcda >/dev/null 2>&1)
cat "$objects"/*csrc#*.c.gcov | awk -F: '
    $2 + 0 == 0 { if ($3 == "Source") { sub(/.*\//, "", $4); file = $4 } next }
    { gsub(/ /, "", $1) }
    $1 == "-" { next }
    /GCOV_EXCL_LINE/ { marked[file]++; next }
    { all[file]++; total++ }
    $1 == "#####" || $1 == "=====" { missed++; left[file]++; print file ":" $2 + 0 ": never run: " $3 }
    END {
        for (file in all)
            printf "%-10s %4d lines, %d not run, %d marked\n", file, all[file], left[file], marked[file]
        printf "csrc: %.1f%% of %d lines\n", 100 * (total - missed) / total, total
        exit missed > 0
    }'
