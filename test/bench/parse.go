package bench

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Transfer is what one TCP stream moved, as its receiver saw it.
type Transfer struct {
	Rate        float64 // in Gbit/s
	Bytes       float64
	Retransmits int // segments that the sender sent again
}

// ParseIperf reads what `iperf3 --json` prints.
func ParseIperf(b []byte) (Transfer, error) {
	var out struct {
		Error string
		End   struct {
			Received struct {
				Bytes         float64
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Sent struct{ Retransmits int } `json:"sum_sent"`
		}
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return Transfer{}, fmt.Errorf("iperf3: %w", err)
	}
	r := out.End.Received
	if out.Error != "" || r.BitsPerSecond == 0 {
		return Transfer{}, fmt.Errorf("iperf3: nothing received: %s", out.Error)
	}
	return Transfer{Rate: r.BitsPerSecond / 1e9, Bytes: r.Bytes, Retransmits: out.End.Sent.Retransmits}, nil
}

// ParsePing reads what `ping -n` prints, and returns the round trips in
// milliseconds.
func ParsePing(b []byte) ([]float64, error) {
	var out []float64
	for line := range strings.Lines(string(b)) {
		_, s, ok := strings.Cut(line, " time=")
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "ms")), 64)
		if err != nil {
			return nil, fmt.Errorf("ping: %w", err)
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("ping: no answer in %q", b)
	}
	return out, nil
}

// ParseStatus reads one figure in kB out of /proc/PID/status, such as VmRSS,
// and returns it in MB.
func ParseStatus(b []byte, name string) (float64, error) {
	m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(b)
	if m == nil {
		return 0, fmt.Errorf("status: no %s", name)
	}
	f, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		return 0, fmt.Errorf("status: %s: %w", name, err)
	}
	return f * 1024 / 1e6, nil
}

// ParseBenchmark reads the metrics of the lines that `go test -bench` prints
// of one benchmark, by unit.
func ParseBenchmark(b []byte, name string) map[string][]float64 {
	out := make(map[string][]float64)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || strings.TrimRight(f[0], "-0123456789") != name {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				out[f[i+1]] = append(out[f[i+1]], v)
			}
		}
	}
	return out
}

// ticks per second of the times in /proc, on all Linux machines that Go knows.
const ticks = 100

// ParseCPU reads /proc/PID/stat and returns the processor time of the process,
// its own and the kernel's for it, in seconds.
func ParseCPU(b []byte) (float64, error) {
	const user, kernel = 11, 12 // fields after the name in brackets
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) <= kernel {
		return 0, fmt.Errorf("stat: %d fields", len(f))
	}
	var sum float64
	for _, i := range []int{user, kernel} {
		t, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		sum += t / ticks
	}
	return sum, nil
}
