#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the container image from dist/ (make wheel) and runs it with just what its pods have.
#
#   IMAGE=localhost/pfstatus:dev   what it is called
#   BASE=docker.io/library/debian:bookworm-slim   what it stands on; "debootstrap" makes one from
#                                  Debian's packages, where no registry of images is reached
#
# As root, with Debian's buildah, podman and runc. What is in it: dist/sbom.cdx.json (CycloneDX).
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
IMAGE=${IMAGE:-localhost/pfstatus:dev}
BASE=${BASE:-docker.io/library/debian:bookworm-slim}
work=build/image
say() { printf 'image: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

for tool in buildah podman runc; do
    command -v $tool >/dev/null || die "no $tool here: apt-get install buildah podman runc"
done
wheel=$(ls dist/*-linux*.whl dist/*manylinux*.whl 2>/dev/null | head -n 1) || true
[ -n "$wheel" ] || die "no wheel in dist/: make wheel"

if [ "$BASE" = debootstrap ]; then
    command -v debootstrap >/dev/null || die "no debootstrap here: apt-get install debootstrap"
    BASE=localhost/debian:bookworm
    if ! buildah inspect --type image $BASE >/dev/null 2>&1; then
        say "making $BASE"
        root=$(mktemp -d)
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
            grep -v security | head -n 1)
        debootstrap --variant=minbase bookworm "$root" "$mirror" >$work.log 2>&1 || die "debootstrap failed: $work.log"
        tar -C "$root" -c --exclude=./var/cache/apt --exclude=./proc --exclude=./sys . |
            podman import -q - $BASE >/dev/null
        rm -rf "$root"
    fi
fi

rm -rf $work
mkdir -p $work/wheels
say "collecting $wheel and what it needs"
"$PYTHON" -m pip --disable-pip-version-check -q wheel -w $work/wheels "${wheel}[agent,operator]"
examples/cni/build-static
cp "build/cni/pfstatus-cni-$(dpkg --print-architecture)" $work/pfstatus-cni

buildah bud -q --isolation chroot --build-arg BASE="$BASE" -t "$IMAGE" -f Containerfile . >$work/id
say "$IMAGE: $(podman image inspect --format '{{.Size}}' "$IMAGE" | awk '{printf "%.0f MB", $1 / 1e6}')"

# As a pod has it: nothing but NET_ADMIN for the agent, nothing at all for the operator.
run() {
    timeout -k 5 120 podman --runtime runc run --rm --network=host --read-only \
        --ulimit nofile=1024:20000 --ulimit nproc=4096:4096 \
        --security-opt=no-new-privileges --cap-drop=all "$@"
}
run "$IMAGE" dpkg-query -W -f '${source:Package} ${Package} ${Version} ${Architecture}\n' |
    "$PYTHON" tests/package/sbom.py $work/wheels >dist/sbom.cdx.json

# The agent, as its pod has it. Its PF is none, which it waits for; it is ready once it has looked.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/run" "$folder/cni"
said=$(run --user 0 --cap-add=NET_ADMIN -v "$folder/run:/run/pfstatus" \
    -e PF_STATUS_RELAY_INTERFACES=pfstatus-none "$IMAGE" sh -c '
        pfstatus relay --metrics=127.0.0.1:19143 & agent=$!
        python3 -c "
import time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen(\"http://127.0.0.1:19143/readyz\").status)
        break
    except OSError:
        time.sleep(0.2)
"
        grep -h -e ^CapEff -e ^VmHWM "/proc/$agent/status"
        kill "$agent"; wait "$agent"; echo "exit $?"')
for word in '"msg":"Starting application"' '^200$' '^CapEff:.0000000000001000$' '^exit 0$'; do
    grep -q -e "$word" <<<"$said" || die "the agent does not say $word: $said"
done
say "the agent is ready with NET_ADMIN alone; $(grep VmHWM <<<"$said" | tr -s '\t ' ' ')"

said=$(run --user 0 -v "$folder/run:/run/pfstatus" -v "$folder/cni:/host/cni" "$IMAGE" sh -c '
    keep-installed /host/cni /run/pfstatus/cni.lock & keeper=$!
    while ! [ -x /host/cni/pfstatus-cni ]; do sleep 0.1; done
    echo "{\"cniVersion\":\"1.0.0\"}" | CNI_COMMAND=VERSION /host/cni/pfstatus-cni
    kill "$keeper"; wait "$keeper"')
grep -q '"1.1.0"' <<<"$said" || die "the CNI plugin does not work: $said"
[ -z "$(ls -A "$folder/cni")" ] || die "the CNI plugin was left behind"

# The operator, as an ordinary user without any.
said=$(run "$IMAGE" python3 -m pfstatus.operator 2>&1 || true)
grep -q 'PF_STATUS_RELAY_IMAGE is not set' <<<"$said" || die "the operator did not start: $said"
run "$IMAGE" sh -c 'test "$(id -u)" = 65532 && ! touch /x 2>/dev/null'
say "the CNI plugin comes and goes, the operator starts as an ordinary user"
say "what is in it: dist/sbom.cdx.json, $(grep -c '"purl"' dist/sbom.cdx.json) components"
