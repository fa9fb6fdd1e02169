#!/bin/sh
# Builds the image with buildah, as root, without a Docker engine and, where no registry answers, without a registry.
#
#   docker/build.sh            IMAGE (omninode-bridge:latest) from BASE_IMAGE
#
# BASE_IMAGE unset: the default of docker/Dockerfile when it can be pulled, else a plain base that debootstrap makes
# from this machine's own distribution and mirror (a minute, once). Everything is kept in IMAGE_HOME
# (~/.cache/omninode-bridge/image). Ends with the command that hands the image to Docker or podman.
set -eu

cd "$(dirname "$0")/.."
IMAGE=${IMAGE:-omninode-bridge:latest}
IMAGE_HOME=${IMAGE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/omninode-bridge/image}
export IMAGE_HOME

say() { printf 'image: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

need() {
    command -v "$1" >/dev/null || {
        [ "$(id -u)" = 0 ] || die "$1 is missing; install it, or run this as root on Debian or Ubuntu"
        command -v apt-get >/dev/null || die "$1 is missing, and there is no apt-get to install it with"
        say "installing $1"
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$1" >"$IMAGE_HOME/apt.log" 2>&1 ||
            { DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
                DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$1"; } \
                >"$IMAGE_HOME/apt.log" 2>&1 || { tail -5 "$IMAGE_HOME/apt.log" >&2; die "$1 could not be installed"; }
    }
}

buildah_here() {
    buildah --storage-driver vfs --root "$IMAGE_HOME/storage" --runroot "$IMAGE_HOME/run" "$@"
}

# This machine's package sources, one line each; the build and debootstrap use them, the image does not keep them.
package_sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
        "Origin: $1" 2>/dev/null | sort -u
}

# Only the settings that say where packages are; the CA bundle has its own secret.
pip_settings() {
    echo '[global]'
    python3 -m pip config list 2>/dev/null | sed -n \
        -e "s/^[a-z:]*\.\(index-url\|extra-index-url\|find-links\|trusted-host\|proxy\|timeout\)='\(.*\)'$/\1 = \2/p" | sort -u -t' ' -k1,1
}

debootstrap_base() {
    # shellcheck source=/dev/null
    . /etc/os-release
    base=omninode-base:$VERSION_CODENAME
    if buildah_here inspect --type image "$base" >/dev/null 2>&1; then
        echo "$base"
        return
    fi
    need debootstrap
    [ "$(id -u)" = 0 ] || die "debootstrap needs root; or name a base with BASE_IMAGE"
    mirror=$(awk -v suite="$VERSION_CODENAME" '$3 == suite && $4 == "main" { print $2; exit }' "$IMAGE_HOME/secrets/apt")
    [ -n "$mirror" ] || die "no mirror of $VERSION_CODENAME in this machine's package sources; set BASE_IMAGE"
    say "no registry: making a base of $VERSION_CODENAME with debootstrap"
    root=$(mktemp -d "$IMAGE_HOME/base.XXXXXX")
    trap 'rm -rf "$root"' EXIT INT TERM
    debootstrap --variant=minbase "$VERSION_CODENAME" "$root" "$mirror" >"$IMAGE_HOME/debootstrap.log" 2>&1 || {
        tail -5 "$IMAGE_HOME/debootstrap.log" >&2
        die "debootstrap failed; its log is $IMAGE_HOME/debootstrap.log"
    }
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/etc/apt/sources.list "$root"/etc/resolv.conf "$root"/etc/hostname "$root"/var/log/* \
        "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/*
    container=$(buildah_here from scratch)
    buildah_here add -q "$container" "$root" / >/dev/null
    buildah_here config --cmd /bin/sh --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah_here commit -q --rm --format docker "$container" "$base" >/dev/null
    rm -rf "$root"
    trap - EXIT INT TERM
    echo "$base"
}

mkdir -p "$IMAGE_HOME/secrets"
chmod 700 "$IMAGE_HOME"
need buildah
ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[ -s "$ca" ] || ca=/dev/null
pip_settings >"$IMAGE_HOME/secrets/pip"
{ package_sources Debian; package_sources Ubuntu; } >"$IMAGE_HOME/secrets/apt"

if [ -z "${BASE_IMAGE:-}" ]; then
    default=$(sed -n 's/^ARG BASE_IMAGE=//p' docker/Dockerfile)
    if buildah_here pull -q "$default" >/dev/null 2>&1; then
        BASE_IMAGE=$default
    else
        BASE_IMAGE=$(debootstrap_base)
    fi
fi

say "building $IMAGE on $BASE_IMAGE"
started=$(date +%s)
buildah_here bud --isolation chroot --format docker --pull=ifmissing \
    --file docker/Dockerfile --ignorefile docker/Dockerfile.dockerignore \
    --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "VERSION=${VERSION:-dev}" \
    --secret "id=ca,src=$ca" --secret "id=pip,src=$IMAGE_HOME/secrets/pip" --secret "id=apt,src=$IMAGE_HOME/secrets/apt" \
    --tag "$IMAGE" . >"$IMAGE_HOME/build.log" 2>&1 || {
    tail -30 "$IMAGE_HOME/build.log" >&2
    die "the build failed; its log is $IMAGE_HOME/build.log"
}
buildah_here rmi --prune >/dev/null
say "built $IMAGE in $(($(date +%s) - started)) s, $(buildah_here images --format '{{.Size}}' "$IMAGE")"
say "to Docker:  buildah --storage-driver vfs --root $IMAGE_HOME/storage push $IMAGE docker-archive:image.tar:$IMAGE && docker load -i image.tar"
