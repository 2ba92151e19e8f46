# shellcheck shell=bash
# Settings and helpers shared by up.sh, down.sh and in.sh. Every setting may be
# overridden from the environment.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# --- settings ---------------------------------------------------------------
STATE=${STATE:-/var/lib/cbnet-openstack}    # configs, logs, databases, instances (wiped by down.sh --wipe)
CACHE=${CACHE:-/var/cache/cbnet-openstack}  # survives --wipe: dumps of freshly migrated databases
HOST_IP=${HOST_IP:-127.0.0.1}          # every service binds here
HOST_NAME=${HOST_NAME:-osnode}         # hypervisor / agent host name inside OpenStack
REGION=${REGION:-RegionOne}

ADMIN_PASSWORD=${ADMIN_PASSWORD:-admin-secret}
DEMO_PASSWORD=${DEMO_PASSWORD:-demo-secret}
SERVICE_PASSWORD=${SERVICE_PASSWORD:-service-secret}   # nova, neutron, glance, placement, MariaDB

PORT_KEYSTONE=${PORT_KEYSTONE:-5000}
PORT_GLANCE=${PORT_GLANCE:-9292}
PORT_PLACEMENT=${PORT_PLACEMENT:-8778}
PORT_NOVA=${PORT_NOVA:-8774}
PORT_NEUTRON=${PORT_NEUTRON:-9696}
PORT_RABBIT=${PORT_RABBIT:-5672}
PORT_RABBIT_DIST=${PORT_RABBIT_DIST:-25672}
PORT_EPMD=${PORT_EPMD:-14369}
PORT_MEMCACHED=${PORT_MEMCACHED:-11211}

EXT_BRIDGE=${EXT_BRIDGE:-br-os-ext}    # host bridge that stands for "the outside world"
EXT_CIDR=${EXT_CIDR:-172.24.4.0/24}    # floating IPs come from here ...
EXT_GATEWAY=${EXT_GATEWAY:-172.24.4.1} # ... and the host itself has this address on EXT_BRIDGE
EXT_POOL=${EXT_POOL:-172.24.4.10,172.24.4.250}

ETC=$STATE/etc; VAR=$STATE/var; LOG=$STATE/log; RUN=$STATE/run
AUTH_URL=http://$HOST_IP:$PORT_KEYSTONE/v3
MYSQL_SOCKET=$RUN/mysql.sock

# All children get a small, predictable environment.
CLEAN_ENV=(env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$VAR" LANG=C.UTF-8 PYTHONUNBUFFERED=1)

# --- helpers ----------------------------------------------------------------
T0=$(date +%s)
say()  { printf '[%4ds] %s\n' $(( $(date +%s) - T0 )) "$*"; }
die()  { say "FATAL: $*" >&2; exit 1; }

# A pid file holds "PID STARTTIME"; the start time guards against PID reuse.
starttime() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() { # NAME
    local pid st
    [ -s "$RUN/$1.pid" ] || return 1
    read -r pid st < "$RUN/$1.pid"
    [ -n "$st" ] && [ "$(starttime "$pid")" = "$st" ]
}
start() { # NAME COMMAND...   (own session, so that down.sh can stop the whole process group)
    local name=$1; shift
    alive "$name" && return 0
    setsid "${CLEAN_ENV[@]}" "$@" </dev/null >>"$LOG/$name.log" 2>&1 &
    local pid=$!
    echo "$pid $(starttime "$pid")" > "$RUN/$name.pid"
}
stop() { # NAME [SECONDS]
    local pid i
    [ -f "$RUN/$1.pid" ] || return 0
    if alive "$1"; then
        read -r pid _ < "$RUN/$1.pid"
        kill -TERM "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null || true
        for i in $(seq $(( ${2:-15} * 10 ))); do alive "$1" || break; sleep 0.1; done
        kill -KILL "-$pid" 2>/dev/null || true
    fi
    rm -f "$RUN/$1.pid"
}
wait_for() { # SECONDS NAME COMMAND...   (NAME: a service that must stay alive meanwhile, or -)
    local limit=$1 name=$2 i; shift 2
    for (( i = 0; i < limit * 5; i++ )); do
        "$@" >/dev/null 2>&1 && return 0
        [ "$name" = - ] || alive "$name" || { tail -n 20 "$LOG/$name.log" >&2; die "$name died, see $LOG/$name.log"; }
        sleep 0.2
    done
    [ "$name" = - ] || tail -n 20 "$LOG/$name.log" >&2
    die "timed out after ${limit}s waiting for $name: $*"
}

# Move this script into a private network and mount namespace, made on first use
# and held open by a sleeping process.  /sys is remounted there because it
# shows the network devices of the namespace it was mounted in (the agents look).
enter_isolation() { # ARGUMENTS OF THE SCRIPT...
    [ -z "${IN_ISOLATION-}" ] || return 0
    if ! alive isolation; then
        start isolation unshare --net --mount --propagation slave /bin/sh -ec '
            mkdir -p /run/netns "$1/cgroup"
            mount --rbind /sys/fs/cgroup "$1/cgroup"
            mount -t sysfs sysfs /sys
            mount --rbind "$1/cgroup" /sys/fs/cgroup
            umount -l "$1/cgroup"
            mount -t tmpfs tmpfs /run/netns
            ip link set lo up
            touch "$1/isolation.ready"
            exec sleep infinity' sh "$RUN"
        wait_for 10 isolation test -e "$RUN/isolation.ready"
    fi
    exec_isolated "$HERE/$(basename "$0")" "$@"
}
exec_isolated() { # COMMAND...
    local pid; read -r pid _ < "$RUN/isolation.pid"
    IN_ISOLATION=1 exec nsenter -t "$pid" -r -n -m --wd="$PWD" "$@"
}
http_ok() { curl -sS --noproxy '*' -o /dev/null -m 5 "$1"; }
