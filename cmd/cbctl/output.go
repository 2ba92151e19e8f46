package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// output is the form of what a command prints.
type output struct{ form string }

// register adds the flag to a command, and a check of its value.
func (o *output) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.form, "output", "o", "table", "table, json or yaml")
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		switch o.form {
		case "table", "json", "yaml":
		default:
			return usageError{fmt.Errorf("--output: %q: want table, json or yaml", o.form)}
		}
		if before == nil {
			return nil
		}
		return before(cmd, args)
	}
}

// table reports whether people read the output.
func (o *output) table() bool { return o.form == "table" }

// print writes v in the form that was asked for; rows fills the table.
func (o *output) print(w io.Writer, v any, rows func(t *table)) error {
	switch o.form {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case "yaml":
		return nodeYAML(w, v)
	}
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	rows(t)
	return t.w.Flush()
}

// table is lines of columns.
type table struct{ w *tabwriter.Writer }

// row adds a line. Empty columns show as a dash.
func (t *table) row(columns ...string) {
	for i, c := range columns {
		columns[i] = nodeDash(oneLine(c))
	}
	fmt.Fprintln(t.w, strings.Join(columns, "\t"))
}

// oneLine keeps a column from breaking the table, or the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// price prints US dollars an hour.
func price(p *float64) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("$%.4f", *p)
}
