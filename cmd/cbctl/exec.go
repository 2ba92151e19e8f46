package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
)

// execResult is what one node answered, for -o json and yaml.
type execResult struct {
	Node   string `json:"node"`
	Exit   *int   `json:"exit"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Error  string `json:"error,omitempty"`
}

func newMCISExec() *cobra.Command {
	var req api.ExecRequest
	var out output
	cmd := &cobra.Command{
		Use:   "exec NAME [--group G] [--node N] -- CMD..",
		Short: "run a command on nodes of an MCIS",
		Long: `exec runs a program on all nodes of an MCIS, of a group, or on named nodes, as
root and without a shell between. With more than one node every line is preceded
by the node's name. It exits with 1 if the command failed anywhere.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at != 1 && at != -1 || len(args) < 2 || args[0] == "" {
				return usageError{fmt.Errorf("%swant the name of an MCIS, and the command after --", prefix(cmd))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Command = args[1:]
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			e := &execView{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), plain: out.table(), index: make(map[string]int)}
			e.prefix = len(req.Nodes) != 1
			if e.prefix {
				if e.prefix, err = manyNodes(cmd, client, args[0], req); err != nil {
					return err
				}
			}
			if err := client.Exec(cmd.Context(), args[0], req, e.show); err != nil {
				return errors.Join(e.flush(), err)
			}
			return e.end(&out)
		},
	}
	cmd.Flags().StringVar(&req.Group, "group", "", "only the nodes of `GROUP`")
	cmd.Flags().StringArrayVar(&req.Nodes, "node", nil, "only this `NODE`; may be repeated")
	out.register(cmd)
	return cmd
}

// manyNodes reports whether the command will run on more than one node.
func manyNodes(cmd *cobra.Command, client *api.Client, name string, req api.ExecRequest) (bool, error) {
	if len(req.Nodes) > 1 {
		return true, nil
	}
	st, err := client.MCIS(cmd.Context(), name)
	if err != nil {
		return false, err
	}
	n := 0
	for _, node := range st.Nodes {
		if req.Group == "" || node.Group == req.Group {
			n++
		}
	}
	return n > 1, nil
}

// execView shows what nodes answer.
type execView struct {
	stdout, stderr io.Writer
	plain          bool // as it comes; otherwise kept for the end
	prefix         bool // every line with its node
	index          map[string]int
	results        []execResult
	lines          map[string]*lineWriter // by node and stream
}

// show takes one piece of output.
func (e *execView) show(o api.ExecOutput) error {
	i, ok := e.index[o.Node]
	if !ok {
		i = len(e.results)
		e.index[o.Node] = i
		e.results = append(e.results, execResult{Node: o.Node})
	}
	r := &e.results[i]
	if o.Exit != nil {
		r.Exit = o.Exit
	}
	if o.Error != "" {
		r.Error = o.Error
	}
	if !e.plain {
		r.Stdout += string(o.Stdout)
		r.Stderr += string(o.Stderr)
		return nil
	}
	if err := e.write(o.Node, "out", e.stdout, o.Stdout); err != nil {
		return err
	}
	return e.write(o.Node, "err", e.stderr, o.Stderr)
}

func (e *execView) write(node, stream string, w io.Writer, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if !e.prefix {
		_, err := w.Write(data)
		return err
	}
	if e.lines == nil {
		e.lines = make(map[string]*lineWriter)
	}
	l := e.lines[node+" "+stream]
	if l == nil {
		l = &lineWriter{w: w, prefix: node + ": "}
		e.lines[node+" "+stream] = l
	}
	return l.write(data)
}

// flush writes the lines that have no end yet.
func (e *execView) flush() error {
	var errs []error
	for _, l := range e.lines {
		errs = append(errs, l.flush())
	}
	return errors.Join(errs...)
}

// end prints what was kept, and fails if the command failed anywhere.
func (e *execView) end(out *output) error {
	if err := e.flush(); err != nil {
		return err
	}
	slices.SortFunc(e.results, func(a, b execResult) int { return strings.Compare(a.Node, b.Node) })
	if !e.plain {
		if err := out.print(e.stdout, e.results, nil); err != nil {
			return err
		}
	}
	failed := false
	for _, r := range e.results {
		switch {
		case r.Error != "":
			failed = true
			fmt.Fprintf(e.stderr, "cbctl: %s: %s\n", r.Node, oneLine(r.Error))
		case r.Exit != nil && *r.Exit != 0:
			failed = true
			fmt.Fprintf(e.stderr, "cbctl: %s: the command exited with %d\n", r.Node, *r.Exit)
		}
	}
	if failed {
		return quietError{errors.New("the command failed")}
	}
	return nil
}

// lineWriter puts a prefix before every line.
type lineWriter struct {
	w      io.Writer
	prefix string
	rest   []byte // of a line without an end
}

func (l *lineWriter) write(data []byte) error {
	l.rest = append(l.rest, data...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return nil
		}
		if _, err := fmt.Fprintf(l.w, "%s%s", l.prefix, l.rest[:i+1]); err != nil {
			return err
		}
		l.rest = l.rest[i+1:]
	}
}

func (l *lineWriter) flush() error {
	if len(l.rest) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(l.w, "%s%s\n", l.prefix, l.rest)
	l.rest = nil
	return err
}
