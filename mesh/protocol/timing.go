package protocol

import "time"

// Timing holds the intervals of a mesh. Zero fields are filled in by the
// defaults; tests shorten them.
type Timing struct {
	// Tick is how often the loop looks at its timers. Default 250 ms.
	Tick time.Duration
	// Echo is how often a reachable peer is probed. Default 3 s, and at least
	// 20 ms times the number of peers, so that probing never exceeds 50 packets/s.
	Echo time.Duration
	// EchoRetry is how often a silent peer is probed, and how long an echo may
	// take. Default 1 s. A peer is unreachable after four silent probes;
	// one that has answered is asked again four times a second.
	EchoRetry time.Duration
	// Acknowledge is how long an introducer waits for members to program a
	// joiner, and how long a joiner leaves those alone who have not. Default 1 s.
	Acknowledge time.Duration
	// Trial is how long a candidate address of a silent peer is tried before the
	// next one. Default 1.5 s; it doubles after each full round, up to 16 times.
	Trial time.Duration
	// Rejoin is how often gossip is joined again with members it has lost, with
	// up to 100 % jitter; a sixth of that when there is nobody left. Default 15 s.
	Rejoin time.Duration
	// Save is how long changes to the endpoints of remembered peers are
	// collected. Default 2 s. Who is a member is saved at once.
	Save time.Duration
	// Introducers is how long remembered peers have to answer at a start before
	// introducers are called; an introducer that remembers nobody looks for the
	// others for three quarters of it before it lets anyone in. Default 2 s.
	Introducers time.Duration
	// Gossip divides memberlist's intervals for local networks. Default 1.
	Gossip int
}

// WithDefaults fills in the fields that are not set.
func (t Timing) WithDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Tick, 250*time.Millisecond)
	def(&t.Echo, 3*time.Second)
	def(&t.EchoRetry, time.Second)
	def(&t.Acknowledge, time.Second)
	def(&t.Trial, 1500*time.Millisecond)
	def(&t.Rejoin, 15*time.Second)
	def(&t.Save, 2*time.Second)
	def(&t.Introducers, 2*time.Second)
	if t.Gossip < 1 {
		t.Gossip = 1
	}
	return t
}
