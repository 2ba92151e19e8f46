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
	"os"

	"github.com/cbnet-io/cbnet/internal/cli"
)

func main() {
	ctx, stop := cli.Context()
	err := newCommand().ExecuteContext(ctx)
	stop()
	os.Exit(cli.Report(os.Stderr, "cbserver", err))
}
