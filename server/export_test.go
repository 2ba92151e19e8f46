package server

import "time"

// SetStreamTimeout sets how long a client may take to accept one event.
func (s *Server) SetStreamTimeout(d time.Duration) { s.streamTimeout = d }

// Throttle is the throttle of calls without a token.
type Throttle struct{ t *throttle }

// NewThrottle returns one that has seen nothing.
func NewThrottle() Throttle { return Throttle{newThrottle()} }

// Refused notes a refusal.
func (t Throttle) Refused(remote string, now time.Time) { t.t.refused(remote, now) }

// Wait returns how long a source has to wait.
func (t Throttle) Wait(remote string, now time.Time) time.Duration { return t.t.wait(remote, now) }

// Sources returns how many are remembered.
func (t Throttle) Sources() int { return len(t.t.free) }
