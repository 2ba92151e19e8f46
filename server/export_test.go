package server

import "time"

// SetStreamTimeout sets how long a client may take to accept one event.
func (s *Server) SetStreamTimeout(d time.Duration) { s.streamTimeout = d }
