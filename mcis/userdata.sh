#!/bin/sh
# cbnet: fetch the node daemon, verify it, join the mesh. Runs once, as root, at
# the first boot. It says on standard output what it does.
set -u
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

url='@URL@'
sha256='@SHA256@'
advertise='@ADVERTISE@'
[ "$advertise" != none ] || advertise=
patience=600 # seconds

# cloud-init writes what it says to its log and to the console.
say() { echo "cbnet: $*"; }

# now prints seconds of a clock that setting the time does not move.
now() { cut -d . -f 1 /proc/uptime 2>/dev/null || date +%s; }

# fetch FILE: one bounded try. The checksum is what counts, so the server's
# certificate is not verified.
fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl -kfsS --connect-timeout 10 --max-time 120 -o "$1" "$url"
	elif command -v wget >/dev/null 2>&1; then
		wget -q --no-check-certificate -T 20 -O "$1" "$url"
	elif command -v python3 >/dev/null 2>&1; then
		python3 - "$1" "$url" <<'PYTHON'
import shutil, ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with urllib.request.urlopen(sys.argv[2], timeout=20, context=context) as src, open(sys.argv[1], "wb") as dst:
    shutil.copyfileobj(src, dst)
PYTHON
	else
		echo 'none of curl, wget and python3 is there'
		return 1
	fi
}

sum() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum "$1" | cut -d ' ' -f 1
	else
		python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
	fi
}

# install_node: one try from download to running daemon.
install_node() {
	rm -f "$dir/cbnetd"
	if ! fetch "$dir/cbnetd" >"$dir/log" 2>&1; then
		say "download of $url: $(tail -n 1 "$dir/log")"
		return 1
	fi
	got=$(sum "$dir/cbnetd")
	if [ "$got" != "$sha256" ]; then
		say "download of $url: its SHA-256 is $got, not $sha256"
		return 1
	fi
	chmod 0700 "$dir/cbnetd"
	if ! "$dir/cbnetd" install --join "$dir/token" --network '@NETWORK@' \
		--interface '@INTERFACE@' --port '@PORT@' --exec \
		${advertise:+--advertise "$advertise"} >"$dir/log" 2>&1; then
		say "install: $(tail -n 3 "$dir/log")"
		return 1
	fi
}

dir=
for base in /var/lib /var/tmp /tmp; do
	dir=$(mktemp -d "$base/cbnet-boot.XXXXXX" 2>/dev/null) && break
done
if [ -z "$dir" ]; then
	say 'no directory for the download is writable'
	exit 1
fi
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

cat >"$dir/token" <<'TOKEN'
@TOKEN@
TOKEN

end=$(($(now) + patience))
delay=1
until install_node; do
	if [ "$(now)" -ge "$end" ]; then
		say "giving up after $patience s"
		exit 1
	fi
	say "trying again in $delay s"
	sleep "$delay"
	delay=$((delay * 2))
	[ "$delay" -le 30 ] || delay=30
done
say 'the daemon is installed and joins the mesh'
