#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The stack: the largest frames of the core, by -fstack-usage at -O2. None
# depends on input (no alloca, no variable arrays), and none is above the bound.
set -eu
source=$1
bound=1024
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for unit in "$source"/csrc/*.c; do
    ${CC:-cc} -std=gnu11 -O2 -fstack-usage $(pkg-config --cflags libnl-3.0) -c "$unit" \
        -o "$tmp/$(basename "$unit" .c).o" 2>/dev/null || exit 77
done
sed 's/^.*csrc\///' "$tmp"/*.su | sort -t"$(printf '\t')" -k2 -rn >"$tmp/frames"
[ -s "$tmp/frames" ] || { echo "this compiler has no -fstack-usage"; exit 77; }
echo "largest frames of the core, bytes:"
head -3 "$tmp/frames"
if grep -v 'static$' "$tmp/frames"; then
    echo "not ok - these depend on input"
    exit 1
fi
[ "$(head -1 "$tmp/frames" | cut -f2)" -le $bound ]
