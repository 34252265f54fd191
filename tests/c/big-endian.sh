#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests on bytes once more on a big-endian machine: s390x under qemu-user.
# Opt-in. On Debian:
#   dpkg --add-architecture s390x && apt-get update
#   apt-get install gcc-s390x-linux-gnu qemu-user-static libnl-3-dev:s390x
# The message builder writes the byte order of the machine. What was recorded
# on little-endian machines (the fuzz corpora) is given byte-swapped, by
# swap.c, and must decode to the same text.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build/big-endian}
cc=s390x-linux-gnu-gcc
export PKG_CONFIG_LIBDIR=/usr/lib/s390x-linux-gnu/pkgconfig
command -v $cc >/dev/null && command -v qemu-s390x-static >/dev/null &&
    pkg-config --exists libnl-3.0 || {
    echo "SKIP: no compiler, emulator or libnl for s390x (see $0)"
    exit 77
}

cmake -S . -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=s390x \
    -DCMAKE_C_COMPILER=$cc -DCMAKE_CROSSCOMPILING_EMULATOR="$(command -v qemu-s390x-static)" >/dev/null
targets="decode encode ack lacp lacpdu filter query growth"
for test in $targets; do
    cmake --build "$build" -j"$(nproc)" --target "test_$test" >/dev/null
done
cmake --build "$build" --target recorded >/dev/null
for test in $targets; do
    echo "# $test on s390x"
    qemu-s390x-static "$build/tests/c/test_$test" >"$build/log" || { cat "$build/log"; exit 1; }
    tail -1 "$build/log"
done

# The same text on both.
unset PKG_CONFIG_LIBDIR
cmake -S . -B "$build-native" >/dev/null
cmake --build "$build-native" -j"$(nproc)" --target recorded >/dev/null
"$build-native/tests/c/recorded" tests/fuzz/corpus/decode_link >"$build/little.txt"
qemu-s390x-static "$build/tests/c/recorded" tests/fuzz/corpus/decode_link >"$build/big.txt"
diff "$build/little.txt" "$build/big.txt"
echo "ok - $(wc -l <"$build/big.txt") recorded messages decode to the same, byte-swapped, on s390x"
