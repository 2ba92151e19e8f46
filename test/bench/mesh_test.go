package bench_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/test/bench"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// How long a mesh rests before it is measured, and then is: by default several of
// memberlist's push/pull rounds of 30 s.
var flagSettle = flag.Duration("settle", 60*time.Second, "`LENGTH` of the rest before a mesh is measured, and of the measurement")

// daemon is one of many on a LAN.
type daemon struct {
	host   *netlab.Host
	proc   *netlab.Process
	socket string
}

// measureIdle lets real daemons form a mesh on one LAN, and looks at them when
// nothing is going on.
func measureIdle(t *testing.T, to *bench.Report) {
	all := newDaemons(t, *flagNodes)
	began := time.Now()
	limit, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, d := range all {
		must(t, d.complete(limit, len(all)-1))
	}
	peers := fmt.Sprintf("%d daemons on one LAN", len(all))
	to.Rows = append(to.Rows, bench.Row{Section: "mesh of real daemons", Subject: "all know all, after the last start", Unit: "s",
		Samples: []float64{time.Since(began).Seconds()}, Note: peers})
	rest(t, *flagSettle)
	inside, wire := make([]float64, len(all)), make([]float64, len(all))
	count := func(sign float64) {
		for i, d := range all {
			inside[i] += sign * sent(t, d.proc, "cbn0") / flagSettle.Seconds()
			wire[i] += sign * sent(t, d.proc, "eth0") / flagSettle.Seconds()
		}
	}
	count(-1)
	rest(t, *flagSettle)
	count(1)
	var rss []float64
	for _, d := range all {
		rss = append(rss, status(t, d.proc, "VmRSS"))
	}
	idle := fmt.Sprintf("idle daemon, %d peers", len(all)-1)
	to.Rows = append(to.Rows,
		bench.Row{Section: "mesh of real daemons", Subject: idle + ": RSS", Unit: "MB", Samples: rss, Note: "each daemon a sample"},
		bench.Row{Section: "mesh of real daemons", Subject: "gossip sent per node, in the tunnel", Unit: "B/s", Samples: inside, Note: peers},
		bench.Row{Section: "mesh of real daemons", Subject: "sent per node on the wire", Unit: "B/s", Samples: wire, Note: peers + "; with WireGuard's share and keepalives"})
	to.Needs = append(to.Needs, bench.Requirement{What: "MB of RSS of an " + idle, Got: bench.Median(rss), Bound: 30})
}

func newDaemons(t *testing.T, n int) []*daemon {
	t.Helper()
	program, ctl, dir := tool(t, *flagBin, "cbnetd"), tool(t, *flagBin, "cbctl"), t.TempDir()
	authority(t, ctl, dir)
	site := netlab.New(t, netlab.Options{}).Site("lan", netlab.SiteOptions{})
	all := make([]*daemon, n)
	for i := range all {
		all[i] = &daemon{host: site.Host(fmt.Sprint("n", i)), socket: filepath.Join(dir, fmt.Sprint(i, ".sock"))}
	}
	introducer := all[0].host.Addr().String() + ":7950"
	for i, d := range all {
		role := []string{"--introducer", introducer}
		args := []string{program, "--datapath", "userspace", "--bundle", filepath.Join(dir, d.host.Name+".bundle"),
			"--state", filepath.Join(dir, fmt.Sprint(i, ".state")), "--socket", d.socket}
		if i == 0 {
			role, args = []string{"--role", "introducer"}, append(args, "--introduce", ":7950")
		}
		issue(t, ctl, dir, fmt.Sprintf("10.66.%d.%d", (i+1)>>8, (i+1)&255), append([]string{"--node", d.host.Name}, role...)...)
		d.proc = d.host.Start("cbnetd", args...)
	}
	return all
}

// complete waits until the daemon has as many peers up.
func (d *daemon) complete(ctx context.Context, peers int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := control.Dial(d.socket).Peers(ctx)
		up := 0
		for _, p := range list {
			if p.State == "up" {
				up++
			}
		}
		if err == nil && up == peers {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has %d of %d peers up: %w", d.host.Name, up, peers, err)
		case <-tick.C:
		}
	}
}

// rest lets real time pass.
func rest(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("ended early")
	}
}

// sent is how many bytes left by an interface of the process's network.
func sent(t *testing.T, p *netlab.Process, link string) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", p.PID()))
	must(t, err)
	for line := range bytes.Lines(b) {
		name, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if f := bytes.Fields(rest); ok && string(name) == link && len(f) == 16 {
			var n float64
			if _, err := fmt.Sscan(string(f[8]), &n); err == nil {
				return n
			}
		}
	}
	t.Fatalf("no interface %s in\n%s", link, b)
	return 0
}

// measurePeers takes the figures of the Go benchmark of the data plane.
func measurePeers(t *testing.T, to *bench.Report) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-run", "^$", "-bench", "^BenchmarkThousandPeers$", "-benchtime", "1x",
		"-count", fmt.Sprint(*flagRounds), "github.com/cbnet-io/cbnet/overlay")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go test: %v\n%s", err, out)
	}
	got := bench.ParseBenchmark(out, "BenchmarkThousandPeers")
	for _, unit := range []string{"heap-B/peer", "stack-B/peer", "goroutines/peer"} {
		if len(got[unit]) == 0 {
			t.Fatalf("no %s in\n%s", unit, out)
		}
		to.Rows = append(to.Rows, bench.Row{Section: "1,000 configured peers, userspace", Subject: unit, Unit: unit, Samples: got[unit], Note: "wireguard-go's share included"})
	}
}
