package bench

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ParseIperf reads what `iperf3 --json` prints, and returns the rate that the
// receiver saw in Gbit/s.
func ParseIperf(b []byte) (float64, error) {
	var out struct {
		Error string
		End   struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	if out.Error != "" || out.End.Received.BitsPerSecond == 0 {
		return 0, fmt.Errorf("iperf3: nothing received: %s", out.Error)
	}
	return out.End.Received.BitsPerSecond / 1e9, nil
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
