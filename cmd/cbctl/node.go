package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/node/control"
)

// nodePingTimeout bounds `node ping`: three packets of a second each.
const nodePingTimeout = 10 * time.Second

// nodeFlags are common to the verbs of `cbctl node`.
type nodeFlags struct{ socket string }

// newNodeCommand returns `cbctl node`, which asks the daemon of this host.
func newNodeCommand() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "node",
		Short: "ask this host's node daemon",
		Long: `node asks the cbnetd of this host over its control socket, which only root may
open. It works without any server, and before the node has found a peer.`,
		RunE: group,
	}
	cmd.PersistentFlags().StringVar(&f.socket, "socket", "", "`PATH` of the daemon's control socket (default: the one in "+control.DefaultDir+")")
	cmd.AddCommand(newNodeStatus(&f), newNodePeers(&f), newNodePing(&f), newNodePath(&f), newNodeRoutes(&f), newNodeWhy(&f), newNodeLeave(&f), newNodeRevoke(&f), newNodeRenew(&f))
	return cmd
}

// nodeVerb is a verb that asks the daemon for something and prints it.
type nodeVerb[T any] struct {
	use, short string
	args       cobra.PositionalArgs
	ask        func(ctx context.Context, c *control.Client, args []string) (T, error)
	print      func(t *table, answer T)
}

func (v nodeVerb[T]) command(f *nodeFlags) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Args: v.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.dial()
			if err != nil {
				return err
			}
			answer, err := v.ask(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), answer, func(t *table) { v.print(t, answer) })
		},
	}
	o.register(cmd)
	return cmd
}

func newNodeStatus(f *nodeFlags) *cobra.Command {
	return nodeVerb[control.Status]{
		use:   "status",
		short: "show what this node is and how many peers it has",
		args:  args(0, "no arguments"),
		ask: func(ctx context.Context, c *control.Client, _ []string) (control.Status, error) {
			return c.Status(ctx)
		},
		print: nodeStatusTable,
	}.command(f)
}

func newNodePeers(f *nodeFlags) *cobra.Command {
	return nodeVerb[[]control.Peer]{
		use:   "peers",
		short: "list everyone this node knows, and how each is reached",
		args:  args(0, "no arguments"),
		ask: func(ctx context.Context, c *control.Client, _ []string) ([]control.Peer, error) {
			return c.Peers(ctx)
		},
		print: func(t *table, peers []control.Peer) { nodePeersTable(t, peers, time.Now()) },
	}.command(f)
}

func newNodePing(f *nodeFlags) *cobra.Command {
	return nodeVerb[control.Ping]{
		use:   "ping NAME",
		short: "send a packet through the tunnel to a peer, and say what failed if it does not answer",
		args:  args(1, "the name of one node"),
		ask: func(ctx context.Context, c *control.Client, args []string) (control.Ping, error) {
			ctx, cancel := context.WithTimeout(ctx, nodePingTimeout)
			defer cancel()
			p, err := c.Ping(ctx, args[0])
			return p, about("ping "+args[0], err)
		},
		print: func(t *table, p control.Ping) {
			t.row(fmt.Sprintf("%s (%s) answers in %.2f ms", p.Name, p.IP, p.RTTMs))
		},
	}.command(f)
}

// about says what failed, if something did.
func about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func newNodeLeave(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "leave",
		Short: "give this node's place in the mesh up; its daemon ends",
		Args:  args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.dial()
			if err != nil {
				return err
			}
			if err := c.Leave(cmd.Context()); err != nil {
				return fmt.Errorf("leave: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "this node has left the mesh; its daemon ends")
			return err
		},
	}
}

func newNodeRevoke(f *nodeFlags) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "revoke --file FILE",
		Short: "apply a signed revocation list, and spread it to all nodes",
		Args:  args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("node revoke: want --file FILE, as `cbctl ca revoke` writes it")}
			}
			signed, err := nodeReadFile(file, control.MaxRevocations)
			if err != nil {
				return fmt.Errorf("revocation list: %w", err)
			}
			c, err := f.dial()
			if err != nil {
				return err
			}
			if err := c.Revoke(cmd.Context(), signed); err != nil {
				return badFile(fmt.Errorf("node revoke: %s: %w", file, err))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the list is in force here and goes to all nodes")
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "`FILE` with a signed revocation list")
	return cmd
}

// nodeReadFile reads a file, and no more than a daemon takes.
func nodeReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return data, err
}

// dial returns a client of the daemon that is meant: the one named, the one on
// the default interface, or the only one there is.
func (f *nodeFlags) dial() (*control.Client, error) {
	if f.socket != "" {
		return control.Dial(f.socket), nil
	}
	path := control.DefaultSocket(control.DefaultInterface)
	if _, err := os.Stat(path); err == nil {
		return control.Dial(path), nil
	}
	all, err := filepath.Glob(filepath.Join(control.DefaultDir, "*.sock"))
	if err != nil {
		return nil, fmt.Errorf("control sockets: %w", err)
	}
	switch len(all) {
	case 0:
		return control.Dial(path), nil
	case 1:
		return control.Dial(all[0]), nil
	}
	return nil, usageError{fmt.Errorf("--socket: several daemons run here: want one of %q", all)}
}
