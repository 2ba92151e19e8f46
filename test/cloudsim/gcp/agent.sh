#!/bin/sh
# What google_metadata_script_runner of Google's guest agent does, as far as
# simulated machines need it: it runs the metadata value startup-script, and shows
# what that says.
[ "$1" = startup ] || exit 2
script=$(mktemp /run/startup-script.XXXXXX) || exit 1
curl -fsS -H 'Metadata-Flavor: Google' -o "$script" \
	http://metadata.google.internal/computeMetadata/v1/instance/attributes/startup-script || exit 0
chmod 700 "$script"
"$script" 2>&1 | sed -u 's/^/startup-script: /'
rm -f "$script"
