package mesh_test

import (
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// stream is a flow of UDP packets from one node's overlay address to another's
// and back, fifty a second.
type stream struct {
	*netlab.Stream
	from, to *node
}

// startStream starts a stream between nodes whose daemons run.
func startStream(t *testing.T, from, to *node) stream {
	t.Helper()
	s, err := from.host.Stream(t.Context(), netlab.StreamOptions{To: to.ip, PPS: 50, UDP: to.host})
	if err != nil {
		t.Fatalf("%s to %s: %v", from.name, to.name, err)
	}
	return stream{s, from, to}
}

// startStreams starts streams around the nodes: from each to the next.
func startStreams(t *testing.T, nodes []*node) (ss []stream) {
	t.Helper()
	for i, n := range nodes {
		ss = append(ss, startStream(t, n, nodes[(i+1)%len(nodes)]))
	}
	return ss
}

// mustFlow ends streams that have to have lost nothing.
func mustFlow(t *testing.T, what string, streams []stream) {
	t.Helper()
	sent, lost, late := 0, 0, time.Duration(0)
	for _, s := range streams {
		got := s.Stop()
		sent, lost, late = sent+got.Sent, lost+got.Lost, max(late, got.MaxRTT)
		if got.Lost > 0 || got.Sent == 0 {
			t.Errorf("%s: from %s to %s: %s", what, s.from.name, s.to.name, got)
		}
	}
	t.Logf("FIGURE e2e/mesh: %s: %d streams, %d packets there and back, %d lost (bound 0), the slowest took %s",
		what, len(streams), sent, lost, late.Round(time.Millisecond))
}
