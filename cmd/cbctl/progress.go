package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cbnet-io/cbnet/api"
)

// Causes of a wait that ends before the run.
var (
	errTimeout     = errors.New("gave up waiting (--timeout)")
	errInterrupted = errors.New("stopped waiting")
)

// liveEvery is how often the live line is written anew.
const liveEvery = time.Second

// follow shows the progress of runs until all are done. Several run at the same
// time on the server; they are shown one after the other.
func follow(cmd *cobra.Command, client *api.Client, runs []api.Run, w *waiting) error {
	ctx := cmd.Context()
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.timeout, errTimeout)
		defer cancel()
	}
	p := newProgress(cmd.ErrOrStderr())
	for _, r := range runs {
		err := p.follow(ctx, client, r)
		if ctx.Err() == nil && err != nil {
			return err
		}
		if ctx.Err() != nil {
			cause := errInterrupted
			if errors.Is(context.Cause(ctx), errTimeout) {
				cause = errTimeout
			}
			return fmt.Errorf("mcis %s: %w; the server goes on: see cbctl mcis status %s", r.Name, cause, r.Name)
		}
	}
	return nil
}

// followOne shows one run. The end of an earlier MCIS of the same name may come
// in late and look like the end of this run: the status decides.
func followOne(ctx context.Context, client *api.Client, run api.Run, show func(api.Event) error) error {
	for {
		if err := client.WatchMCIS(ctx, run, show); err != nil {
			return err
		}
		st, err := client.MCIS(ctx, run.Name)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		switch st.Phase {
		case api.PhasePlanning, api.PhaseApplying, api.PhaseDeleting:
			run = api.Run{Name: st.Name, Run: st.Run} // from where things stand now
		default:
			return nil
		}
	}
}

// progress prints events: plain lines, and on a terminal a last line that says
// how far it is and moves while nothing happens.
type progress struct {
	w     io.Writer
	live  bool
	start time.Time

	mu      sync.Mutex // guards w and the fields below
	columns int        // of the terminal
	drawn   bool       // the live line is on the screen
	stale   bool       // events came since the status was asked for
	status  api.MCIS
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, live: isTerminal(w), start: time.Now(), columns: 80}
}

// eraseLine removes the line that the cursor is on.
const eraseLine = "\r\x1b[K"

// isTerminal reports whether w is a terminal that can erase a line.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// follow shows a run and keeps the live line going until it is done.
func (p *progress) follow(ctx context.Context, client *api.Client, run api.Run) error {
	if !p.live {
		return followOne(ctx, client, run, p.show)
	}
	p.status, p.stale = api.MCIS{Name: run.Name}, true
	ctx, cancel := context.WithCancel(ctx)
	var line sync.WaitGroup
	line.Go(func() { p.keepLine(ctx, client) })
	err := followOne(ctx, client, run, p.show)
	cancel()
	line.Wait()
	return err
}

// keepLine writes the live line every second until ctx ends, then removes it.
func (p *progress) keepLine(ctx context.Context, client *api.Client) {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		p.refresh(ctx, client)
		select {
		case <-ctx.Done():
			p.mu.Lock()
			defer p.mu.Unlock()
			p.erase()
			return
		case <-tick.C:
		}
	}
}

// refresh asks how things stand if anything has happened, and draws.
func (p *progress) refresh(ctx context.Context, client *api.Client) {
	p.mu.Lock()
	stale, name := p.stale, p.status.Name
	p.stale = false
	p.mu.Unlock()
	var st api.MCIS
	if stale {
		var err error
		if st, err = client.MCIS(ctx, name); err != nil {
			stale = false // the watch tells of what is wrong
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if stale {
		p.status = st
	}
	if f, ok := p.w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			p.columns = n
		}
	}
	p.draw()
}

// show prints one event.
func (p *progress) show(e api.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	who := e.MCIS
	switch {
	case e.Node != "":
		who = e.Node
	case e.Region != "":
		who = e.Cloud + "/" + e.Region
	}
	_, err := fmt.Fprintf(p.w, "%6s  %-18s %-7s %s\n", clock(time.Since(p.start)), oneLine(who), oneLine(e.Step), oneLine(e.Message))
	p.stale = true
	p.draw()
	return err
}

// clock prints a duration with at most six characters: 0.4s, 12s, 3m07s.
func clock(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Truncate(time.Second).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// draw writes the live line, cut to the terminal: one that wraps cannot be
// removed.
func (p *progress) draw() {
	if !p.live || p.status.Phase == "" {
		return
	}
	p.erase()
	line := []rune(fmt.Sprintf("%6s  %s", clock(time.Since(p.start)), liveLine(p.status)))
	fmt.Fprint(p.w, string(line[:min(len(line), p.columns-1)]))
	p.drawn = true
}

// liveLine says how far an MCIS is, and what is waited for.
func liveLine(st api.MCIS) string {
	text := fmt.Sprintf("%s: %s, %d of %d nodes ready", st.Name, st.Phase, st.Ready, st.Desired)
	if st.Phase == api.PhaseDeleting {
		text = fmt.Sprintf("%s: %s, %d nodes left", st.Name, st.Phase, len(st.Nodes))
	}
	var order []string
	waits := make(map[string][]string)
	for _, n := range st.Nodes {
		if n.Phase == "ready" {
			continue
		}
		if waits[n.Phase] == nil {
			order = append(order, n.Phase)
		}
		waits[n.Phase] = append(waits[n.Phase], n.Name)
	}
	for _, phase := range order {
		text += "; " + phase + ": " + strings.Join(waits[phase], " ")
	}
	return oneLine(text)
}

// erase removes the live line.
func (p *progress) erase() {
	if p.drawn {
		fmt.Fprint(p.w, eraseLine)
		p.drawn = false
	}
}
