package bench_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/test/bench"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name    string
		samples []float64
		want    float64
	}{
		{"one", []float64{3}, 3},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 2, 9}, 3},
		{"none", nil, math.NaN()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := bench.Median(tt.samples); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	r := bench.Report{Header: []string{"a machine"}, Rows: []bench.Row{
		{Section: "TCP", Subject: "bare", Unit: "Gbit/s", Samples: []float64{2, 1, 3}},
		{Section: "TCP", Subject: "cbnetd", Unit: "Gbit/s", Samples: []float64{1.5, 1.9, 1.7}, Base: "bare"},
		{Section: "RSS", Subject: "cbnetd", Unit: "MB", Note: "simulated"},
	}}
	r.Needs = []bench.Requirement{
		{What: "cbnetd to bare", Got: r.Ratio("TCP", "cbnetd", "bare"), Bound: 0.95, Least: true},
		{What: "RSS", Got: r.Median("RSS", "cbnetd"), Bound: 30},
		{What: "other", Got: 29, Bound: 30},
	}
	got := r.String()
	for _, line := range []string{"a machine\n", "  bare    2       1    3    Gbit/s", "1.7     1.5  1.9  Gbit/s  0.85 x bare", "-    -    MB", "simulated",
		"MISSED  cbnetd to bare: 0.85, required >= 0.95", "MISSED  RSS: NaN, required <= 30", "met     other: 29, required <= 30"} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
	if n := len(r.Missed()); n != 2 {
		t.Errorf("%d requirements missed, want 2", n)
	}
}

func TestParse(t *testing.T) {
	if got, err := bench.ParseIperf([]byte(`{"end": {"sum_received": {"bytes": 7, "bits_per_second": 2500000000}, "sum_sent": {"retransmits": 3}}}`)); err != nil || got != (bench.Transfer{Rate: 2.5, Bytes: 7, Retransmits: 3}) {
		t.Errorf("iperf3: %+v, %v; want a rate of 2.5, 7 bytes, 3 retransmits", got, err)
	}
	for _, bad := range []string{"", "{}", `{"error": "unable to connect"}`, "no"} {
		if got, err := bench.ParseIperf([]byte(bad)); err == nil {
			t.Errorf("iperf3 %q: %v, want an error", bad, got)
		}
	}
	const ping = "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.061 ms\n64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=1.5 ms\n"
	got, err := bench.ParsePing([]byte(ping))
	if d := cmp.Diff([]float64{0.061, 1.5}, got); d != "" || err != nil {
		t.Errorf("ping: %v (-want +got):\n%s", err, d)
	}
	if _, err := bench.ParsePing([]byte("0 received")); err == nil {
		t.Error("ping without answers is no error")
	}
	if got, err := bench.ParseStatus([]byte("VmPeak:\t  9 kB\nVmHWM:\t   1000 kB\nVmRSS:\t 500 kB\n"), "VmHWM"); err != nil || got != 1.024 {
		t.Errorf("status: %v, %v; want 1.024", got, err)
	}
	if _, err := bench.ParseStatus(nil, "VmHWM"); err == nil {
		t.Error("status without the figure is no error")
	}
	if got, err := bench.ParseCPU([]byte("12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0")); err != nil || got != 2 {
		t.Errorf("stat: %v, %v; want 2", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x 50"} {
		if got, err := bench.ParseCPU([]byte(bad)); err == nil {
			t.Errorf("stat %q: %v, want an error", bad, got)
		}
	}
	const run = "cpu: x\nBenchmarkThousandPeers-2   \t 3\t 220 ns/op\t 2.0 goroutines/peer\nBenchmarkOther-2 3 5 ns/op\nPASS\n"
	if d := cmp.Diff(map[string][]float64{"ns/op": {220}, "goroutines/peer": {2}}, bench.ParseBenchmark([]byte(run), "BenchmarkThousandPeers")); d != "" {
		t.Errorf("benchmark (-want +got):\n%s", d)
	}
}
