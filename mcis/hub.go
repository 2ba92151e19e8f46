package mcis

import (
	"context"
	"sync"
)

// eventBuffer is how many events wait for a slow subscriber before the oldest
// is dropped: a run of 1,000 nodes makes a few events for each, and whoever
// reads too slowly reads the status anyway.
const eventBuffer = 256

// hub hands events to subscribers and never waits for one.
type hub struct {
	mu   sync.Mutex // guards subs, and sending and closing of their channels
	subs map[chan Event]string
}

// subscribe returns a channel of the events of an MCIS ("" = of all), closed
// when ctx ends.
func (h *hub) subscribe(ctx context.Context, name string) <-chan Event {
	ch := make(chan Event, eventBuffer)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[chan Event]string)
	}
	h.subs[ch] = name
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, ch)
		close(ch)
	})
	return ch
}

// publish gives e to every subscriber; a full channel loses its oldest event.
func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch, name := range h.subs {
		if name != "" && name != e.MCIS {
			continue
		}
		select {
		case ch <- e:
			continue
		default:
		}
		select {
		case <-ch:
		default:
		}
		ch <- e // there is room: only the holder of mu sends
	}
}

// broadcast wakes everyone who waits.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // closed by the next wake
}

// wait returns a channel that the next wake closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
