package overlay_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/cbnet-io/cbnet/overlay"
)

// inbox is an open bind that collects what it receives.
type inbox struct {
	bind conn.Bind
	port uint16
	got  chan datagram
}

type datagram struct {
	data string
	ep   conn.Endpoint
}

func newInbox(t *testing.T, offload bool) *inbox {
	t.Helper()
	b := overlay.NewBind(offload)
	fns, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	in := &inbox{bind: b, port: port, got: make(chan datagram, 1000)}
	ended := make(chan struct{})
	for _, fn := range fns {
		go func() {
			in.receive(fn)
			ended <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		b.Close()
		for range fns {
			<-ended
		}
	})
	return in
}

func (in *inbox) receive(fn conn.ReceiveFunc) {
	n := in.bind.BatchSize()
	bufs, sizes, eps := make([][]byte, n), make([]int, n), make([]conn.Endpoint, n)
	for i := range bufs {
		bufs[i] = make([]byte, 1<<16)
	}
	for {
		k, err := fn(bufs, sizes, eps)
		if err != nil {
			return
		}
		for i := range k {
			if sizes[i] > 0 {
				in.got <- datagram{string(bufs[i][:sizes[i]]), eps[i]}
			}
		}
	}
}

// next returns n datagrams.
func (in *inbox) next(t *testing.T, n int) []datagram {
	t.Helper()
	var out []datagram
	deadline := time.After(5 * time.Second)
	for len(out) < n {
		select {
		case d := <-in.got:
			out = append(out, d)
		case <-deadline:
			t.Fatalf("%d datagrams came, want %d", len(out), n)
		}
	}
	return out
}

func forOffloads(t *testing.T, test func(t *testing.T, offload bool)) {
	for _, offload := range []bool{true, false} {
		t.Run(fmt.Sprintf("offload=%t", offload), func(t *testing.T) { test(t, offload) })
	}
}

func TestBindMixesFamilies(t *testing.T) {
	if c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback}); err != nil {
		t.Skipf("needs IPv6 on loopback: %v", err)
	} else {
		c.Close()
	}
	forOffloads(t, func(t *testing.T, offload bool) {
		from, to := newInbox(t, offload), newInbox(t, offload)
		for i := range 50 {
			for _, addr := range []string{"127.0.0.1", "::1"} {
				e, err := from.bind.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(addr), to.port).String())
				if err != nil {
					t.Fatal(err)
				}
				if err := from.bind.Send([][]byte{fmt.Append(nil, addr, i)}, e); err != nil {
					t.Fatalf("%d to %s: %v", i, addr, err)
				}
			}
		}
		var got, want []string
		for _, d := range to.next(t, 100) {
			got = append(got, d.data)
			if d.ep.DstIP() != d.ep.SrcIP() {
				t.Errorf("%q came from %s to %s", d.data, d.ep.DstIP(), d.ep.SrcIP())
			}
		}
		for i := range 50 {
			want = append(want, fmt.Sprint("127.0.0.1", i), fmt.Sprint("::1", i))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestBindKeepsDatagrams(t *testing.T) {
	sizes := map[string][]int{
		"one":            {100},
		"equal":          {1300, 1300, 1300, 1300},
		"shorter last":   {1300, 1300, 7, 1300, 7},
		"rising":         {10, 20, 30, 40},
		"falling":        {40, 30, 20, 10},
		"above one send": slices.Repeat([]int{1300}, 128),
		"many and small": slices.Repeat([]int{33}, 128),
		"more than batch": append(slices.Repeat([]int{900}, 130),
			slices.Repeat([]int{800}, 60)...),
		"large": {65000, 65000, 100},
	}
	forOffloads(t, func(t *testing.T, offload bool) {
		for name, lens := range sizes {
			t.Run(name, func(t *testing.T) {
				from, to := newInbox(t, offload), newInbox(t, offload)
				var bufs [][]byte
				for i, l := range lens {
					bufs = append(bufs, bytes.Repeat([]byte{byte(i + 1)}, l))
				}
				e, err := from.bind.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.port).String())
				if err != nil {
					t.Fatal(err)
				}
				if err := from.bind.Send(bufs, e); err != nil {
					t.Fatal(err)
				}
				for i, d := range to.next(t, len(lens)) {
					if d.data != string(bufs[i]) {
						t.Fatalf("datagram %d: %d bytes of %d, want %d of %d", i, len(d.data), d.data[0], len(bufs[i]), bufs[i][0])
					}
				}
			})
		}
	})
}

func TestBindAnswersFromTheAddressAsked(t *testing.T) {
	forOffloads(t, func(t *testing.T, offload bool) {
		server, client := newInbox(t, offload), newInbox(t, offload)
		e, err := client.bind.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), server.port).String())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.bind.Send([][]byte{[]byte("ask")}, e); err != nil {
			t.Fatal(err)
		}
		asked := server.next(t, 1)[0].ep
		if err := server.bind.Send([][]byte{[]byte("answer")}, asked); err != nil {
			t.Fatal(err)
		}
		if got := client.next(t, 1)[0].ep; got.DstIP() != netip.MustParseAddr("127.0.0.5") {
			t.Errorf("the answer came from %s, want 127.0.0.5", got.DstIP())
		}
		// An address that the host lost must not keep packets from leaving.
		lost := overlay.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), client.port), netip.MustParseAddr("192.0.2.99"))
		if err := server.bind.Send([][]byte{[]byte("still here")}, lost); err != nil {
			t.Errorf("Send from a lost address: %v", err)
		}
		if got := client.next(t, 1)[0].data; got != "still here" {
			t.Errorf("got %q", got)
		}
	})
}

func TestBindPort(t *testing.T) {
	forOffloads(t, func(t *testing.T, offload bool) {
		in := newInbox(t, offload)
		if _, _, err := in.bind.Open(0); err == nil {
			t.Error("Open of an open bind succeeded")
		}
		other := overlay.NewBind(offload)
		if _, _, err := other.Open(in.port); err == nil {
			other.Close()
			t.Errorf("two binds have port %d", in.port)
		}
		for range 2 {
			if err := other.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}
