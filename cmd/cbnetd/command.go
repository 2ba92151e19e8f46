package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/internal/cli"
	"github.com/cbnet-io/cbnet/internal/version"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/overlay"
)

const long = `cbnetd joins this host to a mesh and keeps it there until it is stopped.

It needs root, or the capability CAP_NET_ADMIN. A stop (SIGTERM) tells the
others that the node is away; it keeps its place and comes back by itself, also
when every introducer is down. To give the place up use "cbctl node leave".`

func newCommand() *cobra.Command {
	var (
		f                       flags
		check, cleanup, showVer bool
	)
	cmd := &cobra.Command{
		Use:           "cbnetd (--bundle FILE | --join FILE|-) [flags]",
		Short:         "the node daemon of cbnet",
		Long:          long,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVer {
				fmt.Fprintf(cmd.OutOrStdout(), "cbnetd %s %s/%s %s\n", version.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
				return nil
			}
			c, log, err := f.config(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			switch {
			case cleanup:
				return runCleanup(c)
			case check:
				return runCheck(cmd.OutOrStdout(), c, log)
			}
			return runDaemon(cmd.Context(), c, log)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&check, "check", false, "check flags and files, change nothing, and end")
	cmd.Flags().BoolVar(&cleanup, "cleanup", false, "remove what a crash left of the interface, and end")
	cmd.Flags().BoolVar(&showVer, "version", false, "print the version, and end")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(newInstallCommand(), newUninstallCommand())
	return cmd
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usage(fmt.Errorf("%q: %s takes no arguments, only flags", args[0], cmd.CommandPath()))
	}
	return nil
}

func runCheck(w io.Writer, c node.Config, log *slog.Logger) error {
	n, err := node.New(c, log)
	if err != nil {
		return err
	}
	line, err := n.Check()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, line)
	return err
}

func runCleanup(c node.Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := needRoot("", "--cleanup"); err != nil {
		return err
	}
	if err := overlay.Cleanup(c.Interface); err != nil {
		if errors.Is(err, overlay.ErrInUse) {
			return fmt.Errorf("%w: stop the daemon first", err)
		}
		return err
	}
	if c.Socket == "" {
		c.Socket = control.DefaultSocket(c.Interface)
	}
	return control.Cleanup(c.Socket)
}

func runDaemon(ctx context.Context, c node.Config, log *slog.Logger) error {
	n, err := node.New(c, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { tellSystemd(ctx, os.Getenv("NOTIFY_SOCKET"), n.Ready(), log) })
	beside.Go(func() { limitMemory(ctx, n, c) })
	err = n.Run(ctx)
	cancel()
	beside.Wait()
	return err
}
