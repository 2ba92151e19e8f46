package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/control"
)

func newNodeRenew(f *nodeFlags) *cobra.Command {
	var file string
	var o output
	cmd := &cobra.Command{
		Use:   "renew --bundle FILE",
		Short: "go on with another bundle, without losing a packet",
		Long: `renew swaps certificate, key and authorities of the running node for those of a
bundle, which must be one for this node: see cbctl ca issue --renew. The daemon
keeps a copy in its state and uses it after a restart, too, until it is given a
bundle that is newer.`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("node renew: want --bundle FILE, as `cbctl ca issue` writes it")}
			}
			bundle, err := readBundle(cmd.ErrOrStderr(), file)
			if err != nil {
				return usageError{fmt.Errorf("--bundle: %w", err)}
			}
			c, err := f.dial()
			if err != nil {
				return err
			}
			r, err := c.Renew(cmd.Context(), bundle)
			if err != nil {
				return badFile(fmt.Errorf("node renew: %s: %w", file, err))
			}
			return o.print(cmd.OutOrStdout(), r, func(t *table) { nodeRenewal(t, r) })
		},
	}
	cmd.Flags().StringVar(&file, "bundle", "", "`FILE` with the new bundle")
	o.register(cmd)
	return cmd
}

// readBundle reads a bundle's file, checks its form, and warns if others may
// read the key in it.
func readBundle(w io.Writer, file string) ([]byte, error) {
	data, err := nodeReadFile(file, identity.MaxBundle)
	if err != nil {
		return nil, err
	}
	if _, err := identity.ParseBundle(data); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(w, "cbctl: others may read %s, which holds this node's key: chmod 600 it\n", file)
	}
	return data, nil
}

// badFile makes what the daemon finds wrong with a file wrong usage.
func badFile(err error) error {
	if e, ok := errors.AsType[*control.Error](err); ok && e.Status == http.StatusBadRequest {
		return usageError{err}
	}
	return err
}

func nodeRenewal(t *table, r control.Renewal) {
	if !r.Changed {
		t.row(fmt.Sprintf("%s uses that bundle already, until %s", r.Name, r.Expires.Format(time.DateOnly)))
		return
	}
	t.row(fmt.Sprintf("%s goes on with the new bundle, until %s", r.Name, r.Expires.Format(time.DateOnly)))
	for _, n := range r.Notes {
		t.row(n)
	}
}
