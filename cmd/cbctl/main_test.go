package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// TestMain lets the scripts run this binary as cbctl.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cbctl": main})
}

// world is what the scripts of one file share: a control plane in the test's
// process, whose disk outlives it.
type world struct {
	disk *servertest.Disk
	sys  *servertest.System
}

type worldKey struct{}

// TestScripts runs testdata/*.txtar. Beside the commands of testscript they have
//
//	server auto          every run ends well at once from now on
//	server finish NAME   the run of an MCIS ends well, or else the next one
//	server fail NAME     the run of an MCIS ends badly, or else the next one
//	server up NODE IP    a node is in the mesh
//	server stop|start    the control plane
//	server restart       the control plane is away for a moment, soon
//	server make ACCOUNT REGION UID   a network and a machine of an MCIS are in a cloud
//	server quotas ACCOUNT            a cloud tells quotas
//	server break ACCOUNT REGION      a region refuses every call, from now on
//	server refuse ACCOUNT            an account's credentials are wrong, from now on
//	server keep ACCOUNT              a cloud deletes nothing, from now on
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			w := &world{disk: servertest.NewDisk(t)}
			w.sys = servertest.Start(t, w.disk)
			data, err := w.sys.Context.Marshal()
			if err != nil {
				return err
			}
			env.Setenv("GORACE", "atexit_sleep_ms=0") // with -race a program ends a second late otherwise
			context := filepath.Join(env.WorkDir, "admin.context")
			env.Setenv(contextVar, context)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("URL", w.sys.Context.URL)
			env.Values[worldKey{}] = w
			return os.WriteFile(context, data, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": func(ts *testscript.TestScript, _ bool, args []string) { serverCommand(t, ts, args) },
		},
	})
}

func serverCommand(t *testing.T, ts *testscript.TestScript, args []string) {
	w, ok := ts.Value(worldKey{}).(*world)
	if !ok || len(args) == 0 {
		ts.Fatalf("usage: server auto|finish|fail|up|stop|start|restart")
	}
	sys := w.sys
	switch args[0] {
	case "auto":
		sys.MCIS.Auto()
	case "finish", "fail":
		phase := mcis.PhaseReady
		if args[0] == "fail" {
			phase = mcis.PhaseFailed
		}
		if !finish(t, sys, args[1], phase) {
			go func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for !finish(t, sys, args[1], phase) {
					<-tick.C
				}
			}()
		}
	case "up":
		sys.Node.Set(args[1], args[2], true)
	case "stop":
		sys.Stop()
	case "start":
		w.sys = servertest.Start(t, w.disk)
	case "restart":
		sys.Stop()
		go func() {
			<-time.After(time.Second)
			w.sys = servertest.Start(t, w.disk)
		}()
	default:
		cloudCommand(t, ts, w, args)
	}
}

// cloudCommand changes a cloud in memory.
func cloudCommand(t *testing.T, ts *testscript.TestScript, w *world, args []string) {
	if len(args) < 2 {
		ts.Fatalf("server %s: unknown, or an argument is missing", args[0])
	}
	c := w.disk.Cloud(args[1])
	refused := func(op string) error {
		return &cloud.APIError{Provider: "fake", Op: op, Code: "UnauthorizedOperation", Message: "not for you", RequestID: "req-7", Class: cloud.ErrAuth}
	}
	switch args[0] {
	case "make":
		w.sys.Make(t, c, args[2], args[3])
	case "quotas":
		c.Be(mcistest.Traits{Quotas: []cloud.Quota{{Name: "CPUS", Used: 2, Limit: 8}, {Name: "ADDRESSES", Used: 1, Limit: -1}}})
	case "break":
		c.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{args[2]: refused("Describe")} })
	case "refuse":
		c.Lock(func(f *mcistest.Faults) { f.Refused = true })
	case "keep":
		c.Lock(func(f *mcistest.Faults) {
			f.OnCall = func(op string, _ bool) (time.Duration, error) {
				if op == "delete" {
					return 0, refused("Delete")
				}
				return 0, nil
			}
		})
	default:
		ts.Fatalf("server %s: unknown", args[0])
	}
}

// finish ends a run, if there is one.
func finish(t *testing.T, sys *servertest.System, name string, phase mcis.Phase) bool {
	st, err := sys.MCIS.Status(t.Context(), name)
	if t.Context().Err() != nil {
		return true
	}
	if err != nil || st.Phase.Settled() {
		return false
	}
	sys.MCIS.Publish(mcis.Event{MCIS: name, Run: st.Run, Phase: st.Phase, Node: name + "-web-1", Step: "vm", Message: "created"})
	sys.MCIS.Finish(name, phase)
	return true
}

// TestStartsFast: the command line is used in loops and completions.
func TestStartsFast(t *testing.T) {
	best := time.Hour
	for range 5 {
		start := time.Now()
		cmd := newCommand()
		cmd.SetArgs([]string{"--help"})
		cmd.SetOut(&strings.Builder{})
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 50*time.Millisecond {
		t.Errorf("the tree of commands takes %s", best)
	}
}

func TestSkew(t *testing.T) {
	tests := []struct {
		name string
		in   versions
		want int
	}{
		{"no server", versions{Client: "v1"}, 0},
		{"all the same", versions{Client: "v1", Server: "v1", Nodes: []api.NodeVersion{{Name: "a", Version: "v1"}}}, 0},
		{"an unknown node", versions{Client: "v1", Server: "v1", Nodes: []api.NodeVersion{{Name: "a", Error: "away"}}}, 0},
		{"client and node", versions{Client: "v2", Server: "v1", Nodes: []api.NodeVersion{{Name: "a", Version: "v0"}}}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := skew(tt.in); len(got) != tt.want {
				t.Errorf("got %q, want %d warnings", got, tt.want)
			}
		})
	}
}
