#!/bin/sh
# Installs Debian packages inside a build step, and leaves nothing else behind.
#
# The optional build secret `apt` is a one-line-format source list of the machine that builds, `ca` its CA bundle.
set -eu

secrets=/run/secrets
set -- "$@" --
[ ! -s "$secrets/apt" ] || set -- "$@" -o "Dir::Etc::sourcelist=$secrets/apt" -o Dir::Etc::sourceparts=-
[ ! -s "$secrets/ca" ] || set -- "$@" -o "Acquire::https::CAInfo=$secrets/ca"

packages=
while [ "$1" != -- ]; do
    packages="$packages $1"
    shift
done
shift

export DEBIAN_FRONTEND=noninteractive
apt-get -qq "$@" update
# A plain base is as old as its release: bring its security fixes along.
apt-get -qq "$@" -y upgrade
# shellcheck disable=SC2086  # package names, one word each
apt-get -qq "$@" -y install --no-install-recommends $packages
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log \
    /usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/*
