package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

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
	t := &table{}
	rows(t)
	return t.flush(w)
}

// table is lines of columns, and notes between them.
type table struct {
	headed bool // the first row since the last note names the columns
	rows   [][]string
	out    strings.Builder
}

// head begins rows whose columns have names. A column in which no row has
// anything is left out, so that tables fit terminals.
func (t *table) head(names ...string) {
	t.end()
	t.headed = true
	t.rows = append(t.rows, names)
}

// row adds a line. Empty columns show as a dash.
func (t *table) row(columns ...string) { t.rows = append(t.rows, columns) }

// note adds a line of text without columns.
func (t *table) note(text string) {
	t.end()
	t.out.WriteString(oneLine(text) + "\n")
}

// end writes the rows since the last note or head.
func (t *table) end() {
	w := tabwriter.NewWriter(&t.out, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		var columns []string
		for i, c := range r {
			if !t.empty(i) {
				columns = append(columns, nodeDash(oneLine(c)))
			}
		}
		fmt.Fprintln(w, strings.Join(columns, "\t"))
	}
	_ = w.Flush() // to memory
	t.rows, t.headed = nil, false
}

// empty reports whether a named column has nothing in any row.
func (t *table) empty(i int) bool {
	if !t.headed || len(t.rows) < 2 {
		return false
	}
	return !slices.ContainsFunc(t.rows[1:], func(r []string) bool { return r[i] != "" })
}

func (t *table) flush(w io.Writer) error {
	t.end()
	_, err := io.WriteString(w, t.out.String())
	return err
}

// oneLine keeps a column from breaking the table, or the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
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
