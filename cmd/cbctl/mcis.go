package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cbnet-io/cbnet/api"
)

// maxSpec is the size in bytes of a spec file.
const maxSpec = 1 << 20

func newMCISCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mcis", Short: "machines on many clouds, in one mesh",
		Long: "An MCIS (multi-cloud infrastructure service) is a named set of machines on one or more clouds.",
		RunE: group,
	}
	cmd.AddCommand(newMCISPlan(), newMCISApply(), newMCISList(), newMCISStatus(), newMCISDelete(), newMCISExec())
	return cmd
}

// readSpec reads a spec file, "-" for standard input.
func readSpec(cmd *cobra.Command, path string) (api.SpecFile, error) {
	if path == "" {
		return api.SpecFile{}, usageError{fmt.Errorf("%swant -f FILE", prefix(cmd))}
	}
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return api.SpecFile{}, usageError{err}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSpec+1))
	if err != nil {
		return api.SpecFile{}, usageError{err}
	}
	if len(data) > maxSpec {
		return api.SpecFile{}, usageError{fmt.Errorf("%s: more than %d bytes", path, maxSpec)}
	}
	return api.SpecFile{File: filepath.Clean(path), YAML: string(data)}, nil
}

func newMCISPlan() *cobra.Command {
	var file string
	var out output
	cmd := &cobra.Command{
		Use: "plan -f FILE", Short: "say what an apply would do, and what it costs", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := readSpec(cmd, file)
			if err != nil {
				return err
			}
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := client.Plan(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), list.Plans, func(t *table) { planRows(t, list.Plans) })
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`FILE` with the spec, - for standard input")
	cmd.Flags().Bool("yes", false, "for symmetry with apply: a plan never asks")
	out.register(cmd)
	return cmd
}

// waiting is the flags of commands that block until a run is done.
type waiting struct {
	yes, noWait bool
	timeout     time.Duration
}

func (w *waiting) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.yes, "yes", false, "do not ask, also on a terminal")
	cmd.Flags().BoolVar(&w.noWait, "no-wait", false, "return as soon as the server has taken it on")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "give up waiting after this `TIME`; the server goes on (default: never)")
}

// ask has the user confirm, on a terminal. A script is not asked.
func (w *waiting) ask(cmd *cobra.Command, question string) error {
	if w.yes || !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	return confirm(cmd.Context(), bufio.NewReader(cmd.InOrStdin()))
}

func newMCISApply() *cobra.Command {
	var file string
	var w waiting
	var out output
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "make what the file says, and wait until all nodes have joined",
		Long: `apply creates, and removes, what is missing, or too much, for what the file
says. Applied again it attaches to the run in progress; a changed file supersedes
it. On a terminal it shows the plan and asks first. Interrupted, it only stops
waiting: the server goes on.`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := readSpec(cmd, file)
			if err != nil {
				return err
			}
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			if err := confirmPlan(cmd, client, spec, &w); err != nil {
				return err
			}
			list, err := client.Apply(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return finishApply(cmd, client, list.Runs, &w, &out)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`FILE` with the spec, - for standard input")
	w.register(cmd)
	out.register(cmd)
	return cmd
}

// confirmPlan shows what would be done to someone who can answer.
func confirmPlan(cmd *cobra.Command, client *api.Client, spec api.SpecFile, w *waiting) error {
	if w.yes || !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	list, err := client.Plan(cmd.Context(), spec)
	if err != nil {
		return err
	}
	asTable := output{form: "table"}
	if err := asTable.print(cmd.ErrOrStderr(), nil, func(t *table) { planRows(t, list.Plans) }); err != nil {
		return err
	}
	return w.ask(cmd, "do that?")
}

// finishApply waits for the runs and prints how things stand then.
func finishApply(cmd *cobra.Command, client *api.Client, runs []api.Run, w *waiting, out *output) error {
	var err error
	if !w.noWait {
		err = follow(cmd, client, runs, w)
	}
	if cmd.Context().Err() != nil {
		return err // interrupted: nothing more is asked
	}
	final := make([]api.MCIS, 0, len(runs))
	for _, r := range runs {
		st, serr := client.MCIS(cmd.Context(), r.Name)
		if serr != nil {
			return errors.Join(err, serr)
		}
		final = append(final, st)
		if err == nil && !w.noWait && st.Phase != api.PhaseReady {
			err = fmt.Errorf("mcis %s is %s: %d of %d nodes ready%s", st.Name, st.Phase, st.Ready, st.Desired, because(st.Reason))
		}
	}
	perr := printStatus(cmd, final, out)
	if !w.noWait {
		explainFailures(cmd.ErrOrStderr(), final)
	}
	return errors.Join(perr, err)
}

func newMCISList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "list", Short: "list every MCIS", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := client.ListMCIS(cmd.Context())
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), list.MCIS, func(t *table) {
				t.head("NAME", "PHASE", "READY", "DESIRED", "CLOUDS")
				for _, st := range list.MCIS {
					t.row(st.Name, st.Phase, fmt.Sprint(st.Ready), fmt.Sprint(st.Desired), strings.Join(cloudsOf(st), ","))
				}
			})
		},
	}
	out.register(cmd)
	return cmd
}

func newMCISStatus() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "status NAME", Short: "show an MCIS and its nodes", Args: args(1, "the name of an MCIS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			st, err := client.MCIS(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printStatus(cmd, []api.MCIS{st}, &out)
		},
	}
	out.register(cmd)
	return cmd
}

func newMCISDelete() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "delete an MCIS with all it made, and wait until nothing is left",
		Args:  args(1, "the name of an MCIS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			if err := w.ask(cmd, fmt.Sprintf("delete %s and all its machines?", args[0])); err != nil {
				return err
			}
			run, err := client.DeleteMCIS(cmd.Context(), args[0])
			if isNotFound(err) {
				return nil // nothing to delete is what was wanted
			}
			if err != nil || w.noWait {
				return err
			}
			err = follow(cmd, client, []api.Run{run}, &w)
			if isNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
			return checkGone(cmd, client, args[0])
		},
	}
	w.register(cmd)
	return cmd
}

// checkGone tells a delete that was done from one that was given up.
func checkGone(cmd *cobra.Command, client *api.Client, name string) error {
	st, err := client.MCIS(cmd.Context(), name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("mcis %s is %s again: it was applied meanwhile, or could not be deleted%s", name, st.Phase, because(st.Reason))
}

func isNotFound(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Status == http.StatusNotFound
}
