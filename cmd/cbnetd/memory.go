package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/overlay"
)

// settled is how long after its join a daemon is busy with it. Frequent
// collections would cost a mass join a fifth of its time.
const settled = 15 * time.Second

// limitMemory sets the garbage collector up for a daemon, unless the
// environment does. It returns when the node has settled, or ctx ends.
func limitMemory(ctx context.Context, n *node.Node, c node.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(overlay.UserspaceMemoryLimit)
	}
	select {
	case <-n.Ready():
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(settled):
	case <-ctx.Done():
		return
	}
	if p, ok := gcPercent(overlay.Datapath(n.Status().Datapath), c.NoOffload, os.Getenv("GOGC")); ok {
		debug.SetGCPercent(p)
		debug.FreeOSMemory() // what it took to join
	}
}

// gcPercent returns what to set GOGC to, if anything: only where there are
// many buffers.
func gcPercent(d overlay.Datapath, noOffload bool, env string) (percent int, ok bool) {
	return overlay.UserspaceGCPercent, d == overlay.Userspace && !noOffload && env == ""
}
