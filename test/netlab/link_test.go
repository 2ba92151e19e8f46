package netlab

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestAdmit(t *testing.T) {
	type packet struct {
		at   time.Duration
		size int
	}
	burst := slices.Repeat([]packet{{at: time.Second, size: 1000}}, 5)
	tests := []struct {
		name    string
		link    Link
		packets []packet
		want    []time.Duration // when each leaves, after it came; -1 = dropped
	}{
		{"perfect", Link{}, burst[:2], []time.Duration{0, 0}},
		{"delay", Link{Delay: 7 * ms}, burst[:2], []time.Duration{7 * ms, 7 * ms}},
		{"all lost", Link{Loss: 1}, burst[:2], []time.Duration{-1, -1}},
		{"MTU", Link{MTU: 999}, []packet{{0, 999}, {0, 1000}}, []time.Duration{0, -1}},
		{"all held back", Link{Reorder: 1, ReorderBy: 3 * ms}, burst[:2], []time.Duration{3 * ms, 3 * ms}},
		// 8 Mb/s: a packet takes 1 ms, two pass at once, and of what waits 2 ms at most are let in.
		{"rate", Link{Rate: 8_000_000, Burst: 2000, Queue: 1500}, burst, []time.Duration{0, 0, ms, 2 * ms, -1}},
		{"rate, the queue empties", Link{Rate: 8_000_000, Burst: 1000, Queue: 500},
			[]packet{{0, 1000}, {0, 1000}, {0, 1000}, {2 * ms, 1000}}, []time.Duration{0, ms, -1, 0}},
		{"rate and delay", Link{Rate: 8_000_000, Burst: 1000, Delay: 5 * ms}, burst[:2], []time.Duration{5 * ms, 6 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPath(tt.link, 1, 1)
			var got []time.Duration
			for _, in := range tt.packets {
				switch f := p.admit(in.at, in.size); {
				case !f.forward:
					got = append(got, -1)
				case f.due == 0:
					got = append(got, 0)
				default:
					got = append(got, f.due-in.at)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestAdmitShares: over many packets the dice fall as told, and the same for the
// same seed.
func TestAdmitShares(t *testing.T) {
	const n = 10_000
	link := Link{Delay: 20 * ms, Jitter: 10 * ms, Loss: 0.1, Duplicate: 0.05, Reorder: 0.2, ReorderBy: 50 * ms}
	run := func(seed uint64) (*path, []fate) {
		p := newPath(link, seed, 7)
		var fates []fate
		for i := range n {
			fates = append(fates, p.admit(time.Duration(i)*ms, 100))
		}
		return p, fates
	}
	p, fates := run(1)
	c := p.count()
	through := float64(n - c.Lost)
	for _, s := range []struct {
		name      string
		got, want float64
	}{
		{"lost", float64(c.Lost) / n, 0.1},
		{"duplicated", float64(c.Duplicated) / through, 0.05},
		{"reordered", float64(c.Reordered) / through, 0.2},
	} {
		if math.Abs(s.got-s.want) > 0.015 {
			t.Errorf("share %s: %.3f, want %.3f", s.name, s.got, s.want)
		}
	}
	if c.Packets+c.Lost != n || c.Bytes != 100*c.Packets {
		t.Errorf("counters %+v do not add up to %d packets of 100 bytes", c, n)
	}
	last := time.Duration(0)
	for i, f := range fates {
		now := time.Duration(i) * ms
		if f.forward && (f.due < now+10*ms || f.due > now+80*ms+20*ms) { // in order: at most 20 ms later than its own time
			t.Fatalf("packet %d leaves after %s", i, f.due-now)
		}
		last = max(last, f.due)
	}
	if _, again := run(1); !slices.Equal(fates, again) {
		t.Error("the same seed gives other fates")
	}
	if _, other := run(2); slices.Equal(fates, other) {
		t.Error("another seed gives the same fates")
	}
}

func TestAdmitCut(t *testing.T) {
	p := newPath(Link{}, 1, 1)
	p.setCut(true)
	if f := p.admit(0, 1); f.forward {
		t.Error("a packet passed a cut")
	}
	p.setCut(false)
	if f := p.admit(0, 1); !f.forward {
		t.Error("a packet did not pass after the cut")
	}
	p.set(Link{MTU: 100})
	if f := p.admit(0, 101); f.tooBig != 100 {
		t.Errorf("sender is told %d, want 100", f.tooBig)
	}
	p.set(Link{MTU: 100, NoICMP: true})
	if f := p.admit(0, 101); f.tooBig != 0 || f.forward {
		t.Errorf("a black hole did %+v", f)
	}
	if got, want := p.count(), (Counters{Packets: 1, Bytes: 1, Cut: 1, TooBig: 2}); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

func TestLinkValidate(t *testing.T) {
	tests := []struct {
		name string
		link Link
		want string // in the error; "" = none
	}{
		{"zero", Link{}, ""},
		{"all", Link{Delay: 1, Jitter: 1, Loss: 1, Duplicate: 1, Reorder: 1, ReorderBy: 1, Rate: 1, Burst: 1, Queue: 1, MTU: 1}, ""},
		{"loss in percent", Link{Loss: 20}, "Loss 20"},
		{"no number", Link{Reorder: math.NaN()}, "Reorder NaN"},
		{"negative", Link{Delay: -1}, "Delay -1"},
		{"both are told", Link{Rate: -1, Duplicate: -1}, "Rate -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.link.validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
