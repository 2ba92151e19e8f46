#!/bin/sh
# cbnet: runs the machine's user-data once, on images without cloud-init. Google's
# guest agent runs this at every boot; where cloud-init is, that has done it.
set -u
command -v cloud-init >/dev/null 2>&1 && exit 0
base=http://metadata.google.internal/computeMetadata/v1/instance
get() { curl -fsS --retry 5 --max-time 30 -H 'Metadata-Flavor: Google' "$base/$1"; }

id=$(get id) || exit 1
dir=/var/lib/cbnet-user-data
mkdir -p "$dir" && chmod 700 "$dir" || exit 1
[ ! -e "$dir/$id.started" ] || exit 0
get attributes/user-data >"$dir/$id" || exit 1
if [ "$(get attributes/user-data-encoding 2>/dev/null)" = base64 ]; then
	base64 -d "$dir/$id" >"$dir/$id.raw" && mv "$dir/$id.raw" "$dir/$id" || exit 1
fi
if gzip -t "$dir/$id" 2>/dev/null; then
	gzip -dc "$dir/$id" >"$dir/$id.raw" && mv "$dir/$id.raw" "$dir/$id" || exit 1
fi
if [ "$(head -c 2 "$dir/$id")" != '#!' ]; then
	echo 'cbnet: the user-data is no script, and without cloud-init nothing else can be run'
	exit 1
fi
chmod 700 "$dir/$id"
: >"$dir/$id.started"
exec "$dir/$id"
