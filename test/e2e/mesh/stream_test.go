package mesh_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// stream is a flow of numbered packets from one node's overlay address to
// another's, fifty a second.
type stream struct {
	from, to *node
	in, out  net.PacketConn
	stop     context.CancelFunc
	done     sync.WaitGroup
	sent     uint64 // valid once done

	mu   sync.Mutex // guards the fields below
	got  map[uint64]bool
	last time.Time     // a packet came
	gap  time.Duration // the longest between two
}

// streamEvery is the time between two packets of a stream.
const streamEvery = 20 * time.Millisecond

// startStream starts a stream between nodes whose daemons run.
func startStream(t *testing.T, from, to *node) *stream {
	t.Helper()
	listen := func(n *node) net.PacketConn {
		c, err := n.host.ListenPacket(t.Context(), "udp4", net.JoinHostPort(n.ip.String(), "0"))
		if err != nil {
			t.Fatalf("%s: %v", n.name, err)
		}
		return c
	}
	s := &stream{from: from, to: to, in: listen(to), out: listen(from), got: map[uint64]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.done.Go(func() { s.send(ctx) })
	s.done.Go(s.receive)
	t.Cleanup(s.close)
	return s
}

// startStreams starts streams around the nodes: from each to the next.
func startStreams(t *testing.T, nodes []*node) (ss []*stream) {
	t.Helper()
	for i, n := range nodes {
		ss = append(ss, startStream(t, n, nodes[(i+1)%len(nodes)]))
	}
	return ss
}

// send sends until ctx ends, then waits for what is on the way and ends receive.
func (s *stream) send(ctx context.Context) {
	defer s.in.Close()
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	buf := make([]byte, 64)
	for {
		select {
		case <-tick.C:
			binary.BigEndian.PutUint64(buf, s.sent)
			s.sent++
			_, _ = s.out.WriteTo(buf, s.in.LocalAddr()) // lost, if that failed
		case <-ctx.Done():
			<-time.After(200 * time.Millisecond)
			return
		}
	}
}

func (s *stream) receive() {
	buf := make([]byte, 128)
	for {
		n, _, err := s.in.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 8 {
			continue
		}
		now := time.Now()
		s.mu.Lock()
		s.got[binary.BigEndian.Uint64(buf)] = true
		if !s.last.IsZero() {
			s.gap = max(s.gap, now.Sub(s.last))
		}
		s.last = now
		s.mu.Unlock()
	}
}

// flows says what is wrong if nothing has come for a while.
func (s *stream) flows() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if silence := time.Since(s.last); silence > time.Second {
		return fmt.Errorf("stream from %s to %s: %d packets, silent for %s", s.from.name, s.to.name, len(s.got), silence.Round(time.Second))
	}
	return nil
}

// end ends the stream and returns how many packets were sent and lost.
func (s *stream) end() (sent, lost uint64, gap time.Duration) {
	s.stop()
	s.done.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.sent - uint64(len(s.got)), s.gap
}

func (s *stream) close() {
	s.stop()
	s.done.Wait()
	s.out.Close()
}

// mustFlow ends streams that have to have lost nothing.
func mustFlow(t *testing.T, what string, streams []*stream) {
	t.Helper()
	var sent, lost uint64
	var gap time.Duration
	for _, s := range streams {
		n, missing, g := s.end()
		sent, lost, gap = sent+n, lost+missing, max(gap, g)
		if missing > 0 {
			t.Errorf("%s: from %s to %s %d of %d packets were lost", what, s.from.name, s.to.name, missing, n)
		}
	}
	t.Logf("FIGURE e2e/mesh: %s: %d streams, %d packets, %d lost (bound 0), longest silence %s",
		what, len(streams), sent, lost, gap.Round(time.Millisecond))
}
