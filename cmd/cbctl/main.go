// Command cbctl is the command line of cbnet: for a control plane (cloud, mcis),
// for this host's node daemon (node), and for a certificate authority without
// any server (ca).
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or bad input. Results go to
// standard output, progress and errors to standard error.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/internal/cli"
	"github.com/cbnet-io/cbnet/internal/version"
)

func main() {
	ctx, stop := cli.Context()
	err := interrupted(ctx, newCommand().ExecuteContext(ctx))
	stop()
	os.Exit(report(os.Stderr, err))
}

// interrupted says plainly what a call says that ended with ctx.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, errInterrupted) || errors.Is(err, errNotConfirmed) {
		return err
	}
	return errors.New("interrupted")
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cbctl",
		Short: "the command line of cbnet",
		Long: `cbctl is the command line of cbnet.

It finds the server by the file in CBCTL_CONTEXT, or by the context in use
(cbctl login, cbctl context use). The verbs of node and ca need no server.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // group says which verb is unknown
		RunE:          group,
		Version:       fmt.Sprintf("%s %s/%s %s", version.Version, runtime.GOOS, runtime.GOARCH, runtime.Version()),
	}
	cmd.SetVersionTemplate("cbctl {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(
		newLoginCommand(), newContextCommand(), newVersionCommand(),
		newCloudCommand(), addLater(newMCISCommand(), "mcis"), newNodeCommand(), newCACommand(),
		newLater("mesh", later["mesh"][""]), newLater("app", later["app"][""]),
	)
	registerLogLevel(cmd)
	return cmd
}

// group is what a command without a verb does.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%sunknown verb %q; see %s --help", prefix(cmd), args[0], cmd.CommandPath())}
	}
	return errors.Join(usageError{fmt.Errorf("%swant a verb", prefix(cmd))}, cmd.Usage())
}

// prefix begins an error with the command it is about; every error begins with
// the program's name anyway.
func prefix(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ") + ": "
}

// args takes n arguments, none of them empty.
func args(n int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%swant %s, have %d arguments", prefix(cmd), want, len(args))}
		}
		if slices.Contains(args, "") {
			return usageError{fmt.Errorf("%swant %s, not an empty one", prefix(cmd), want)}
		}
		return nil
	}
}

// quietError has been reported where it happened; it only sets the exit code.
type quietError struct{ error }

// report writes an error, each fault on a line of its own, and returns the exit
// code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[quietError](err); ok {
		return 1
	}
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return reportProblem(w, p)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = fmt.Errorf("%w\nit is another server than the context says, or its authority was made anew: use its present admin.context, or cbctl login", err)
	}
	cli.Write(w, "cbctl", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// reportProblem writes what the server said. Faults of a file are written as
// they are, so that editors find FILE:LINE at the start of a line.
func reportProblem(w io.Writer, p *api.Problem) int {
	detail := p.Detail
	if detail == "" {
		detail = p.Title
	}
	fmt.Fprintf(w, "cbctl: %s\n", strings.ReplaceAll(detail, "\n", "\ncbctl: "))
	for _, f := range p.Errors {
		if f.Location != "" {
			f.Location += ": "
		}
		fmt.Fprintf(w, "%s%s\n", f.Location, f.Message)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		fmt.Fprintln(w, "cbctl: log in again (cbctl login URL), or point CBCTL_CONTEXT to the server's admin.context")
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return 2
	}
	return 1
}
