package server_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// applied returns a system with an MCIS whose run is under way.
func applied(t *testing.T, d *servertest.Disk) (*servertest.System, *api.Client, api.Run) {
	t.Helper()
	s := servertest.Start(t, d)
	c := s.Client()
	if _, err := c.AddCloud(t.Context(), "aws", api.CloudSpec{Provider: "aws"}); err != nil {
		t.Fatal(err)
	}
	runs, err := c.Apply(t.Context(), api.SpecFile{File: "shop.yaml", YAML: spec})
	if err != nil || len(runs.Runs) != 1 {
		t.Fatalf("%+v, %v", runs, err)
	}
	return s, c, runs.Runs[0]
}

func TestWatch(t *testing.T) {
	s, c, run := applied(t, servertest.NewDisk(t))
	var got []string
	err := c.WatchMCIS(t.Context(), run, func(e api.Event) error {
		got = append(got, e.Step)
		if len(got) == 1 {
			s.MCIS.Publish(mcis.Event{MCIS: "other", Run: 1, Step: "vm"})
			s.MCIS.Publish(mcis.Event{MCIS: "shop", Run: run.Run, Step: "vm", Node: "shop-web-1"})
			s.MCIS.Finish("shop", mcis.PhaseReady)
		}
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[plan vm done]" {
		t.Errorf("events %v, %v", got, err)
	}
	st, err := c.MCIS(t.Context(), "shop")
	if err != nil || st.Phase != api.PhaseReady || st.Ready != 2 || len(st.Nodes) != 2 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestWatchStopsWhenToldTo(t *testing.T) {
	_, c, run := applied(t, servertest.NewDisk(t))
	enough := errors.New("enough")
	if err := c.WatchMCIS(t.Context(), run, func(api.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("err = %v", err)
	}
}

// cutter cuts every connection after its first event.
type cutter struct {
	http.RoundTripper
	cuts atomic.Int32
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && resp.Header.Get("Content-Type") == "text/event-stream" {
		resp.Body = &cutBody{ReadCloser: resp.Body, c: c}
	}
	return resp, err
}

type cutBody struct {
	io.ReadCloser
	c    *cutter
	seen bool
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.seen {
		b.c.cuts.Add(1)
		return 0, errors.New("cut")
	}
	n, err := b.ReadCloser.Read(p)
	for i := range n {
		b.seen = b.seen || p[i] == 'd' // of "data:" or "id:", not of a comment
	}
	return n, err
}

func TestWatchResumes(t *testing.T) {
	s, _, run := applied(t, servertest.NewDisk(t))
	for i := range 3 {
		s.MCIS.Publish(mcis.Event{MCIS: "shop", Run: run.Run, Step: "vm", Message: fmt.Sprint(i)})
	}
	cut := &cutter{RoundTripper: raw(t, s).Transport}
	c := s.Client(api.WithTransport(cut))
	seen := make(map[uint64]int)
	var steps []string
	err := c.WatchMCIS(t.Context(), run, func(e api.Event) error {
		seen[e.Number]++
		steps = append(steps, e.Step+e.Message)
		if e.Message == "2" {
			s.MCIS.Finish("shop", mcis.PhaseReady)
		}
		return nil
	})
	if err != nil || fmt.Sprint(steps) != "[planaccepted vm0 vm1 vm2 doneready]" {
		t.Errorf("events %v, %v", steps, err)
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("event %d came %d times", n, times)
		}
	}
	if cut.cuts.Load() == 0 {
		t.Error("nothing was cut: the test shows nothing")
	}
}

// A stream in which nothing happens must outlast the deadline of a write.
func TestWatchSurvivesSilence(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	s.Server.SetStreamTimeout(20 * time.Millisecond)
	c := s.Client(api.WithRetry(0))
	if _, err := c.AddCloud(t.Context(), "aws", api.CloudSpec{Provider: "aws"}); err != nil {
		t.Fatal(err)
	}
	runs, err := c.Apply(t.Context(), api.SpecFile{YAML: spec})
	if err != nil {
		t.Fatal(err)
	}
	finish := time.AfterFunc(300*time.Millisecond, func() { s.MCIS.Finish("shop", mcis.PhaseReady) })
	defer finish.Stop()
	if err := c.WatchMCIS(t.Context(), runs.Runs[0], func(api.Event) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestWatchAcrossARestart(t *testing.T) {
	disk := servertest.NewDisk(t)
	a, c, run := applied(t, disk)
	restarted := make(chan *servertest.System, 1)
	var steps []string
	err := c.WatchMCIS(t.Context(), run, func(e api.Event) error {
		steps = append(steps, e.Step)
		if len(steps) > 1 {
			return nil
		}
		go func() {
			a.Stop()
			b := servertest.Start(t, disk)
			b.MCIS.Auto() // the run goes on to its end after the restart
			if _, err := b.MCIS.Apply(t.Context(), mcis.Spec{Name: "shop", Groups: []mcis.Group{{Name: "web", Cloud: "aws", Count: 1}}}); err != nil {
				t.Error(err)
			}
			restarted <- b
		}()
		return nil
	})
	<-restarted
	if err != nil || steps[0] != "plan" || len(steps) < 2 {
		t.Errorf("events %v, %v", steps, err)
	}
}

func TestWatchOfADelete(t *testing.T) {
	s, c, run := applied(t, servertest.NewDisk(t))
	s.MCIS.Finish("shop", mcis.PhaseReady)
	if err := c.WatchMCIS(t.Context(), run, func(api.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	del, err := c.DeleteMCIS(t.Context(), "shop")
	if err != nil || del.Run != run.Run+1 {
		t.Fatalf("%+v, %v", del, err)
	}
	if _, err := c.Apply(t.Context(), api.SpecFile{YAML: spec}); status(err) != 409 {
		t.Errorf("apply while it is deleted: %v, want 409", err)
	}
	s.MCIS.Gone("shop")
	gone := false
	err = c.WatchMCIS(t.Context(), del, func(e api.Event) error {
		gone = e.Gone
		return nil
	})
	if err != nil || !gone {
		t.Errorf("gone = %v, %v", gone, err)
	}
}

// Who was away for too long is told where things stand, and goes on from there.
func TestWatchAfterTooMuch(t *testing.T) {
	s, c, run := applied(t, servertest.NewDisk(t))
	for i := range 1500 {
		s.MCIS.Publish(mcis.Event{MCIS: "shop", Run: run.Run, Step: "vm", Message: fmt.Sprint(i)})
	}
	last := ""
	eventually(t, "all events are numbered", func() bool {
		enough := errors.New("enough")
		err := c.WatchMCIS(t.Context(), api.Run{Name: "shop", Run: run.Run, After: 1}, func(e api.Event) error {
			if e.Step == "state" {
				last = e.Message
			}
			return enough
		})
		return errors.Is(err, enough)
	})
	if last != "0 of 2 nodes ready" {
		t.Errorf("state %q", last)
	}
	var first api.Event
	stop := errors.New("stop")
	var err error
	eventually(t, "the oldest events are dropped", func() bool {
		err = c.WatchMCIS(t.Context(), run, func(e api.Event) error {
			first = e
			return stop
		})
		return first.Step == "state"
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	s.MCIS.Finish("shop", mcis.PhaseReady)
	if err := c.WatchMCIS(t.Context(), api.Run{Name: "shop", Run: run.Run, After: first.Number}, func(api.Event) error { return nil }); err != nil {
		t.Error(err)
	}
}

// The last event of a delete is lost with the server: the next one only knows
// that nothing is left.
func TestWatchOfADeleteThatEndedUnseen(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	c := s.Client(api.WithRetry(0))
	eventually(t, "an event of the next server", func() bool {
		s.MCIS.Publish(mcis.Event{MCIS: "shop", Run: 4, Step: "delete"})
		err := c.WatchMCIS(t.Context(), api.Run{Name: "shop"}, func(api.Event) error { return nil })
		return status(err) != 404
	})
	gone := false
	err := c.WatchMCIS(t.Context(), api.Run{Name: "shop", Run: 4, After: 1}, func(e api.Event) error {
		gone = e.Gone
		return nil
	})
	if err != nil || !gone {
		t.Errorf("gone = %v, %v", gone, err)
	}
}

func TestExec(t *testing.T) {
	s, c, _ := applied(t, servertest.NewDisk(t))
	s.MCIS.Finish("shop", mcis.PhaseReady)
	s.Node.Set("shop-web-1", "10.66.0.2", true)
	run := func(req api.ExecRequest) (string, error) {
		out := make(map[string]string)
		err := c.Exec(t.Context(), "shop", req, func(o api.ExecOutput) error {
			text := string(o.Stdout) + string(o.Stderr) + o.Error
			if o.Exit != nil {
				text += fmt.Sprintf("exit %d", *o.Exit)
			}
			out[o.Node] += text
			return nil
		})
		return fmt.Sprint(out), err
	}
	tests := []struct {
		name string
		req  api.ExecRequest
		want string
	}{
		{"all nodes, one not in the mesh", api.ExecRequest{Command: []string{"echo", "hi"}}, "map[shop-web-1:hi\nexit 0 shop-web-2:the node is not in the mesh now]"},
		{"one node", api.ExecRequest{Nodes: []string{"shop-web-1"}, Command: []string{"fail"}}, "map[shop-web-1:went wrong on shop-web-1\nexit 3]"},
		{"no such program", api.ExecRequest{Nodes: []string{"shop-web-1"}, Command: []string{"x"}}, `map[shop-web-1:exec on shop-web-1: "x": no such program]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := run(tt.req); err != nil || got != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
	for name, req := range map[string]api.ExecRequest{
		"unknown node":  {Nodes: []string{"x"}, Command: []string{"echo"}},
		"unknown group": {Group: "x", Command: []string{"echo"}},
		"no command":    {Command: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := run(req); status(err) != 422 {
				t.Errorf("err = %v, want 422", err)
			}
		})
	}
}
