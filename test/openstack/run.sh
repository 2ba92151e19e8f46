#!/bin/bash
# Run the driver's tests against the OpenStack that up.sh started, as its user
# "demo", who has Nova's default quotas:
#   run.sh TEST_BINARY [FLAGS...]      go test -c -o TEST_BINARY ./cloud/openstack
set -euo pipefail
. "$(dirname "$0")/common.sh"
binary=$(realpath "$1"); shift
read -r conductor _ < "$RUN/nova-conductor.pid"   # leads its process group: see start in common.sh
exec "$HERE/in.sh" env CI=1 CBNET_OPENSTACK_CLOUDS="$STATE/clouds.yaml" CBNET_OPENSTACK_CLOUD=demo CBNET_OPENSTACK_CONDUCTOR="$conductor" \
    "$binary" -test.v -test.timeout 60m -test.run '^TestReal' "$@"
