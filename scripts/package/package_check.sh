#!/usr/bin/env bash
# Tries what `./dev package` made where nothing else is: in a fresh minimal Debian root, without a compiler, first the wheel in a fresh virtual
# environment, then the archive, then the .deb, each by a user without rights. Needs root, and the network for Debian's packages.
# Usage: scripts/package/package_check.sh [ROOT], a folder for the Debian root that is kept; default: a temporary one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=dev
. ./dev
. scripts/package/package.sh

[ "$(id -u)" = 0 ] || die "a Debian root can be made by root only"
install debootstrap
root=$(realpath -m "${1:-$(mktemp -d)}")

cleanup() {
    umount "$root/proc" "$root/dev" 2>/dev/null || true
    [ -n "$keep" ] || rm -rf --one-file-system "$root"  # should /dev still be mounted
}
keep=${1:-}
trap cleanup EXIT

# inside COMMAND…: in the root, with an environment of its own.
inside() {
    env -i HOME=/srv/tester TERM=dumb LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
}

# Debian's mirror is the one that this machine uses.
make_root() {
    local mirror
    mirror=$({ cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
        sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] )?([^ ]*) bookworm .*/\2/p' | sort | sed -n 1p)
    [ -x "$root/bin/bash" ] || debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >build/package_check.log 2>&1 ||
        die "no Debian root could be made (full log: build/package_check.log)"
    chmod 755 "$root"
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    cp /etc/resolv.conf "$root/etc/"
    inside id tester >/dev/null 2>&1 || inside useradd --create-home --home-dir /srv/tester tester
    inside find /srv/tester -mindepth 1 -delete
    mkdir "$root/srv/tester/text"
    cp README.md CONTRIBUTING.md docs/*.md "$root/srv/tester/text"
    cp scripts/package/try_programs.sh "$packages"/dropforge* "$root/srv/tester"
    inside chown -R tester /srv/tester
}

# try NAME BIN: the whole way with the programs there, first on the PATH.
try() {
    printf '\n== %s\n' "$1"
    for tool in cc gcc g++ clang; do
        if inside sh -c "command -v $tool"; then die "there is a compiler in the root"; fi
    done
    inside su tester -c "cd && mkdir '$1' && cd '$1' && PATH=$2:\$PATH sh ../try_programs.sh ../text" 2>&1 || die "$1: the programs failed"
}

make_root
inside apt-get -qq update
inside apt-get -qq install -y --no-install-recommends python3-venv zstd >/dev/null 2>&1 || die "apt-get could not install python3-venv and zstd"
inside su tester -c 'cd && python3 -m venv environment && environment/bin/pip install --quiet --no-index dropforge*.whl' || die "pip refuses the wheel"
try wheel /srv/tester/environment/bin
inside su tester -c 'cd && mkdir archive-files && tar -C archive-files --strip-components=1 -xf dropforge*.tar.zst' || die "tar cannot read the archive"
try archive /srv/tester/archive-files/bin
inside sh -c 'apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends /srv/tester/dropforge*.deb' >/dev/null 2>&1 || die "apt-get refuses the .deb"
try deb /usr/bin
printf '\n'
inside dpkg-query -W -f 'deb: ${Package} ${Version}, depends on ${Depends}, installed ${Installed-Size} kB\n' dropforge
inside apt-get -qq -o Dpkg::Use-Pty=0 remove -y dropforge >/dev/null
left=$(inside find /usr -name '*dropforge*')
[ -z "$left" ] || die "after its removal the .deb left $left"
echo "the wheel, the archive and the .deb run, without a compiler"
