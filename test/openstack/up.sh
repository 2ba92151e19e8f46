#!/bin/bash
# Start a real OpenStack (Zed, as packaged in Debian 12) on one machine: Keystone,
# Glance, Placement, Nova with the fake virt driver (servers have states, nothing
# boots), Neutron with Linux bridges. No systemd, no containers: every service is
# a process on 127.0.0.1 in a network namespace of its own, all state below
# $STATE. Safe to run again: what runs or exists is left alone.
#
#   up.sh                 start; installs the Debian packages that are missing
#   in.sh COMMAND...      run a command where the services can be reached
#   down.sh [--wipe]      stop; --wipe also forgets all state
#
# Needs Debian 12 with apt, root, 3 GB of memory and 2 GB of disk. Settings:
# common.sh. Logs: $STATE/log.
set -euo pipefail
. "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || die "run me as root"
mkdir -p "$RUN" "$LOG"

# --- packages ---------------------------------------------------------------
PACKAGES="mariadb-server-core mariadb-client-core rabbitmq-server memcached curl iproute2 procps
  keystone glance-api placement-api nova-api nova-conductor nova-scheduler
  neutron-api neutron-rpc-server neutron-linuxbridge-agent neutron-l3-agent
  python3-openstackclient"
missing=
for p in $PACKAGES; do
    dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
    say "installing:$missing"
    made_policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then        # keep the packages from starting their services
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        made_policy=1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    # shellcheck disable=SC2086
    apt-get -y -qq --no-install-recommends install $missing > "$STATE/apt.log" 2>&1 ||
        { tail -n 20 "$STATE/apt.log" >&2; die "apt-get failed, see $STATE/apt.log"; }
    [ -z "$made_policy" ] || rm -f /usr/sbin/policy-rc.d
    say "packages installed"
fi
# From here on nothing needs the network.
enter_isolation "$@"

mkdir -p "$ETC" "$VAR" "$VAR"/{glance/images,nova/instances,neutron,rabbit,mysql,lock}
chmod 711 "$STATE" "$VAR"
ulimit -n "$(ulimit -Hn)"

# --- configuration ----------------------------------------------------------
db()   { echo "mysql+pymysql://openstack:$SERVICE_PASSWORD@localhost/$1?unix_socket=$MYSQL_SOCKET&charset=utf8"; }
RABBIT_URL=rabbit://guest:guest@$HOST_IP:$PORT_RABBIT/
# Small pools: there is one worker of everything.
DB_OPTS="max_pool_size = 5
max_overflow = 20
connection_recycle_time = 3600"
# How a service logs in to Keystone ($1 = its user name).
login() { cat <<EOT
auth_type = password
auth_url = $AUTH_URL
username = $1
password = $SERVICE_PASSWORD
project_name = service
user_domain_id = default
project_domain_id = default
region_name = $REGION
EOT
}
# How a service checks the tokens it is given.
authtoken() { cat <<EOT
[keystone_authtoken]
www_authenticate_uri = $AUTH_URL
memcached_servers = $HOST_IP:$PORT_MEMCACHED
service_token_roles_required = true
$(login "$1")
EOT
}

cat > "$ETC/my.cnf" <<EOT
[mariadbd]
datadir = $VAR/mysql
socket = $MYSQL_SOCKET
pid-file = $RUN/mariadbd.own.pid
user = root
skip-networking
skip-name-resolve
max_connections = 400
character-set-server = utf8mb3
collation-server = utf8mb3_general_ci
# Throw-away data: trade durability for speed.
innodb_buffer_pool_size = 128M
innodb_flush_log_at_trx_commit = 0
innodb_doublewrite = 0
innodb_log_file_size = 16M
sync_binlog = 0
performance_schema = off
EOT

cat > "$ETC/rabbitmq.conf" <<EOT
listeners.tcp.1 = $HOST_IP:$PORT_RABBIT
disk_free_limit.absolute = 50MB
log.file.level = warning
EOT
echo '[].' > "$ETC/enabled_plugins"

mkdir -p "$ETC/keystone" "$ETC/placement"
cat > "$ETC/keystone/keystone.conf" <<EOT
[DEFAULT]
max_token_size = 512
[database]
connection = $(db keystone)
$DB_OPTS
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = $HOST_IP:$PORT_MEMCACHED
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = $VAR/keystone/fernet
[credential]
key_repository = $VAR/keystone/credential
EOT

cat > "$ETC/placement/placement.conf" <<EOT
[placement_database]
connection = $(db placement)
$DB_OPTS
[api]
auth_strategy = keystone
$(authtoken placement)
EOT

cat > "$ETC/glance.conf" <<EOT
[DEFAULT]
bind_host = $HOST_IP
bind_port = $PORT_GLANCE
workers = 1
node_staging_uri = file://$VAR/glance/staging
enabled_backends = file:file
[database]
connection = $(db glance)
$DB_OPTS
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $VAR/glance/images
[os_glance_tasks_store]
filesystem_store_datadir = $VAR/glance/tasks
[os_glance_staging_store]
filesystem_store_datadir = $VAR/glance/staging
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
[oslo_concurrency]
lock_path = $VAR/lock
$(authtoken glance)
EOT
mkdir -p "$VAR"/glance/{staging,tasks}

cat > "$ETC/nova.conf" <<EOT
[DEFAULT]
host = $HOST_NAME
my_ip = $HOST_IP
state_path = $VAR/nova
transport_url = $RABBIT_URL
enabled_apis = osapi_compute
osapi_compute_listen = $HOST_IP
osapi_compute_listen_port = $PORT_NOVA
osapi_compute_workers = 1
compute_driver = fake.FakeDriver
# Boot guests straight from copy-on-write overlays of the image as uploaded.
force_raw_images = false
# One small shared box: do not let scheduling fail for want of capacity.
cpu_allocation_ratio = 64
ram_allocation_ratio = 4
disk_allocation_ratio = 100
reserved_host_memory_mb = 0
reserved_host_disk_mb = 0
config_drive_format = iso9660
mkisofs_cmd = genisoimage
# Boot the guests that ran when the node went down.
resume_guests_state_on_host_boot = true
# TCG guests on a busy box may be slow to get their ports wired.
vif_plugging_timeout = 300
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = /etc/nova/api-paste.ini
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 60
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = $HOST_IP:$PORT_MEMCACHED
[glance]
api_servers = http://$HOST_IP:$PORT_GLANCE
[placement]
$(login placement)
[neutron]
$(login neutron)
default_floating_pool = public
[vnc]
enabled = false
[spice]
enabled = false
[oslo_concurrency]
lock_path = $VAR/lock
# Started as root already: no sudo in front of the privilege-separated helpers.
[nova_sys_admin]
helper_command = privsep-helper --config-file $ETC/nova.conf
[vif_plug_linux_bridge_privileged]
helper_command = privsep-helper --config-file $ETC/nova.conf
$(authtoken nova)
EOT

# nova-compute must not know of the databases (it complains if it does).
cat > "$ETC/nova-db.conf" <<EOT
[database]
connection = $(db nova_cell1)
$DB_OPTS
[api_database]
connection = $(db nova_api)
$DB_OPTS
EOT

cat > "$ETC/neutron.conf" <<EOT
[DEFAULT]
host = $HOST_NAME
state_path = $VAR/neutron
bind_host = $HOST_IP
bind_port = $PORT_NEUTRON
transport_url = $RABBIT_URL
api_paste_config = /etc/neutron/api-paste.ini
core_plugin = ml2
service_plugins = router
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
interface_driver = linuxbridge
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
[experimental]
linuxbridge = true
[database]
connection = $(db neutron)
$DB_OPTS
# Agents run as root already: no sudo in front of their helpers.
[agent]
root_helper =
[nova]
$(login nova)
[placement]
$(login placement)
[oslo_concurrency]
lock_path = $VAR/lock
$(authtoken neutron)
EOT
cat > "$ETC/ml2.ini" <<EOT
# Read by neutron-server and by the linuxbridge agent.
# One host only, so tenant networks are "local": a bridge each, no tunnels.
[ml2]
type_drivers = flat,local
tenant_network_types = local
mechanism_drivers = linuxbridge
extension_drivers = port_security
[ml2_type_flat]
flat_networks = public
[securitygroup]
enable_security_group = true
enable_ipset = true
firewall_driver = iptables
[linux_bridge]
bridge_mappings = public:$EXT_BRIDGE
[vxlan]
enable_vxlan = false
EOT
cat > "$ETC/l3.ini" <<EOT
[DEFAULT]
agent_mode = legacy
ha_vrrp_auth_type = PASS
enable_metadata_proxy = false
EOT
# Credentials for the outside.
cat > "$STATE/clouds.yaml" <<EOT
clouds:
  admin:
    auth: {auth_url: "$AUTH_URL", username: admin, password: "$ADMIN_PASSWORD", project_name: admin, user_domain_name: Default, project_domain_name: Default}
    region_name: $REGION
    identity_api_version: 3
  demo:
    auth: {auth_url: "$AUTH_URL", username: demo, password: "$DEMO_PASSWORD", project_name: demo, user_domain_name: Default, project_domain_name: Default}
    region_name: $REGION
    identity_api_version: 3
EOT
# --- MariaDB, RabbitMQ, memcached -------------------------------------------
say "starting MariaDB, RabbitMQ, memcached"
# The migrations are the slowest part of a first start and always end in the same place,
# so a copy of the freshly migrated databases is kept for the next "down.sh --wipe; up.sh".
SNAPSHOT=$CACHE/databases-$( { dpkg-query -W mariadb-server-core keystone glance-api placement-api nova-api neutron-api
    db x; echo "$RABBIT_URL $AUTH_URL $REGION $ADMIN_PASSWORD"; } | sha256sum | cut -c1-16).tar.gz
if [ ! -e "$VAR/db.done" ] && ! alive mariadbd && [ -s "$SNAPSHOT" ]; then
    rm -rf "$VAR/mysql" "$VAR/keystone"
    tar -C "$VAR" -xpzf "$SNAPSHOT"
fi
if [ ! -d "$VAR/mysql/mysql" ]; then
    "${CLEAN_ENV[@]}" mariadb-install-db --defaults-file="$ETC/my.cnf" --skip-test-db \
        --auth-root-authentication-method=normal > "$LOG/mariadb-install.log" 2>&1
fi
start mariadbd  mariadbd --defaults-file="$ETC/my.cnf"
start memcached memcached -u memcache -l "$HOST_IP" -p "$PORT_MEMCACHED" -U 0 -m 64 -c 4096
start epmd      epmd -address "$HOST_IP" -port "$PORT_EPMD"
RABBIT_ENV=(ERL_EPMD_ADDRESS="$HOST_IP" ERL_EPMD_PORT="$PORT_EPMD" HOME="$VAR/rabbit"
    RABBITMQ_NODENAME=openstack@localhost RABBITMQ_DIST_PORT="$PORT_RABBIT_DIST"
    RABBITMQ_MNESIA_BASE="$VAR/rabbit" RABBITMQ_LOG_BASE="$LOG" RABBITMQ_PID_FILE="$RUN/rabbit.own.pid"
    RABBITMQ_CONFIG_FILE="$ETC/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$ETC/enabled_plugins"
    RABBITMQ_CONF_ENV_FILE=/dev/null
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {${HOST_IP//./,}}")
start rabbitmq env "${RABBIT_ENV[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server

sql() { mariadb --no-defaults --socket="$MYSQL_SOCKET" -u root "$@"; }
wait_for 60 mariadbd sql -e 'select 1'

# --- databases --------------------------------------------------------------
NOVA_MANAGE=("${CLEAN_ENV[@]}" nova-manage --config-file "$ETC/nova.conf" --config-file "$ETC/nova-db.conf")
if [ ! -e "$VAR/db.done" ]; then
    say "creating databases and schemas"
    {
        echo "create user if not exists openstack@localhost identified by '$SERVICE_PASSWORD';"
        for d in keystone glance placement nova_api nova_cell0 nova_cell1 neutron; do
            echo "create database if not exists $d; grant all on $d.* to openstack@localhost;"
        done
    } | sql
    KEYSTONE_MANAGE=("${CLEAN_ENV[@]}" keystone-manage --config-file "$ETC/keystone/keystone.conf")
    sync_keystone() {
        mkdir -p "$VAR"/keystone/{fernet,credential}; chmod 700 "$VAR"/keystone/*
        "${KEYSTONE_MANAGE[@]}" fernet_setup --keystone-user root --keystone-group root
        "${KEYSTONE_MANAGE[@]}" credential_setup --keystone-user root --keystone-group root
        "${KEYSTONE_MANAGE[@]}" db_sync
        "${KEYSTONE_MANAGE[@]}" bootstrap --bootstrap-password "$ADMIN_PASSWORD" --bootstrap-region-id "$REGION" \
            --bootstrap-admin-url "$AUTH_URL" --bootstrap-internal-url "$AUTH_URL" --bootstrap-public-url "$AUTH_URL"
    }
    sync_glance() {
        "${CLEAN_ENV[@]}" glance-manage --config-file "$ETC/glance.conf" db_sync
    }
    sync_placement() {
        "${CLEAN_ENV[@]}" placement-manage --config-file "$ETC/placement/placement.conf" db sync
    }
    sync_nova() {
        "${NOVA_MANAGE[@]}" api_db sync
        "${NOVA_MANAGE[@]}" cell_v2 map_cell0 --database_connection "$(db nova_cell0)"
        "${NOVA_MANAGE[@]}" db sync
        "${NOVA_MANAGE[@]}" cell_v2 list_cells | grep -q ' cell1 ' ||
            "${NOVA_MANAGE[@]}" cell_v2 create_cell --name cell1
    }
    sync_neutron() {
        "${CLEAN_ENV[@]}" neutron-db-manage --config-file "$ETC/neutron.conf" --config-file "$ETC/ml2.ini" upgrade heads
    }
    pids=
    for s in neutron nova keystone glance placement; do
        ( set -e; sync_$s ) > "$LOG/sync-$s.log" 2>&1 & pids="$pids $!:$s"
    done
    for p in $pids; do
        wait "${p%%:*}" || { tail -n 20 "$LOG/sync-${p##*:}.log" >&2; die "db sync of ${p##*:} failed"; }
    done
    touch "$VAR/db.done"
    stop mariadbd 30
    mkdir -p "$CACHE"; chmod 700 "$CACHE"
    tar -C "$VAR" -czf "$SNAPSHOT.tmp" mysql keystone db.done && mv "$SNAPSHOT.tmp" "$SNAPSHOT"
    start mariadbd mariadbd --defaults-file="$ETC/my.cnf"
    wait_for 60 mariadbd sql -e 'select 1'
fi

# --- Keystone, and the accounts of everything else ---------------------------
wsgi() { # NAME PORT SCRIPT
    echo uwsgi_python3 --http-socket "$HOST_IP:$2" --wsgi-file "$3" --procname-prefix-spaced "$1" \
        --master --processes 1 --threads 8 --enable-threads --lazy-apps --die-on-term --need-app \
        --buffer-size 65535 --rem-header Content-Length --add-header "Connection:close" --disable-logging
}
say "starting Keystone"
# shellcheck disable=SC2046
start keystone  env OS_KEYSTONE_CONFIG_DIR="$ETC/keystone" $(wsgi keystone "$PORT_KEYSTONE" /usr/bin/keystone-wsgi-public)
wait_for 60 keystone http_ok "$AUTH_URL"
SEED=("${CLEAN_ENV[@]}" OS_CLIENT_CONFIG_FILE="$STATE/clouds.yaml" /usr/bin/python3 "$HERE/seed.py")
if [ ! -e "$VAR/identity.done" ]; then
    say "creating service accounts, endpoints and the demo project"
    "${SEED[@]}" identity "$HOST_IP" "$REGION" "$SERVICE_PASSWORD" "$DEMO_PASSWORD" \
        "image=$PORT_GLANCE" "placement=$PORT_PLACEMENT" "compute=$PORT_NOVA" "network=$PORT_NEUTRON"
    touch "$VAR/identity.done"
fi

# --- the other control-plane services ---------------------------------------
# The bridge that stands for the outside world.
if ! ip link show "$EXT_BRIDGE" >/dev/null 2>&1; then
    ip link add "$EXT_BRIDGE" type bridge
    ip addr add "$EXT_GATEWAY/${EXT_CIDR#*/}" dev "$EXT_BRIDGE"
fi
ip link set "$EXT_BRIDGE" up

rabbit_up() { (exec 3<>"/dev/tcp/$HOST_IP/$PORT_RABBIT"); }
wait_for 90 rabbitmq rabbit_up

say "starting Placement, Glance, Nova, Neutron"
# shellcheck disable=SC2046
start placement env OS_PLACEMENT_CONFIG_DIR="$ETC/placement" $(wsgi placement "$PORT_PLACEMENT" /usr/bin/placement-api)
start neutron-server neutron-server --config-file "$ETC/neutron.conf" --config-file "$ETC/ml2.ini"
start nova-conductor nova-conductor --config-file "$ETC/nova.conf" --config-file "$ETC/nova-db.conf"
start nova-api       nova-api       --config-file "$ETC/nova.conf" --config-file "$ETC/nova-db.conf"
start glance-api     glance-api     --config-file "$ETC/glance.conf"
start nova-scheduler nova-scheduler --config-file "$ETC/nova.conf" --config-file "$ETC/nova-db.conf"
wait_for 120 placement      http_ok "http://$HOST_IP:$PORT_PLACEMENT/"
wait_for 120 neutron-server http_ok "http://$HOST_IP:$PORT_NEUTRON/"

# --- the node: compute and network agents ------------------------------------
say "starting nova-compute (fake) and the Neutron agents"
start neutron-linuxbridge neutron-linuxbridge-agent --config-file "$ETC/neutron.conf" --config-file "$ETC/ml2.ini"
start neutron-l3 neutron-l3-agent --config-file "$ETC/neutron.conf" --config-file "$ETC/l3.ini"
wait_for 120 nova-api http_ok "http://$HOST_IP:$PORT_NOVA/"
start nova-compute /usr/bin/python3 -c 'import sys; from nova.cmd.compute import main; sys.argv[0] = "nova-compute"; main()' \
    --config-file "$ETC/nova.conf"
wait_for 120 glance-api http_ok "http://$HOST_IP:$PORT_GLANCE/"

# --- flavors, images, the external network ------------------------------------
say "waiting for agents; creating flavors, images and the external network"
"${SEED[@]}" wait "$HOST_NAME" 1 2
"${NOVA_MANAGE[@]}" cell_v2 discover_hosts > "$LOG/discover-hosts.log" 2>&1
"${SEED[@]}" resources "$EXT_CIDR" "$EXT_GATEWAY" "$EXT_POOL"
say "ready: in.sh COMMAND... reaches it, with the clouds admin and demo of $STATE/clouds.yaml"
