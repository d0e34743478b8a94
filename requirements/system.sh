#!/bin/bash
# Installs what this project needs from the distribution, by what it is needed for:
#   venv            a Python environment: all that `make check` needs
#   run             to trace this host
#   elasticsearch   the tests' server
#   test            every test but those with container engines
#   stack           those
#   kernels         tests/kernel on other kernels, emulated
#
# Each line below is one need: the package, and a command that succeeds when the thing is there already, wherever it
# came from. When nothing is missing, which is every time but the first, nothing is fetched or changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-/usr/bin/python3}
missing=()

need() { # PACKAGE COMMAND...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

imports() { # INTERPRETER MODULE...
    local interpreter=$1
    shift
    "$interpreter" -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' "$@"
}

kernel_headers() { # the running kernel's own, or any others: pipeline/sources/ebpf/headers.py looks in the same places
    [ -e "/lib/modules/$(uname -r)/build/include" ] || [ -e /sys/kernel/kheaders.tar.xz ] ||
        compgen -G '/usr/src/linux-headers-*/include/generated/autoconf.h' ||
        compgen -G '/usr/src/kernels/*/include/generated/autoconf.h'
}

compiles_c() { # cc with the C library's and the kernel's user headers
    printf '#include <stdio.h>\n#include <linux/types.h>\n' | cc -E -o /dev/null -
}

a_server_or_maven() { # Elasticsearch for the tests: given by its address, or made of a Maven artifact
    [ -n "${ELASTICSEARCH_URL:-}" ] || command -v mvn
}

linked_statically() { # PROGRAM: it runs where there is no library
    local found
    found=$(command -v "$1") && ! ldd "$found"
}

compose() {
    docker compose version || command -v docker-compose
}

for_venv() {
    need python3-venv imports "$python" ensurepip venv
}

for_run() {
    for_venv
    need python3-bpfcc imports /usr/bin/python3 bcc
    need "linux-headers-$(dpkg --print-architecture 2>/dev/null || uname -m)" kernel_headers
}

for_elasticsearch() {
    for_venv
    need maven command -v mvn
}

for_kernel_tests() { # what tests/kernel starts, on whichever kernel
    for_run
    need gcc command -v cc
    need libc6-dev compiles_c
    need runc command -v runc
}

for_test() {
    for_kernel_tests
    need clang command -v clang
    need procps command -v ps
    need curl command -v curl
    need maven a_server_or_maven
}

for_stack() { # its image of Elasticsearch is made of the Maven artifact, whatever server the other tests were given
    for_run
    need maven command -v mvn
    need docker.io command -v dockerd
    need containerd command -v ctr
    need docker-compose compose
    need debootstrap command -v debootstrap
}

for_kernels() {
    for_kernel_tests
    need qemu-system-x86 command -v qemu-system-x86_64
    need busybox-static linked_statically busybox
    need kmod command -v modprobe
    need iproute2 command -v ip
    need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
}

case ${1:-} in
    venv | run | elasticsearch | test | stack | kernels) "for_$1" ;;
    *)
        echo "usage: $0 venv|run|elasticsearch|test|stack|kernels" >&2
        exit 2
        ;;
esac

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing here, by their names in Debian: ${missing[*]}: install them with this system's package manager" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "missing: ${missing[*]}: run \`sudo apt-get install ${missing[*]}\`, or this command as root" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing from the distribution: ${missing[*]} (seconds for each, minutes for maven and docker.io) ..."
apt-get update -qq || echo "not all package lists could be fetched; trying with those that are there" >&2
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"
