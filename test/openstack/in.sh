#!/bin/bash
# Run a command in the network namespace of the OpenStack that up.sh started:
#   in.sh openstack --os-cloud demo server list
. "$(dirname "$0")/common.sh"
export OS_CLIENT_CONFIG_FILE=${OS_CLIENT_CONFIG_FILE:-$STATE/clouds.yaml}
alive isolation || die "nothing runs in $STATE: start it with up.sh"
exec_isolated "$@"
