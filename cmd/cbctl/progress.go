package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cbnet-io/cbnet/api"
)

// errTimeout is the cause when --timeout is over.
var errTimeout = errors.New("gave up waiting (--timeout); the server goes on")

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
	defer p.finish()
	for _, r := range runs {
		if err := followOne(ctx, client, r, p); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	return nil
}

// followOne shows one run. The end of an earlier MCIS of the same name may come
// in late and look like the end of this run: the status decides.
func followOne(ctx context.Context, client *api.Client, run api.Run, p *progress) error {
	for {
		if err := client.WatchMCIS(ctx, run, p.show); err != nil {
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
// where every node is.
type progress struct {
	w     io.Writer
	live  bool
	start time.Time
	nodes map[string]string // step by node
	width int               // of the live line on the screen
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, live: ok && term.IsTerminal(int(f.Fd())), start: time.Now(), nodes: make(map[string]string)}
}

// show prints one event.
func (p *progress) show(e api.Event) error {
	p.erase()
	who := e.MCIS
	switch {
	case e.Node != "":
		who = e.Node
	case e.Region != "":
		who = e.Cloud + "/" + e.Region
	}
	fmt.Fprintf(p.w, "%7s  %-24s %-8s %s\n", time.Since(p.start).Round(100*time.Millisecond), oneLine(who), oneLine(e.Step), oneLine(e.Message))
	if e.Node != "" {
		p.nodes[e.Node] = e.Step
	}
	p.draw(e.Phase)
	return nil
}

// draw writes the live line.
func (p *progress) draw(phase string) {
	if !p.live {
		return
	}
	count := make(map[string]int)
	for _, step := range p.nodes {
		count[step]++
	}
	parts := []string{phase}
	for _, step := range []string{"network", "vm", "join", "delete"} {
		if count[step] > 0 {
			parts = append(parts, fmt.Sprintf("%d at %s", count[step], step))
		}
	}
	line := strings.Join(parts, ", ")
	p.width = len(line)
	fmt.Fprint(p.w, line)
}

// erase removes the live line.
func (p *progress) erase() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *progress) finish() { p.erase() }
