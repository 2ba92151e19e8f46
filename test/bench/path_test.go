package bench_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/bench"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// rig is a pair with all contenders running on it.
type rig struct {
	*pair
	all  []*contender
	proc map[*contender]*[2]*netlab.Process
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{pair: newPair(t), all: contenders(t), proc: make(map[*contender]*[2]*netlab.Process)}
	for _, c := range r.all {
		c.prepare(r.pair)
		if c.start != nil {
			r.proc[c] = &[2]*netlab.Process{c.start(r.pair, 0), c.start(r.pair, 1)}
		}
	}
	for _, c := range r.all {
		r.reach(0, c.addr[1])
	}
	return r
}

// rounds measures each contender once in each round, and begins each round with
// another one.
func (r *rig) rounds(only func(*contender) bool, measure func(*contender) float64) map[*contender][]float64 {
	out := make(map[*contender][]float64)
	for round := range *flagRounds {
		for i := range r.all {
			c := r.all[(i+round)%len(r.all)]
			if only(c) {
				out[c] = append(out[c], measure(c))
			}
		}
	}
	return out
}

func any(*contender) bool        { return true }
func programs(c *contender) bool { return c.start != nil }

// compared are those that requirements name: others would take an hour.
func compared(c *contender) bool {
	return c.name == bareName || strings.HasPrefix(c.name, cbnetName)
}

// rows adds a row for each contender that was measured.
func (r *rig) rows(to *bench.Report, section, unit, base string, samples map[*contender][]float64) {
	for _, c := range r.all {
		if s, ok := samples[c]; ok {
			row := bench.Row{Section: section, Subject: c.name, Unit: unit, Samples: s}
			if c.name != base {
				row.Base = base
			}
			to.Rows = append(to.Rows, row)
		}
	}
}

const (
	throughputSection = "TCP throughput, one stream"
	peakSection       = "memory peak in a long transfer"
	rateSection       = "TCP throughput of that transfer"
)

func measureThroughput(t *testing.T, to *bench.Report) {
	r := newRig(t)
	seconds, cost := fmt.Sprint(flagTime.Seconds()), make(map[*contender][]float64)
	samples := r.rounds(any, func(c *contender) float64 {
		before := r.cpu(c)
		got := r.iperf(c.addr[1], "--time", seconds)
		if programs(c) {
			cost[c] = append(cost[c], (r.cpu(c)-before)/got.Bytes*1e9)
		}
		return got.Rate
	})
	r.rows(to, throughputSection, "Gbit/s", bareName, samples)
	r.rows(to, "processor time for it, both ends", "s/GB", bareName, cost)
	to.Needs = append(to.Needs, bench.Requirement{What: "TCP throughput, cbnetd to bare wireguard-go",
		Got: to.Ratio(throughputSection, cbnetName, bareName), Bound: 0.95, Least: true})
}

func measureLatency(t *testing.T, to *bench.Report) {
	const section = "round trip, idle"
	r := newRig(t)
	samples := r.rounds(any, func(c *contender) float64 {
		out, err := r.run(0, "ping", "-n", "-c", "300", "-i", "0.003", c.addr[1])
		if err != nil {
			t.Fatalf("ping %s: %v\n%s", c.name, err, out)
		}
		rtts, err := bench.ParsePing(out)
		must(t, err)
		return bench.Median(rtts)
	})
	r.rows(to, section, "ms", bareName, samples)
	for i := range to.Rows {
		if row := &to.Rows[i]; row.Section == section && row.Subject != rawName {
			row.Note = fmt.Sprintf("adds %.3f ms", to.Median(section, row.Subject)-to.Median(section, rawName))
		}
	}
}

// measureStartup ends b's program and starts it again, until its first ping to
// a is answered.
func measureStartup(t *testing.T, to *bench.Report) {
	r := newRig(t)
	samples := r.rounds(programs, func(c *contender) float64 {
		must(t, stop(r.proc[c][1]))
		begin := time.Now()
		r.proc[c][1] = c.start(r.pair, 1)
		r.reach(1, c.addr[0])
		return float64(time.Since(begin)) / float64(time.Millisecond)
	})
	r.rows(to, "start to first ping", "ms", bareName, samples)
}

// stop ends a daemon as systemd does. How it says so is its own affair.
func stop(p *netlab.Process) error {
	_ = p.Stop()
	select {
	case <-p.Done():
		return nil
	default:
		return fmt.Errorf("%s does not end", p.Name)
	}
}

// measureMemory transfers much from a to b and looks at the peaks of both ends.
func measureMemory(t *testing.T, to *bench.Report) {
	r := newRig(t)
	rates := make(map[*contender][]float64)
	peaks := [2]map[*contender][]float64{{}, {}}
	r.rounds(compared, func(c *contender) float64 {
		for _, p := range r.proc[c] {
			must(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID()), []byte("5"), 0)) // VmHWM = VmRSS
		}
		rates[c] = append(rates[c], r.iperf(c.addr[1], "--bytes", fmt.Sprint(*flagBytes)).Rate)
		for i, p := range r.proc[c] {
			peaks[i][c] = append(peaks[i][c], status(t, p, "VmHWM"))
		}
		return 0
	})
	r.rows(to, rateSection, "Gbit/s", bareName, rates)
	for i, end := range []string{", sender", ", receiver"} {
		r.rows(to, peakSection+end, "MB", bareName, peaks[i])
		to.Needs = append(to.Needs, bench.Requirement{What: fmt.Sprintf("MB of peak RSS in a transfer of %.0f GB%s", float64(*flagBytes)/1e9, end),
			Got: to.Median(peakSection+end, cbnetName), Bound: 100})
	}
	to.Needs = append(to.Needs, bench.Requirement{What: "throughput of that transfer, cbnetd to bare wireguard-go",
		Got: to.Ratio(rateSection, cbnetName, bareName), Bound: 0.9, Least: true})
}

// cpu is the processor time in seconds of both processes of a contender.
func (r *rig) cpu(c *contender) (sum float64) {
	r.t.Helper()
	if c.start == nil {
		return 0
	}
	for _, p := range r.proc[c] {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		must(r.t, err)
		f, err := bench.ParseCPU(b)
		must(r.t, err)
		sum += f
	}
	return sum
}

// status reads a figure of a process in MB.
func status(t *testing.T, p *netlab.Process, name string) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	must(t, err)
	f, err := bench.ParseStatus(b, name)
	must(t, err)
	return f
}
