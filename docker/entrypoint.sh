#!/bin/sh
# Becomes the process that the first word names: `omninode-entrypoint ROLE [OPTION…]`; options go to that process.
#
# Each role replaces this shell (exec), so that signals reach the process itself and its exit status is the container's.
set -eu

role=${1:-web}
[ $# -eq 0 ] || shift

# What omninode-healthcheck looks after.
remember() {
    printf '%s\n' "$role" >"${TMPDIR:-/tmp}/omninode-role"
}

case "$role" in
web)
    remember
    exec gunicorn --config /etc/omninode/gunicorn.conf.py --bind "${WEB_BIND:-0.0.0.0:8000}" \
        --worker-tmp-dir /dev/shm "$@" webapp.wsgi:app
    ;;
worker)
    # SIGTERM is to mean Celery's soft shutdown: finish what ends within 8 s, hand back the rest, go. A warm shutdown
    # would wait for a long task until the container is killed, and its message then for the visibility timeout.
    remember
    export REMAP_SIGTERM=SIGQUIT
    exec celery --quiet -A tasks.celery worker --hostname "$role@%h" --queues hooks,workflows,metrics \
        --without-gossip --without-mingle "$@"
    ;;
lab-worker)
    # Waits for models all the time, so its pool is threads. Warm shutdown: its tasks end when it begins, and hand back.
    remember
    exec celery --quiet -A tasks.celery worker --hostname "$role@%h" --queues lab --pool threads --concurrency 16 \
        --without-gossip --without-mingle "$@"
    ;;
bridge-worker)
    # Warm shutdown: bridge tasks end by themselves as soon as it begins, which a soft one would not tell them.
    remember
    exec celery --quiet -A bridges.celery worker --hostname "$role@%h" --queues bridges --concurrency 6 \
        --without-gossip --without-mingle "$@"
    ;;
beat)
    # No pid file: the one of a killed container would keep the next from starting.
    remember
    exec celery --quiet -A tasks.celery beat --pidfile= "$@"
    ;;
flower)
    # Listens on FLOWER_ADDRESS (all) and FLOWER_PORT (5555); FLOWER_BASIC_AUTH=user:password closes it.
    remember
    exec celery -A tasks.celery flower "$@"
    ;;
migrate)
    exec omninode db upgrade "$@"
    ;;
cli)
    exec omninode "$@"
    ;;
*)
    echo "omninode-entrypoint: no role '$role'; one of: web worker lab-worker bridge-worker beat flower migrate cli" >&2
    exit 2
    ;;
esac
