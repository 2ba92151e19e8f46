package netlab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// two are two sites with a host each.
func two(t testing.TB) (lab *netlab.Lab, a, b *netlab.Host) {
	t.Helper()
	lab = netlab.New(t, netlab.Options{})
	a = lab.Site("a", netlab.SiteOptions{IPv6: true}).Host("a")
	b = lab.Site("b", netlab.SiteOptions{NAT: netlab.NATEasy, IPv6: true}).Host("b")
	return lab, a, b
}

func TestDelay(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	lab.Internet.LinkOneWay(a.Site(), b.Site(), netlab.Link{Delay: 40 * time.Millisecond})
	lab.Internet.LinkOneWay(b.Site(), a.Site(), netlab.Link{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
	s, err := b.Stream(t.Context(), netlab.StreamOptions{To: a.Addr(), PPS: 200})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(500 * time.Millisecond)
	st := s.Stop()
	// 45 to 55 ms, and a machine that is busy with other things.
	if st.MinRTT < 44*time.Millisecond || st.MinRTT > 75*time.Millisecond || st.MaxRTT < st.MinRTT+2*time.Millisecond || st.Lost > 0 {
		t.Errorf("%s; want none lost, 45 ms at least and a jitter of 10 ms", st)
	}
}

func TestLoss(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	lab.Internet.LinkOneWay(a.Site(), b.Site(), netlab.Link{Loss: 0.2})
	s, err := a.Stream(t.Context(), netlab.StreamOptions{To: b.Addr6(), PPS: 2000, UDP: b})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(500 * time.Millisecond)
	st := s.Stop()
	if share := float64(st.Lost) / float64(st.Sent); st.Sent < 900 || share < 0.12 || share > 0.28 {
		t.Errorf("%s; want a fifth of 1000", st)
	}
	c := lab.Internet.CountersOf(a.Site(), b.Site())
	if int(c.Lost) != st.Lost || int(c.Packets) != st.Received {
		t.Errorf("counters %+v, want %d lost of %d", c, st.Lost, st.Sent)
	}
}

// numbers sends n numbered datagrams from a to b and returns those that come, in
// order, until there is silence.
func numbers(t *testing.T, a, b *netlab.Host, n int) []uint32 {
	t.Helper()
	in, err := b.ListenPacket(t.Context(), "udp6", netip.AddrPortFrom(b.Addr6(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := a.DialContext(t.Context(), "udp6", in.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	buf := make([]byte, 4)
	for i := range n {
		binary.BigEndian.PutUint32(buf, uint32(i))
		if _, err := out.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	var got []uint32
	for {
		in.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _, err := in.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, binary.BigEndian.Uint32(buf))
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	const n = 100
	tests := []struct {
		name               string
		link               netlab.Link
		inOrder, duplicate bool
	}{
		{"perfect", netlab.Link{}, true, false},
		{"jitter keeps the order", netlab.Link{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}, true, false},
		{"reordering", netlab.Link{Reorder: 0.3}, false, false},
		{"duplication", netlab.Link{Duplicate: 0.3}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lab.Internet.Link(a.Site(), b.Site(), tt.link)
			got := numbers(t, a, b, n)
			if inOrder := slices.IsSorted(got); inOrder != tt.inOrder {
				t.Errorf("in order: %t, want %t: %v", inOrder, tt.inOrder, got)
			}
			if dup := len(got) > n; dup != tt.duplicate {
				t.Errorf("%d came of %d, want duplicates: %t", len(got), n, tt.duplicate)
			}
			slices.Sort(got)
			if got = slices.Compact(got); len(got) != n {
				t.Errorf("%d different ones came of %d", len(got), n)
			}
		})
	}
}

// transferLimit is long for the transfers here, and short enough to wait for one
// that does not get through.
const transferLimit = 4 * time.Second

// transfer sends size bytes over TCP from a host to an address of another and
// returns how long it took.
func transfer(t *testing.T, a, b *netlab.Host, to netip.Addr, size int) (time.Duration, error) {
	t.Helper()
	l, err := b.Listen(t.Context(), "tcp", netip.AddrPortFrom(to, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	limit := time.Now().Add(transferLimit)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.SetDeadline(limit)
			_, err = io.ReadFull(c, make([]byte, size))
			c.Close()
		}
		done <- err
	}()
	start := time.Now()
	c, err := a.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		l.Close()
		<-done
		return 0, err
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetWriteDeadline(limit); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write(make([]byte, size))
	err = errors.Join(err, <-done)
	return time.Since(start), err
}

func TestRate(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	lab.Internet.Link(a.Site(), b.Site(), netlab.Link{Rate: 10_000_000, Delay: 5 * time.Millisecond})
	took, err := transfer(t, b, a, a.Addr(), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if took < 700*time.Millisecond || took > 2500*time.Millisecond {
		t.Errorf("1 MB at 10 Mb/s took %s, want 0.8 s or a little more", took)
	}
}

func TestMTU(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	link := netlab.Link{MTU: 1300}
	lab.Internet.Link(a.Site(), b.Site(), link)
	// From a: the answer goes to the sender. From b: through its NAT.
	for _, to := range []struct {
		from, to *netlab.Host
		addr     netip.Addr
	}{{a, b, b.Addr6()}, {b, a, a.Addr()}} {
		if _, err := transfer(t, to.from, to.to, to.addr, 100_000); err != nil {
			t.Errorf("to %s with ICMP: %v", to.addr, err)
		}
	}
	if got := shell(t, b, "ip route get "+a.Addr().String()); !strings.Contains(got, "mtu 1300") {
		t.Errorf("the sender behind NAT has learned %q, want mtu 1300", got)
	}
	if c := lab.Internet.Counters(); c.TooBig < 2 {
		t.Errorf("counters %+v, want packets too big", c)
	}
	link.NoICMP = true
	link.MTU = 1290
	lab.Internet.Link(a.Site(), b.Site(), link)
	reach(t, b, a.Addr(), true)
	if _, err := transfer(t, b, a, a.Addr(), 100_000); err == nil {
		t.Error("a black hole of MTU 1290 let TCP through")
	}
}

// TestSiteMTU: the site's own router says that packets are too big.
func TestSiteMTU(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{MTU: 1600})
	a := lab.Site("a", netlab.SiteOptions{MTU: 1400}).Host("a")
	b := lab.Site("b", netlab.SiteOptions{}).Host("b")
	if _, err := transfer(t, a, b, b.Addr(), 100_000); err != nil {
		t.Error(err)
	}
	if got := shell(t, a, "ip route get "+b.Addr().String()); !strings.Contains(got, "mtu 1400") {
		t.Errorf("the sender has learned %q, want mtu 1400", got)
	}
	if got := shell(t, a, "cat /sys/class/net/eth0/mtu"); got != "1600" {
		t.Errorf("MTU of the host's link: %s, want 1600", got)
	}
}

func TestCuts(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	c := lab.Site("c", netlab.SiteOptions{}).Host("c")
	lab.Internet.Split(a.Site())
	d := lab.Site("d", netlab.SiteOptions{}).Host("d") // cut as well
	reach(t, b, a.Addr(), false)
	reach(t, a, c.Addr(), false)
	reach(t, d, a.Addr(), false)
	reach(t, b, c.Addr(), true)
	lab.Internet.Cut(func(from, to *netlab.Site) bool { return from == c.Site() && to == b.Site() })
	reach(t, b, c.Addr(), false)
	reach(t, d, c.Addr(), true)
	if got := lab.Internet.Counters().Cut; got == 0 {
		t.Error("no packet was counted as cut")
	}
	lab.Internet.Heal()
	reach(t, b, a.Addr(), true)
	reach(t, b, c.Addr(), true)
	reach(t, a, d.Addr(), true)
}

// TestStreamGap: a cut is seen as one gap of its length.
func TestStreamGap(t *testing.T) {
	t.Parallel()
	lab, a, b := two(t)
	s, err := b.Stream(t.Context(), netlab.StreamOptions{To: a.Addr(), PPS: 100})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	lab.Internet.Split(a.Site())
	<-time.After(300 * time.Millisecond)
	lab.Internet.Heal()
	<-time.After(100 * time.Millisecond)
	st := s.Stop()
	if st.LongestGap < 280*time.Millisecond || st.LongestGap > 600*time.Millisecond || st.Received == 0 {
		t.Errorf("%s; want a gap of 300 ms", st)
	}
}
