#!/bin/bash
# Stop what up.sh started. The state stays, so that up.sh can go on from there.
#   --wipe   also remove all state (databases, images, logs). Packages and $CACHE
#            stay.
set -uo pipefail
. "$(dirname "$0")/common.sh"
wipe=; [ "${1-}" != --wipe ] || wipe=1
[ -d "$RUN" ] || { say "nothing to stop"; exit 0; }

grace=15; [ -z "$wipe" ] || grace=2            # nothing worth a tidy exit when wiping
for s in nova-compute nova-api nova-scheduler nova-conductor glance-api placement \
    neutron-l3 neutron-linuxbridge neutron-server keystone; do stop $s $grace & done; wait
for s in rabbitmq memcached epmd; do stop $s $grace & done; wait
stop mariadbd 30
# Routers, bridges and firewall rules go with the network namespace.
stop isolation
say "stopped"
[ -z "$wipe" ] || { rm -rf --one-file-system "$STATE"; say "wiped"; }
