#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fuzzes each target under AddressSanitizer and UndefinedBehaviorSanitizer (clang).
#
#   tests/fuzz/run.sh [SECONDS]          of computing, on two cores; 0, the default: until ^C
#   tests/fuzz/run.sh add FILE...        recorded datagrams and LACPDUs become seeds
#   tests/fuzz/run.sh minimize           what was found anew joins the corpora, made small
#
# What crashes is written to build/fuzz/; make it a seed once it is understood.
set -eu
cd "$(dirname "$0")/../.."
build=build/fuzz
corpus=tests/fuzz/corpus
targets="decode_link decode_ack events filter lacpdu"

le16() { printf "\\$(printf %o $(($1 % 256)))\\$(printf %o $(($1 / 256 % 256)))"; }

# A datagram, in the form of each target that reads some.
add() {
    for file; do
        name=recorded-$(sha256sum "$file" | cut -c1-12)
        if [ "$(od -An -tx1 -j12 -N3 "$file" | tr -d ' ')" = 880901 ]; then
            cp "$file" "$corpus/lacpdu/$name"
            continue
        fi
        case $(od -An -tu2 -j4 -N2 "$file" | tr -d ' ') in
        2 | 3) cp "$file" "$corpus/decode_ack/$name" ;;
        *)
            cp "$file" "$corpus/decode_link/$name"
            { printf '\37'; cat "$file"; } >"$corpus/filter/$name"
            { le16 "$(wc -c <"$file")"; cat "$file"; } >"$corpus/events/$name"
            ;;
        esac
    done
}

build() {
    if ! command -v "${FUZZ_CC:-clang}" >/dev/null; then
        echo "SKIP: no clang (apt-get install clang libclang-rt-14-dev)"
        exit 77
    fi
    CC=${FUZZ_CC:-clang} cmake -S . -B "$build" -DPFSTATUS_FUZZ=ON >/dev/null
    for target in $targets; do
        cmake --build "$build" -j"$(nproc)" --target "fuzz_$target" >/dev/null
        mkdir -p "$build/corpus/$target"
    done
}

# Of the time of one core, in hundredths: what has most to get wrong gets most. Two lanes, since a
# target keeps a core busy.
left="decode_link:75 filter:15 decode_ack:10"
right="events:80 lacpdu:20"

lane() {
    seconds=$1
    shift
    for share; do
        target=${share%:*}
        each=$((seconds * ${share#*:} / 100))
        "$build/tests/fuzz/fuzz_$target" -max_total_time=$((each > 0 ? each : 1)) \
            -artifact_prefix="$build/" -print_final_stats=1 -close_fd_mask=1 -max_len=65536 \
            -timeout=10 "$build/corpus/$target" "$corpus/$target" \
            >/dev/null 2>"$build/$target.log" || return 1
    done
}

round() {
    # shellcheck disable=SC2086
    lane "$1" $left &
    first=$!
    # shellcheck disable=SC2086
    lane "$1" $right &
    second=$!
    failed=0
    for pid in $first $second; do
        wait "$pid" || { failed=1; echo "a target failed: see $build/*.log and $build/crash-*"; }
    done
    for target in $targets; do
        printf '%-12s %s executions, %s new inputs\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log")" \
            "$(sed -n 's/^stat::new_units_added: *//p' "$build/$target.log")"
    done
    return $failed
}

fuzz() {
    [ "$1" = 0 ] || { round $(($1 / 2)); return; }
    while round 600; do :; done
    return 1
}

minimize() {
    for target in $targets; do
        rm -rf "$build/merged" && mkdir "$build/merged"
        "$build/tests/fuzz/fuzz_$target" -merge=1 -max_len=2048 "$build/merged" "$corpus/$target" \
            "$build/corpus/$target" >/dev/null 2>&1
        cp -n "$build/merged"/* "$corpus/$target/"
    done
}

case ${1:-0} in
add) shift && add "$@" ;;
minimize) build && minimize ;;
[0-9]*) build && fuzz "${1:-0}" ;;
*) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
