// Command cbserver is the control plane: it creates the machines of multi-cloud
// infrastructure services, enrols them in the mesh and serves the HTTP API that
// cbctl speaks. It is a node and an introducer of its mesh itself.
//
//	cbserver --data DIR --public HOST [flags]
//
// The first start makes the mesh's certificate authority and an administrator's
// token; DIR/admin.context then lets cbctl in. When all is up it prints one line
// on standard output that starts with "cbserver ready".
//
// Exit codes: 0 stopped, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := newCommand().ExecuteContext(ctx)
	stop()
	os.Exit(report(os.Stderr, err))
}

// usageError is a fault in the command line.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// report writes an error, each fault on a line of its own, and returns the exit
// code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "cbserver: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(w, "cbserver: see cbserver --help")
		return 2
	}
	return 1
}
