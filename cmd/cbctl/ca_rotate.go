package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/identity"
)

const caRotateLong = `rotate makes the next of three steps to a new authority of the same mesh. After
each of them give every node a new bundle, while it runs:

    cbctl ca issue --dir DIR --renew NODE.bundle --out NODE.bundle
    cbctl node renew --bundle NODE.bundle          # on the node

and run rotate again when all have it: no packet is lost, addresses stay, and so
do revocations.

  1  bundles from now on trust the new authority too; the old one signs
  2  the new authority signs; bundles trust the old one still, whose key is removed
  3  bundles from now on trust the new authority alone

The second and the third step are refused while a node has no bundle of the step
before: it would not know the others any more. --force makes them nevertheless.`

func newCARotate() *cobra.Command {
	var dir string
	var force bool
	cmd := &cobra.Command{
		Use: "rotate --dir DIR", Short: "change to a new authority, step by step", Long: caRotateLong, Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "dir"); err != nil {
				return err
			}
			d, err := identity.OpenDir(dir)
			if err != nil {
				return err
			}
			said, err := rotate(d, time.Now(), force)
			if err := errors.Join(err, d.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` of the authority")
	cmd.Flags().BoolVar(&force, "force", false, "also when nodes are left behind: they lose the others")
	return cmd
}

// rotate makes a step and returns what to do next.
func rotate(d *identity.Dir, now time.Time, force bool) (string, error) {
	under := d.Step() == identity.StepAnnounce || d.Step() == identity.StepSwitch
	if behind := d.Behind(now); under && !force && len(behind) > 0 {
		return "", fmt.Errorf("ca rotate: no bundle since step %d was issued to %s: see `cbctl ca rotate --help`", d.Step(), strings.Join(behind, ", "))
	}
	step, err := d.Rotate(now)
	if err != nil {
		return "", err
	}
	what := map[identity.Step]string{
		identity.StepAnnounce: "bundles from now on trust the new authority too",
		identity.StepSwitch:   "the new authority signs from now on",
		identity.StepFinish:   "bundles from now on trust the new authority alone",
	}
	next := ", then rotate again"
	if step == identity.StepFinish {
		next = "; that is all"
	}
	nodes := "every node"
	if behind := d.Behind(now); len(behind) > 0 {
		nodes = strings.Join(behind, ", ")
	}
	return fmt.Sprintf("step %d of 3: %s\nnext: a new bundle for %s (ca issue --renew, node renew)%s", step, what[step], nodes, next), nil
}
