package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Row is one line of a [Report]: a figure of one program, from samples.
type Row struct {
	Section string    // what was measured, such as "TCP throughput"
	Subject string    // whose, such as "cbnetd"
	Unit    string    // of the samples
	Samples []float64 // one for each round
	Base    string    // subject of the same section to compare with; empty: none
	Note    string    // how it was measured, or that it is simulated
}

// Requirement is a bound that the figures must keep.
type Requirement struct {
	What  string
	Got   float64
	Bound float64
	Least bool // Bound is the least that will do, else the most
}

// Met reports whether the bound is kept. What could not be measured is not.
func (r Requirement) Met() bool {
	if r.Least {
		return r.Got >= r.Bound
	}
	return r.Got <= r.Bound
}

// String prints the requirement with its outcome.
func (r Requirement) String() string {
	word, sign := "MISSED", "<="
	if r.Met() {
		word = "met"
	}
	if r.Least {
		sign = ">="
	}
	return fmt.Sprintf("%-6s  %s: %.4g, required %s %.4g", word, r.What, r.Got, sign, r.Bound)
}

// Report collects figures and the requirements on them.
type Report struct {
	Header []string // lines about date, machine and versions
	Rows   []Row
	Needs  []Requirement
}

// Median of the samples of a row; NaN if there is none.
func (r *Report) Median(section, subject string) float64 {
	for _, row := range r.Rows {
		if row.Section == section && row.Subject == subject {
			return Median(row.Samples)
		}
	}
	return math.NaN()
}

// Ratio of the medians of two subjects of a section.
func (r *Report) Ratio(section, subject, base string) float64 {
	return r.Median(section, subject) / r.Median(section, base)
}

// Missed returns the requirements that are not met.
func (r *Report) Missed() []Requirement {
	return slices.DeleteFunc(slices.Clone(r.Needs), Requirement.Met)
}

// String prints everything as a table: medians, the least and the greatest
// sample, and ratios.
func (r *Report) String() string {
	var b strings.Builder
	for _, h := range r.Header {
		fmt.Fprintln(&b, h)
	}
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	section := ""
	for _, row := range r.Rows {
		if row.Section != section {
			section = row.Section
			fmt.Fprintf(w, "\n%s\tmedian\tmin\tmax\tunit\tratio\tn\n", section)
		}
		ratio := ""
		if row.Base != "" {
			ratio = fmt.Sprintf("%.2f x %s", r.Ratio(section, row.Subject, row.Base), row.Base)
		}
		least, most := math.NaN(), math.NaN()
		if len(row.Samples) > 0 {
			least, most = slices.Min(row.Samples), slices.Max(row.Samples)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", row.Subject,
			figure(Median(row.Samples)), figure(least), figure(most), row.Unit, ratio, len(row.Samples), row.Note)
	}
	w.Flush() // to memory
	if len(r.Needs) > 0 {
		fmt.Fprintln(&b)
	}
	for _, n := range r.Needs {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// figure prints three significant digits and no exponent.
func figure(f float64) string {
	switch {
	case math.IsNaN(f):
		return "-"
	case math.Abs(f) >= 100:
		return fmt.Sprintf("%.0f", f)
	case math.Abs(f) >= 10:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.3g", f)
	}
}

// Median of samples, of an even number the mean of the middle two; NaN of
// none.
func Median(samples []float64) float64 {
	n := len(samples)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(samples))
	return (s[(n-1)/2] + s[n/2]) / 2
}
