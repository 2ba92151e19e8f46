package protocol

import "time"

// Times of a peer's pulse.
const (
	// silentAfter is how long a peer that was asked may say nothing.
	silentAfter = time.Second
	// silentProbes is how many probes in a row are lost by then. On a path that
	// loses one packet of fifty that happens once in a week, at a probe every
	// three seconds.
	silentProbes = 4
	// suspectEvery is how often a peer is asked that has not answered.
	suspectEvery = 250 * time.Millisecond
	// heardFor is how long a peer that was heard counts as alive for WireGuard,
	// which answers data by a keepalive after 10 s at the latest.
	heardFor = 12 * time.Second
	// busyAbove is the traffic, in bytes a second, from which on a path is in use
	// by more than probes, gossip and keepalives.
	busyAbove = 4000
	// busyOver is the least time over which that is counted.
	busyOver = 900 * time.Millisecond
)

// pulse tells how soon a peer answers and whether it has fallen silent: by the
// probes sent to it and by what the device counts.
type pulse struct {
	waiting time.Time     // the first probe went out since the peer was last heard; zero if none
	probes  int           // since then
	rtt     time.Duration // smoothed; zero if never measured
	rx, tx  int64         // as the device said last
	read    time.Time     // that was; zero if never
	counts  time.Time     // the bytes of busy are counted since then
	bytes   int64
	busy    bool // users' traffic is on the path
}

// sent takes a probe.
func (u *pulse) sent(now time.Time) {
	if u.waiting.IsZero() {
		u.waiting = now
	}
	u.probes++
}

// heard takes any sign of the peer: it is not silent.
func (u *pulse) heard() { u.waiting, u.probes = time.Time{}, 0 }

// answered takes the round trip of a probe, 0 if that is unknown.
func (u *pulse) answered(rtt time.Duration) {
	u.heard()
	if rtt > 0 {
		u.rtt = smooth(u.rtt, rtt)
	}
}

// counted takes the device's counters. It reports whether the peer is suspect:
// something was sent to it and nothing came back.
func (u *pulse) counted(rx, tx int64, now time.Time) (suspect bool) {
	back := rx < u.rx || tx < u.tx // the peer was taken out and put back
	dRx, dTx := rx-u.rx, tx-u.tx
	first := u.read.IsZero()
	u.rx, u.tx, u.read = rx, tx, now
	if first || back {
		u.counts, u.bytes, u.busy = now, 0, false
		return false
	}
	u.bytes += dRx + dTx
	if since := now.Sub(u.counts); since >= busyOver {
		u.busy = float64(u.bytes) > busyAbove*since.Seconds()
		u.counts, u.bytes = now, 0
	}
	if dRx > 0 {
		u.heard()
	}
	return dTx > 0 && dRx == 0
}

// silent reports whether the peer has said nothing for so long, and to so many
// probes, that the path counts as broken.
func (u *pulse) silent(now time.Time) bool {
	return u.probes >= silentProbes && now.Sub(u.waiting) >= max(silentAfter, 4*u.rtt)
}

// retry is how soon to ask again if no answer comes; slow is for peers that
// have been silent for long, or have never answered.
func (u *pulse) retry(slow time.Duration) time.Duration {
	if u.rtt == 0 || u.probes > 2*silentProbes {
		return slow
	}
	return min(max(suspectEvery, 2*u.rtt), slow)
}
