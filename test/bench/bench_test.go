package bench_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/test/bench"
)

var (
	flagParts  = flag.String("parts", "", "what to measure, with commas: throughput, latency, startup, memory, idle, peers, simulated, or all")
	flagRounds = flag.Int("rounds", 5, "`N` rounds of each measurement; the medians count")
	flagTime   = flag.Duration("time", 5*time.Second, "`LENGTH` of one TCP stream of the throughput part")
	flagBytes  = flag.Int64("bytes", 10e9, "`N` bytes of one transfer of the memory part")
	flagNodes  = flag.Int("nodes", 51, "`N` daemons of the idle part")
	flagSim    = flag.Int("sim", 100, "`N` members of the simulated part")
	flagBin    = flag.String("bin", "../../bin", "`DIR` with cbnetd and cbctl")
	flagTools  = flag.String("tools", "../../.tools", "`DIR` with wireguard-go and nebula-VERSION/")
	flagOnly   = flag.String("only", "", "`NAMES` of the programs to compare, with | between; empty: all")
	flagMore   = newVariants()
	flagNotes  = flag.String("notes", "", "`TEXT` for the report's head, such as what else the machine does")
)

// variants are further cbnetd to compare: a program, after settings of its
// environment if wanted.
type variants []string

// String implements flag.Value.
func (v *variants) String() string { return strings.Join(*v, "; ") }

// Set implements flag.Value.
func (v *variants) Set(s string) error {
	*v = append(*v, s)
	return nil
}

func newVariants() *variants {
	v := &variants{}
	flag.Var(v, "variant", "`COMMAND` of another cbnetd to compare, such as \"GOGC=400 /tmp/cbnetd\"; may be repeated")
	return v
}

// parts are in the order of their running. Each adds to the report.
var parts = []struct {
	name string
	run  func(*testing.T, *bench.Report)
}{
	{"throughput", measureThroughput},
	{"latency", measureLatency},
	{"startup", measureStartup},
	{"memory", measureMemory},
	{"idle", measureIdle},
	{"peers", measurePeers},
	{"simulated", measureSimulated},
}

// TestBench measures what -parts names, prints the report, and fails if a
// required figure is missed.
func TestBench(t *testing.T) {
	if *flagParts == "" {
		t.Skip("measures minutes long: `make bench`, or -parts")
	}
	want := strings.Split(*flagParts, ",")
	for _, w := range want {
		if w != "all" && !slices.ContainsFunc(parts, func(p struct {
			name string
			run  func(*testing.T, *bench.Report)
		}) bool {
			return p.name == w
		}) {
			t.Fatalf("-parts: %q is no part", w)
		}
	}
	r := &bench.Report{Header: header(t)}
	for _, p := range parts {
		if slices.Contains(want, p.name) || slices.Contains(want, "all") {
			t.Run(p.name, func(t *testing.T) { p.run(t, r) })
		}
	}
	fmt.Fprintf(os.Stdout, "\n%s\n", r)
	for _, n := range r.Missed() {
		t.Errorf("%s", n)
	}
}

// header says when, where and with what was measured.
func header(t *testing.T) []string {
	t.Helper()
	var u unix.Utsname
	var s unix.Sysinfo_t
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sysinfo(&s); err != nil {
		t.Fatal(err)
	}
	load := float64(s.Loads[0]) / (1 << 16)
	lines := []string{
		fmt.Sprintf("date      %s", time.Now().UTC().Format("2006-01-02 15:04 MST")),
		fmt.Sprintf("machine   %d cores (%s), %.0f GiB, Linux %s, load %.2f at the start; both ends of each tunnel on it",
			runtime.NumCPU(), cpuModel(), float64(s.Totalram)*float64(s.Unit)/(1<<30), unix.ByteSliceToString(u.Release[:]), load),
		fmt.Sprintf("versions  %s; %s", version(tool(t, *flagBin, "cbnetd"), "--version"), version("iperf3", "--version")),
	}
	for _, c := range contenders(t) {
		lines = append(lines, fmt.Sprintf("          %s: %s", c.name, c.version))
	}
	if *flagNotes != "" {
		lines = append(lines, "notes     "+*flagNotes)
	}
	return lines
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err.Error()
	}
	for line := range bytes.Lines(b) {
		if name, ok := bytes.CutPrefix(line, []byte("model name\t: ")); ok {
			return string(bytes.TrimSpace(name))
		}
	}
	return runtime.GOARCH
}

// version is the first line of what a program says of itself.
func version(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && line == "" {
		return err.Error()
	}
	return line
}

// tool is the path of a program that has to be there.
func tool(t *testing.T, dir, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: `make bench` makes it", err)
	}
	return path
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
