package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// eventWriter writes server-sent events. It is safe for concurrent use.
type eventWriter struct {
	mu sync.Mutex // guards w: one event at a time
	w  http.ResponseWriter
	rc *http.ResponseController

	timeout time.Duration // for the client to take one event
}

// stream answers a call with the events that f writes. The context of f ends
// when the client goes away or the server stops.
func (s *Server) stream(f func(ctx context.Context, out *eventWriter) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		w.Header().Set("Content-Type", "text/event-stream")
		out := &eventWriter{w: w, rc: http.NewResponseController(w), timeout: s.streamTimeout}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() { // ends with ctx at the latest
			select {
			case <-s.stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		if err := out.comment(); err != nil {
			return // the client is gone
		}
		if err := f(ctx, out); err != nil && ctx.Err() == nil {
			s.log.Debug("stream ended", "err", err, "request", requestID(ctx))
		}
	}}
}

// send writes one event; number 0 gives it no id.
func (e *eventWriter) send(number uint64, data any) error {
	var b bytes.Buffer
	if number != 0 {
		fmt.Fprintf(&b, "id: %d\n", number)
	}
	b.WriteString("data: ")
	if err := json.NewEncoder(&b).Encode(data); err != nil { // ends the line
		return fmt.Errorf("event: %w", err)
	}
	b.WriteString("\n")
	return e.write(b.Bytes())
}

// comment writes a line that clients ignore.
func (e *eventWriter) comment() error { return e.write([]byte(":\n\n")) }

func (e *eventWriter) write(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	// Deadlines fail only where the connection has none, as in a test without a
	// network. The deadline is taken away again: in HTTP/2 it would end the stream
	// also while nothing is written.
	_ = e.rc.SetWriteDeadline(time.Now().Add(e.timeout))
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	if err := e.rc.Flush(); err != nil {
		return err
	}
	_ = e.rc.SetWriteDeadline(time.Time{})
	return nil
}
