#!/bin/sh
# Fills /opt/omninode, in two steps of the image's build: `libraries`, then `ours`.
#
# Which libraries is said by pyproject.toml (not its extras), which version by the lock, requirements-dev.txt.
set -eu

[ ! -s /run/secrets/ca ] || export PIP_CERT=/run/secrets/ca

into() {
    /build/bin/pip --python /opt/omninode/bin/python install --only-binary=:all: --no-warn-script-location "$@"
}

case "$1" in
libraries)
    python3 - >/build/runtime.txt <<'PYTHON'
import pathlib, tomllib

print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]["dependencies"], sep="\n")
PYTHON
    into -r /build/runtime.txt -c requirements-dev.txt
    ;;
ours)
    /build/bin/pip wheel --no-deps --wheel-dir /build/wheels .
    into --no-deps /build/wheels/*.whl
    /build/bin/pip --python /opt/omninode/bin/python check
    ;;
*)
    echo "usage: $0 libraries|ours" >&2
    exit 2
    ;;
esac
