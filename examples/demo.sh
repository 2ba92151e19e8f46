#!/usr/bin/env bash
# The main job, end to end, on simulated clouds: two clouds, one YAML, one
# network, an application reached across it, and everything gone afterwards.
# KEEP=1 leaves it up. Needs root for network namespaces. Run it by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then exec sudo --preserve-env=KEEP,PATH "$0" "$@"; fi

state=$PWD/.demo
host=198.18.0.1 # this machine, as the simulated internet knows it
start=$SECONDS
pids=()

step() { printf '\n[%3ds] %s\n' $((SECONDS - start)) "$*"; }
run() { echo "\$ $*"; "$@"; }
fail() { echo "demo: $*" >&2; exit 1; }

# stop ends what this script started, the youngest first.
stop() {
	local code=$? i
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		kill -TERM "${pids[i]}" 2>/dev/null || continue
		wait "${pids[i]}" || true
	done
	if [ "$code" != 0 ]; then echo "demo: failed; logs are in $state" >&2; fi
	return "$code"
}
trap stop EXIT
trap 'exit 130' INT TERM

# until_true SECONDS COMMAND...: tries until it works.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		if [ $SECONDS -ge $end ]; then return 1; fi
		sleep 0.2
	done
}

rm -rf "$state" && mkdir -p -m 0700 "$state"

step "two simulated clouds and a control plane"
bin/cloudsim --listen 127.0.0.1:0 --state "$state/cloudsim" >"$state/cloudsim.json" 2>"$state/cloudsim.log" &
pids+=($!)
until_true 60 test -s "$state/cloudsim.json" || fail "cloudsim did not start: $(tail -n 1 "$state/cloudsim.log")"
url() { jq -re ".$1" "$state/cloudsim.json"; }

bin/cbserver --data "$state/server" --mesh demo --public $host >"$state/cbserver.log" 2>&1 &
pids+=($!)
export CBCTL_CONTEXT=$state/server/admin.context
until_true 60 bin/cbctl version >/dev/null || fail "cbserver did not start: $(tail -n 1 "$state/cbserver.log")"

run bin/cbctl cloud add aws --provider aws --credentials "$state/cloudsim/credentials/aws" --endpoint "$(url aws)"
run bin/cbctl cloud add private --provider openstack --credentials "$state/cloudsim/credentials/openstack" --endpoint "$(url openstack)"

step "one YAML"
cat examples/hybrid.yaml
run bin/cbctl mcis plan -f examples/hybrid.yaml
run bin/cbctl mcis apply -f examples/hybrid.yaml --yes
run bin/cbctl mcis status shop

step "one network: every node pings every other by its overlay address"
declare -A ip
while read -r node addr; do ip[$node]=$addr; done < <(bin/cbctl mcis status shop -o json | jq -r '.nodes[] | "\(.name) \(.ip)"')
[ "${#ip[@]}" = 4 ] || fail "want 4 nodes, have ${#ip[@]}"
pairs=0
for from in "${!ip[@]}"; do
	for to in "${!ip[@]}"; do
		[ "$from" = "$to" ] && continue
		rtt=$(bin/cbctl mcis exec shop --node "$from" -- ping -n -c 1 -W 5 "${ip[$to]}" | sed -n 's/.*time=//p') || fail "$from cannot reach $to"
		printf '  %-12s -> %-12s %-12s %s\n' "$from" "$to" "${ip[$to]}" "$rtt"
		pairs=$((pairs + 1))
	done
done
echo "  $pairs of 12 ordered pairs"

step "an application: a web server on the OpenStack VM without a public address, read from AWS"
db=shop-db-1
bin/cbctl mcis exec shop --node $db -- sh -c \
	"mkdir -p /srv/www && echo 'hello from $db, which no public address leads to' > /srv/www/index.html &&
	 (setsid python3 -m http.server --bind ${ip[$db]} --directory /srv/www 8080 >/dev/null 2>&1 </dev/null &)"
run bin/cbctl mcis exec shop --node shop-web-1 -- curl -sS --retry 20 --retry-connrefused --retry-delay 1 --max-time 20 "http://${ip[$db]}:8080/"

if [ -n "${KEEP:-}" ]; then
	cat <<-END

		[$(printf %3d $((SECONDS - start)))s] it stays up until you press Ctrl-C. In another terminal, in this directory, try:
		  export CBCTL_CONTEXT=$CBCTL_CONTEXT
		  bin/cbctl mcis status shop
		  bin/cbctl node peers
		  bin/cbctl mcis exec shop --node shop-web-1 -- ping -c 3 ${ip[$db]}
		  curl -s $(url admin)/inventory | jq .
		  bin/cbctl mcis delete shop --yes
	END
	trap 'step stopped; exit 0' INT TERM
	wait "${pids[0]}"
fi

step "delete; the clouds must be empty"
run bin/cbctl mcis delete shop --yes
left=$(curl -sS "$(url admin)/inventory" | jq -c '[.[] | select(.state != "terminated" and .state != "deleted")]')
echo "inventory: $left"
[ "$left" = "[]" ] || fail "something was left behind"

step "done in $((SECONDS - start)) s"
