package server

import (
	"context"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
)

const (
	// keptEvents is how many events of one MCIS can be resumed from. A client
	// that comes later is told where things stand instead.
	keptEvents = 1024
	// keptMCIS is of how many MCIS events are kept: the oldest goes first.
	keptMCIS = 256
	// stepDone is the step of the last event of a run.
	stepDone = "done"
	// stepState is the step of an event that tells where things stand.
	stepState = "state"
)

// history numbers the events of all MCIS and keeps the latest, so that a watch
// can be resumed. Numbers start at the time of the start in microseconds: they
// rise across restarts too.
type history struct {
	mu     sync.Mutex // guards the fields below
	last   uint64     // number of the latest event
	start  uint64     // numbers up to this one belong to an earlier process
	logs   map[string]*eventLog
	wakers map[chan struct{}]string // 1-deep, of each reader; with the MCIS it reads
}

// eventLog is the latest events of one MCIS.
type eventLog struct {
	events []api.Event
	lost   uint64 // number of the latest event that was dropped
}

func newHistory(now time.Time) *history {
	n := uint64(now.UnixMicro())
	return &history{last: n, start: n, logs: make(map[string]*eventLog), wakers: make(map[chan struct{}]string)}
}

// run takes in events until the channel is closed.
func (h *history) run(events <-chan mcis.Event) {
	for e := range events {
		h.add(wireEvent(e))
	}
}

// add numbers an event, keeps it and wakes the readers.
func (h *history) add(e api.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last+1, uint64(time.Now().UnixMicro()))
	e.Number = h.last
	l := h.logs[e.MCIS]
	if l == nil {
		h.forgetLocked()
		l = &eventLog{}
		h.logs[e.MCIS] = l
	}
	if len(l.events) >= keptEvents {
		half := len(l.events) / 2
		l.lost = l.events[half-1].Number
		l.events = append([]api.Event(nil), l.events[half:]...)
	}
	l.events = append(l.events, e)
	for ch, name := range h.wakers {
		if name != e.MCIS {
			continue
		}
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// forgetLocked makes room for one more MCIS.
func (h *history) forgetLocked() {
	if len(h.logs) < keptMCIS {
		return
	}
	oldest, number := "", h.last+1
	for name, l := range h.logs {
		if n := l.events[len(l.events)-1].Number; n < number {
			oldest, number = name, n
		}
	}
	// Who still asks for what is forgotten must be told where things stand.
	h.start = max(h.start, number)
	delete(h.logs, oldest)
}

// raise makes the next events follow the number that a client has seen, should
// this machine's clock have been set back since. A number from the far future is
// no event's.
func (h *history) raise(after uint64) {
	const year = uint64(365 * 24 * time.Hour / time.Microsecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if after > h.last && after-h.last < year {
		h.last, h.start = after, after
	}
}

// now returns the number of the latest event.
func (h *history) now() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// since returns the events of an MCIS after a number. It reports false when
// some of them are not kept.
func (h *history) since(name string, after uint64) ([]api.Event, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	complete := after >= h.start
	l := h.logs[name]
	if l == nil {
		return nil, complete
	}
	var out []api.Event
	for _, e := range l.events {
		if e.Number > after {
			out = append(out, e)
		}
	}
	return out, complete && after >= l.lost
}

// subscribe returns a channel that receives after events of the MCIS came, and
// a function that ends that.
func (h *history) subscribe(name string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wakers[ch] = name
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.wakers, ch)
	}
}

// watch hands the events of an MCIS after a number to send, as they come, until
// ctx ends or send fails. Where events are missing, state is asked for one that
// says where things stand. idle is called after every pause of keepAlive.
type watch struct {
	name  string
	after uint64
	state func(ctx context.Context) (api.Event, error)
	send  func(api.Event) error
	idle  func() error
}

// follow runs a watch.
func (h *history) follow(ctx context.Context, w watch) error {
	wake, stop := h.subscribe(w.name)
	defer stop()
	h.raise(w.after)
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		events, complete := h.since(w.name, w.after)
		if !complete {
			at := h.now()
			e, err := w.state(ctx)
			if err != nil {
				return err
			}
			e.Number = at
			events = []api.Event{e}
		}
		for _, e := range events {
			if err := w.send(e); err != nil {
				return err
			}
			w.after = e.Number
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-ticker.C:
			if err := w.idle(); err != nil {
				return err
			}
		}
	}
}
