#!/bin/sh
### BEGIN INIT INFO
# Provides:          @NAME@
# Required-Start:    $network $local_fs
# Required-Stop:     $network $local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: cbnet node daemon on @INTERFACE@
### END INIT INFO
# Written by cbnetd install. Changes are lost when it runs again.
# start runs a loop in the background that starts the daemon again whenever it
# fails: after 0.2 s, then 1, 2, 4, ... up to 30 s.

NAME=@NAME@
DAEMON=@BINARY@
RUN=@RUN@
LOG=@LOG@/$NAME.log
LOOPPID=$RUN/$NAME.loop.pid
PIDFILE=$RUN/$NAME.pid
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# running FILE WORD prints the process id in FILE if that process is still the
# one that wrote it: its command line holds WORD.
running() {
	{ read -r pid <"$1"; } 2>/dev/null || return 1
	case $pid in '' | *[!0-9]*) return 1 ;; esac
	kill -0 "$pid" 2>/dev/null || return 1
	case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) in
	*"$2"*) echo "$pid" ;;
	*) return 1 ;;
	esac
}

# gone PID SECONDS waits for a process to end.
gone() {
	tries=$(($2 * 10))
	while kill -0 "$1" 2>/dev/null; do
		# A process that nobody has reaped yet has ended.
		case $(cat "/proc/$1/stat" 2>/dev/null) in *') Z '*) return 0 ;; esac
		[ $tries -gt 0 ] || return 1
		tries=$((tries - 1))
		pause 0.1
	done
}

# pause takes fractions where sleep does.
pause() { sleep "$1" 2>/dev/null || sleep 1; }

loop() {
	child=
	ending=
	trap 'ending=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT
	trap '' HUP
	echo $$ >"$LOOPPID"
	wait=0.2
	while [ -z "$ending" ]; do
		began=$(date +%s)
		"$DAEMON" @ARGS@ &
		child=$!
		echo "$child" >"$PIDFILE"
		wait "$child"
		code=$?
		while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the daemon
			wait "$child"
			code=$?
		done
		child=
		rm -f "$PIDFILE"
		[ -z "$ending" ] || break
		case $code in
		0) break ;;
		2)
			echo "$NAME: a flag or file is broken: not started again"
			break
			;;
		esac
		[ $(($(date +%s) - began)) -lt 60 ] || wait=0.2
		echo "$NAME: ended with code $code, started again in $wait s"
		pause $wait &
		child=$!
		wait "$child"
		child=
		case $wait in 0.2) wait=1 ;; 16) wait=30 ;; 30) ;; *) wait=$((wait * 2)) ;; esac
	done
	rm -f "$LOOPPID"
}

start() {
	mkdir -p "$RUN" "${LOG%/*}" || return 1
	if pid=$(running "$LOOPPID" "$NAME loop"); then
		echo "$NAME runs already, pid $pid"
		return 0
	fi
	# A daemon whose loop was killed.
	if pid=$(running "$PIDFILE" "$DAEMON"); then
		kill -TERM "$pid"
		gone "$pid" 8 || kill -KILL "$pid"
	fi
	rm -f "$LOOPPID" "$PIDFILE"
	if [ -f "$LOG" ] && [ "$(wc -c <"$LOG")" -gt 10000000 ]; then
		mv -f "$LOG" "$LOG.1"
	fi
	(umask 077 && : >>"$LOG") || return 1
	setsid=$(command -v setsid) || setsid=
	$setsid /bin/sh "$0" loop </dev/null >>"$LOG" 2>&1 &
	tries=50
	until running "$LOOPPID" "$NAME loop" >/dev/null; do
		[ $tries -gt 0 ] || {
			echo "$NAME did not start: see $LOG" >&2
			return 1
		}
		tries=$((tries - 1))
		pause 0.1
	done
	echo "$NAME started"
}

stop() {
	if pid=$(running "$LOOPPID" "$NAME loop"); then
		kill -TERM "$pid"
		gone "$pid" 8 || kill -KILL "$pid"
	fi
	if pid=$(running "$PIDFILE" "$DAEMON"); then
		kill -TERM "$pid" 2>/dev/null
		gone "$pid" 8 || kill -KILL "$pid"
	fi
	rm -f "$LOOPPID" "$PIDFILE"
	echo "$NAME stopped"
}

status() {
	if pid=$(running "$PIDFILE" "$DAEMON"); then
		echo "$NAME runs, pid $pid"
		return 0
	fi
	if running "$LOOPPID" "$NAME loop" >/dev/null; then
		echo "$NAME is about to start the daemon again: see $LOG"
		return 0
	fi
	echo "$NAME does not run"
	return 3
}

case $1 in
start | stop | status | loop) "$1" ;;
restart | force-reload) stop && start ;;
*)
	echo "usage: $0 start|stop|restart|status" >&2
	exit 2
	;;
esac
