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
	"errors"
	"io"
	"os"

	"github.com/cbnet-io/cbnet/internal/cli"
	"github.com/cbnet-io/cbnet/node"
)

func main() {
	ctx, stop := cli.Context()
	err := newCommand().ExecuteContext(ctx)
	stop()
	os.Exit(report(os.Stderr, err))
}

// report writes an error and returns the exit code: a fault in a file that a
// flag names is wrong usage, too.
func report(w io.Writer, err error) int {
	code := cli.Report(w, "cbnetd", err)
	if _, ok := errors.AsType[*node.InputError](err); ok {
		return cli.WrongUsage
	}
	return code
}
