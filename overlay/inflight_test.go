package overlay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

func TestInflight(t *testing.T) {
	tests := []struct {
		name string
		then func(overlay.Inflight) // 1 ms after a wait began
		want time.Duration          // that it took
	}{
		{"all is written", func(f overlay.Inflight) { f.Done(10) }, time.Millisecond},
		{"half is written", func(f overlay.Inflight) { f.Done(5) }, time.Millisecond},
		{"too little is written", func(f overlay.Inflight) { f.Done(4) }, time.Millisecond + overlay.Stuck},
		{"half bit by bit", func(f overlay.Inflight) {
			for range 5 {
				f.Done(1)
				<-time.After(2 * time.Millisecond)
			}
		}, 9 * time.Millisecond},
		{"nothing is written", func(overlay.Inflight) {}, overlay.Stuck},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := overlay.NewInflight(10)
				began := time.Now()
				f.Add(9)
				f.Wait()
				if took := time.Since(began); took != 0 {
					t.Errorf("waited %v below the limit", took)
				}
				f.Add(1)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					<-time.After(time.Millisecond)
					tt.then(f)
				}()
				f.Wait()
				if took := time.Since(began); took != tt.want {
					t.Errorf("waited %v, want %v", took, tt.want)
				}
				<-ended
			})
		})
	}
}

// TestInflightOfTwoSockets: both wait, and both go on.
func TestInflightOfTwoSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overlay.NewInflight(10)
		f.Add(20)
		began, took := time.Now(), make(chan time.Duration)
		for range 2 {
			go func() {
				f.Wait()
				took <- time.Since(began)
			}()
		}
		<-time.After(time.Millisecond)
		f.Done(20)
		for range 2 {
			if d := <-took; d != time.Millisecond {
				t.Errorf("waited %v, want 1ms", d)
			}
		}
		f.Done(100) // more than is counted
		f.Add(9)
		f.Wait()
		if d := time.Since(began); d != time.Millisecond {
			t.Errorf("waited %v below the limit", d)
		}
	})
}

func TestInflightCountsWhatIsKept(t *testing.T) {
	buffer := func() []byte { return make([]byte, 2000) }
	bufs := [][]byte{buffer(), buffer(), buffer(), buffer(), buffer(), buffer()}
	var k overlay.Kept
	if n := k.Of(bufs); n != 0 {
		t.Errorf("%d kept of no batch", n)
	}
	k.Note(bufs, []int{1452, 1452, 148, 92, 32}) // data twice, a handshake, a keepalive
	for _, i := range []int{0, 2, 3, 4} {
		bufs[i] = buffer() // wireguard-go keeps it, and gives another one
	}
	for _, want := range []int{1, 0} {
		if n := k.Of(bufs); n != want {
			t.Errorf("%d kept, want %d", n, want)
		}
	}
}
