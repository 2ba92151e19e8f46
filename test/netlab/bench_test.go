package netlab_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// BenchmarkInternet sends UDP from one site to another as fast as it goes.
// pps is what arrived per second of time, with sender and receiver on the same
// machine; cpu-ns/pkt is the processor time of all three, kernel included.
func BenchmarkInternet(b *testing.B) {
	for _, tt := range []struct {
		name string
		size int
		link netlab.Link
	}{
		{"direct/100", 100, netlab.Link{}},
		{"direct/1400", 1400, netlab.Link{}},
		{"delay/1400", 1400, netlab.Link{Delay: 10 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.001}},
	} {
		b.Run(tt.name, func(b *testing.B) { flood(b, tt.size, tt.link) })
	}
}

func flood(b *testing.B, size int, link netlab.Link) {
	lab := netlab.New(b, netlab.Options{})
	s1, s2 := lab.Site("s1", netlab.SiteOptions{}), lab.Site("s2", netlab.SiteOptions{})
	from, to := s1.Host("a"), s2.Host("b")
	lab.Internet.Link(s1, s2, link)
	in, err := to.ListenPacket(b.Context(), "udp4", netip.AddrPortFrom(to.Addr(), 0).String())
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	if err := in.(*net.UDPConn).SetReadBuffer(8 << 20); err != nil {
		b.Fatal(err)
	}
	out, err := from.DialContext(b.Context(), "udp4", in.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	const batch = 64
	messages := make([]ipv4.Message, batch)
	answers := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, size)}
		answers[i].Buffers = [][]byte{make([]byte, size)}
	}
	received := make(chan int)
	go func() {
		n := 0
		for r := ipv4.NewPacketConn(in); ; {
			k, err := r.ReadBatch(answers, 0)
			if err != nil {
				received <- n
				return
			}
			n += k
		}
	}()
	before := cpu(b)
	b.SetBytes(int64(size))
	b.ResetTimer()
	start := time.Now()
	w := ipv4.NewPacketConn(out.(*net.UDPConn))
	for sent := 0; sent < b.N; {
		k, err := w.WriteBatch(messages[:min(batch, b.N-sent)], 0)
		if err != nil {
			b.Fatal(err)
		}
		sent += k
	}
	took := time.Since(start)
	in.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n := <-received
	b.StopTimer()
	b.ReportMetric(float64(n)/took.Seconds(), "pps")
	b.ReportMetric(float64(cpu(b)-before)/float64(n), "cpu-ns/pkt")
	b.ReportMetric(100*float64(b.N-n)/float64(b.N), "%lost")
}

// cpu is the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
