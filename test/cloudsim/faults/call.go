package faults

import (
	"net/http"
	"time"
)

// Action describes one call to [Injector.Call].
type Action struct {
	Name     string // as DropNext names it: "RunInstances", "POST /servers"
	Mutating bool   // it changes something, so its answer may be lost
}

// Call runs a handler under the faults in force: it waits for the latency, and
// when the answer of a mutating call is to be lost it lets the handler finish its
// work and then closes the connection without a byte. Throttling is the cloud's
// own to answer: see [Injector.Throttled].
func (i *Injector) Call(w http.ResponseWriter, r *http.Request, a Action, h http.HandlerFunc) {
	if d := i.Latency(); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	if !a.Mutating || !i.drop(a.Name) {
		h(w, r)
		return
	}
	h(&lost{header: http.Header{}}, r)
	hangUp(w)
}

// hangUp closes the connection of a request without an answer.
func hangUp(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// HTTP/2 and recorders have no connection to take: the server's own
		// way to abort.
		panic(http.ErrAbortHandler)
	}
	_ = c.Close() // nobody listens any more
}

// lost takes an answer that nobody will see.
type lost struct {
	header http.Header
}

// Header implements http.ResponseWriter.
func (l *lost) Header() http.Header { return l.header }

// Write implements http.ResponseWriter.
func (l *lost) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (l *lost) WriteHeader(int) {}
