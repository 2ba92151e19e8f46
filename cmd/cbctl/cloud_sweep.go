package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
)

func newCloudSweep() *cobra.Command {
	var yes bool
	var region string
	var grace, timeout time.Duration
	var out output
	cmd := &cobra.Command{
		Use:   "sweep NAME [--yes]",
		Short: "list, or with --yes delete, what belongs to no MCIS any more",
		Long: `sweep looks through the account for what bears the mark of the server's mesh
and belongs to no MCIS that the server knows. It lists that, and deletes it only
with --yes: machines first, then what they used, until the cloud lists nothing of
it. What is younger than --grace is waited for. Interrupted, it stops; the next
sweep goes on with what is left. A server whose data was set back knows nothing
of what was made since: look at the list before --yes.`,
		Args: args(1, "the name of an account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := api.SweepRequest{Region: region, Delete: yes}
			if err := seconds("--timeout", timeout, &req.TimeoutSeconds); err != nil {
				return err
			}
			if cmd.Flags().Changed("grace") {
				req.GraceSeconds = new(int)
				if err := seconds("--grace", grace, req.GraceSeconds); err != nil {
					return err
				}
			}
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			v := &sweepView{w: cmd.ErrOrStderr(), start: time.Now(), dry: !yes}
			result, err := client.SweepCloud(cmd.Context(), args[0], req, v.show)
			if err != nil {
				return err
			}
			perr := out.print(cmd.OutOrStdout(), result.Objects, func(t *table) { sweepRows(t, args[0], result) })
			return errors.Join(perr, sweepFault(args[0], result))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it")
	cmd.Flags().StringVar(&region, "region", "", "only this `REGION` (default: all)")
	cmd.Flags().DurationVar(&grace, "grace", time.Minute, "least age of machines, as a `TIME`, where the cloud tells it")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this `TIME`")
	out.register(cmd)
	return cmd
}

// seconds sets s to a flag's time, rounded up.
func seconds(flag string, d time.Duration, s *int) error {
	if d < 0 || d > 24*time.Hour {
		return usageError{fmt.Errorf("%s: %s: want 0 to 24h", flag, d)}
	}
	*s = int((d + time.Second - 1) / time.Second)
	return nil
}

// sweepView prints the steps of a sweep.
type sweepView struct {
	w     io.Writer
	start time.Time
	dry   bool
}

// show prints one step. What is found is in the result.
func (v *sweepView) show(e api.SweepEvent) error {
	if e.Step == "found" || v.dry && e.Step != "failed" {
		return nil
	}
	what := e.Message
	if e.Object != nil {
		what = fmt.Sprintf("%s %s %s", e.Object.Kind, e.Object.ID, e.Object.Name)
		if e.Message != "" {
			what += ": " + e.Message
		}
	}
	_, err := fmt.Fprintf(v.w, "%6s  %-18s %-7s %s\n", clock(time.Since(v.start)), oneLine(e.Region), oneLine(e.Step), oneLine(what))
	return err
}

func sweepRows(t *table, name string, result api.CloudSweep) {
	if len(result.Objects) > 0 {
		t.head("OUTCOME", "REGION", "KIND", "ID", "NAME", "NODE", "STATE", "CREATED", "WHY")
		for _, o := range result.Objects {
			t.row(o.Outcome, o.Region, o.Kind, o.ID, o.Name, o.Node, o.State, date(o.Created), o.Why)
		}
	}
	n := sweepCount(result)
	switch {
	case len(result.Objects) == 0:
		t.note(fmt.Sprintf("%s: nothing belongs to no MCIS", name))
	case !result.Deleted:
		t.note(fmt.Sprintf("%s: %d objects belong to no MCIS; --yes deletes them", name, n["found"]))
	default:
		t.note(fmt.Sprintf("%s: %d gone, %d left", name, n["gone"], n["left"]))
	}
}

func sweepCount(result api.CloudSweep) map[string]int {
	n := make(map[string]int)
	for _, o := range result.Objects {
		n[o.Outcome]++
	}
	return n
}

// sweepFault says what a sweep did not do.
func sweepFault(name string, result api.CloudSweep) error {
	err := cloudFaults(result.Failed)
	if n := sweepCount(result)["left"]; n > 0 {
		return errors.Join(fmt.Errorf("cloud %s: %d objects are left; see why, and sweep again", name, n), err)
	}
	return err
}
