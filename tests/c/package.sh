#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What others get: the library installed into a temporary prefix, found by
# pkg-config alone or by CMake, with the examples compiled against it.
set -eu
source=$1 build=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
claim() { echo "ok - $*"; }
die() { echo "not ok - $*"; exit 1; }

"$CMAKE" --install "$build" --prefix "$tmp/prefix" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$tmp/prefix" -name pfstatus.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$tmp/prefix" -name libpfstatus.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
strict="-Wall -Wextra -Wpedantic -Werror"

for example in status relay; do
    $CC $strict -std=gnu11 "$source/examples/$example.c" -o "$tmp/$example" \
        $(pkg-config --cflags --libs pfstatus)
    $CC $strict -std=gnu11 "$source/examples/$example.c" -o "$tmp/$example-static" \
        $(pkg-config --cflags pfstatus) -Wl,-Bstatic -lpfstatus -Wl,-Bdynamic \
        -L"$LD_LIBRARY_PATH" $(pkg-config --static --libs libnl-3.0) -pthread
done
claim "the examples compile by pkg-config alone, shared and static"

for status in "$tmp/status" "$tmp/status-static"; do
    "$status" lo nobody0 >"$tmp/said"
    grep -q '^lo: no-bond\.' "$tmp/said" && grep -q '^nobody0: absent\.' "$tmp/said" ||
        die "examples/status.c said $(cat "$tmp/said")"
done
claim "examples/status.c tells of a link and of none"

rc=0
timeout 1 "$tmp/relay" lo 2>"$tmp/said" || rc=$?
[ $rc = 124 ] && grep -q 'in no bond' "$tmp/said" || die "examples/relay.c: $rc, $(cat "$tmp/said")"
claim "examples/relay.c runs until it is told to stop"

cat >"$tmp/alone.c" <<'C'
#include <pfstatus.h>
struct pfs_link a_link = PFS_LINK_INIT;
struct pfs_bond a_bond = PFS_BOND_INIT;
struct pfs_options some_options = PFS_OPTIONS_INIT;
C
cp "$tmp/alone.c" "$tmp/alone.cc"
cflags=-I$(dirname "$(find "$tmp/prefix" -name pfstatus.h)")
$CC -std=c11 $strict $cflags -c "$tmp/alone.c" -o "$tmp/alone.o"
if command -v g++ >/dev/null; then
    g++ -std=c++17 $strict $cflags -c "$tmp/alone.cc" -o "$tmp/alone.o"
fi
if command -v clang >/dev/null; then
    clang -std=c11 $strict $cflags -c "$tmp/alone.c" -o "$tmp/alone.o"
    clang++ -std=c++17 $strict $cflags -c "$tmp/alone.cc" -o "$tmp/alone.o"
fi
claim "the header stands alone as C11 and as C++17"

grep -o 'PFS_API[^;]*(' "$source/csrc/pfstatus.h" | grep -o 'pfs_[a-z_]*(' | tr -d '(' | sort >"$tmp/declared"
nm -D --defined-only "$LD_LIBRARY_PATH/libpfstatus.so" | sed -n 's/.* T \(.*\)@@PFSTATUS_0\.1$/\1/p' |
    sort >"$tmp/exported"
diff "$tmp/declared" "$tmp/exported" || die "the map and the header differ"
[ "$(nm -D --defined-only "$LD_LIBRARY_PATH/libpfstatus.so" | grep -vc '@@PFSTATUS_0\.1\| A ')" = 0 ] ||
    die "something else is exported"
claim "the library exports what the header declares and nothing else"
nm -g --defined-only "$LD_LIBRARY_PATH/libpfstatus.a" | sed -n 's/^[0-9a-f]* [^ ]* //p' | sort >"$tmp/archived"
diff "$tmp/declared" "$tmp/archived" || die "the archive shows more or less than the header"
claim "the archive shows what the header declares and nothing else"
readelf -d "$LD_LIBRARY_PATH/libpfstatus.so" | grep -q 'SONAME.*libpfstatus\.so\.0\.1\]' || die "soname"
claim "its soname is libpfstatus.so.0.1: a breaking minor release has another"

cat >"$tmp/version.c" <<'C'
#include <pfstatus.h>
#include <stdio.h>
int main(void) { return printf("%d.%d %s\n", PFS_VERSION_MAJOR, PFS_VERSION_MINOR, pfs_version()) < 0; }
C
$CC $strict "$tmp/version.c" -o "$tmp/version" $(pkg-config --cflags --libs pfstatus)
says=$("$tmp/version")
[ "${says#* }" = "${says% *}" ] || die "library and header differ: $says"
claim "library and header agree on the version"

mkdir "$tmp/consumer"
cat >"$tmp/consumer/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(pfstatus 0.1 REQUIRED)
foreach(kind pfstatus static)
  add_executable(status-\${kind} "$source/examples/status.c")
  target_link_libraries(status-\${kind} PRIVATE pfstatus::\${kind})
endforeach()
CMAKE
"$CMAKE" -S "$tmp/consumer" -B "$tmp/consumer/build" -DCMAKE_PREFIX_PATH="$tmp/prefix" >/dev/null
"$CMAKE" --build "$tmp/consumer/build" >/dev/null
"$tmp/consumer/build/status-static" lo >/dev/null
claim "find_package(pfstatus) finds the shared and the static library"

if PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH='' "$CMAKE" -S "$source" -B "$tmp/no-libnl" >"$tmp/said" 2>&1; then
    die "configured without libnl"
fi
for package in libnl-3-dev libnl3-devel libnl3-dev; do
    grep -q "$package" "$tmp/said" || die "without libnl, $package is not named"
done
claim "without libnl the build names the package to install on three distributions"
