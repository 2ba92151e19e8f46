package server

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// refusalBurst is how many refusals in a row a source of calls without a
	// token is granted; one more is granted every refusalEvery. Machines behind
	// one NAT are one source, so that only refusals count: a thousand nodes may
	// enrol from one address at once.
	refusalBurst = 20
	refusalEvery = 3 * time.Second
	// maxSources bounds how many sources are remembered. When there are more the
	// one that would be forgiven first is forgotten.
	maxSources = 4096
)

// throttle makes a source wait that was refused too often. It is safe for
// concurrent use.
type throttle struct {
	mu   sync.Mutex // guards free
	free map[netip.Prefix]time.Time
}

func newThrottle() *throttle { return &throttle{free: make(map[netip.Prefix]time.Time)} }

// source is what one sender can easily have many addresses of: a /64 in IPv6.
func source(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // all such are one source
	}
	addr, bits := ap.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// wait returns how long a source has to wait for its next try; 0 if not at all.
func (t *throttle) wait(remote string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.free[source(remote)]
	if !ok {
		return 0
	}
	return max(0, at.Sub(now)-(refusalBurst-1)*refusalEvery)
}

// refused notes a refusal. The time kept of a source is when all its refusals
// are forgiven.
func (t *throttle) refused(remote string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := source(remote)
	at, ok := t.free[from]
	if !ok && len(t.free) >= maxSources {
		t.forgetLocked(now)
	}
	if at.Before(now) {
		at = now
	}
	t.free[from] = at.Add(refusalEvery)
}

// forgetLocked makes room: all that are forgiven go, or else the next to be.
func (t *throttle) forgetLocked(now time.Time) {
	var first netip.Prefix
	var firstAt time.Time
	for from, at := range t.free {
		if !at.After(now) {
			delete(t.free, from)
			continue
		}
		if firstAt.IsZero() || at.Before(firstAt) {
			first, firstAt = from, at
		}
	}
	if len(t.free) >= maxSources {
		delete(t.free, first)
	}
}

// throttled answers 429 to who was refused too often by the calls that need no
// token: enrolment and renewal.
func (s *Server) throttled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !isOpen(r) {
			next.ServeHTTP(w, r)
			return
		}
		if d := s.throttle.wait(r.RemoteAddr, time.Now()); d > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(d/time.Second)+1))
			writeProblem(w, http.StatusTooManyRequests, "too many refused requests from this address")
			return
		}
		seen := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		if seen.status/100 == 4 {
			s.throttle.refused(r.RemoteAddr, time.Now())
		}
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
