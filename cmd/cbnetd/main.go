// Command cbnetd is the node daemon: it joins this host to a mesh and keeps it
// there.
//
//	cbnetd --bundle FILE [--state DIR] [--socket PATH] [--interface cbn0] ...
//	cbnetd --join FILE|- ...
//	cbnetd install|uninstall ...
//
// Exit codes: 0 done, 1 failed, 2 wrong usage.
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

	"github.com/cbnet-io/cbnet/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends whatever hangs
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
		fmt.Fprintf(w, "cbnetd: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(w, "cbnetd: see cbnetd --help")
		return 2
	}
	if _, ok := errors.AsType[*node.InputError](err); ok {
		return 2
	}
	return 1
}
