package main

import (
	"context"
	"log/slog"
	"net"
)

// tellSystemd says when the daemon is ready and when it stops, see
// sd_notify(3). Without a socket it only waits for ctx.
func tellSystemd(ctx context.Context, socket string, ready <-chan struct{}, log *slog.Logger) {
	select {
	case <-ready:
		notify(socket, "READY=1", log)
		<-ctx.Done()
	case <-ctx.Done():
	}
	notify(socket, "STOPPING=1", log)
}

func notify(socket, state string, log *slog.Logger) {
	if socket == "" {
		return
	}
	// A leading @ stands for the abstract namespace, for net as well.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		conn.Close()
	}
	if err != nil {
		log.Warn("systemd was not told", "state", state, "err", err)
	}
}
