package simtest

import (
	"testing"
	"time"
)

// Until polls cond for 20 s, since what it waits for goes on by itself.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	poll(t, 10*time.Millisecond, 20*time.Second, func() (bool, string) { return cond(), what })
}

// Within polls cond, which may ask a machine, for a time of its own, and says at its
// end what cond saw last.
func Within(t testing.TB, limit time.Duration, cond func() (ok bool, last string)) {
	t.Helper()
	poll(t, 50*time.Millisecond, limit, cond)
}

func poll(t testing.TB, every, limit time.Duration, cond func() (bool, string)) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, last := cond()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, last)
		}
	}
}
