package bench_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/cbnet-io/cbnet/test/bench"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// pair is two hosts joined by a veth pair and by nothing else.
type pair struct {
	t    *testing.T
	host [2]*netlab.Host
	dir  string
}

// Underlay addresses of the two.
var underlay = [2]string{"192.168.77.1", "192.168.77.2"}

// vethMTU is that of Ethernet.
const vethMTU = 1500

func newPair(t *testing.T) *pair {
	t.Helper()
	lab := netlab.New(t, netlab.Options{})
	site := lab.Site("bench", netlab.SiteOptions{})
	p := &pair{t: t, host: [2]*netlab.Host{site.Host("a"), site.Host("b")}, dir: t.TempDir()}
	for _, h := range p.host {
		must(t, h.Down()) // its link to the site's bridge
	}
	other, err := os.Open(p.host[1].NetNS())
	must(t, err)
	defer other.Close()
	must(t, p.host[0].Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = "veth0", vethMTU
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerNamespace = "veth0", netlink.NsFd(other.Fd())
		return netlink.LinkAdd(veth)
	}))
	for i, h := range p.host {
		must(t, h.Do(func() error { return address("veth0", underlay[i]+"/24", vethMTU) }))
	}
	server := p.host[1].Start("iperf3", "iperf3", "--server", "--forceflush")
	must(t, p.until(10*time.Second, func() error {
		if !strings.Contains(server.Log(), "listening") {
			return fmt.Errorf("iperf3 does not listen: %s", server.Log())
		}
		return nil
	}))
	return p
}

// address configures an interface in the network namespace of the thread.
func address(link, prefix string, mtu int) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	pre, err := netip.ParsePrefix(prefix)
	if err != nil {
		return err
	}
	n := &net.IPNet{IP: pre.Addr().AsSlice(), Mask: net.CIDRMask(pre.Bits(), pre.Addr().BitLen())}
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: n}); err != nil {
		return fmt.Errorf("%s at %s: %w", prefix, link, err)
	}
	if err := netlink.LinkSetMTU(l, mtu); err != nil {
		return fmt.Errorf("MTU of %s: %w", link, err)
	}
	return netlink.LinkSetUp(l)
}

// until polls until f succeeds, and returns its last error.
func (p *pair) until(limit time.Duration, f func() error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("after %v: %w", limit, err)
		}
	}
}

// run runs a command at a host.
func (p *pair) run(host int, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Minute)
	defer cancel()
	return p.host[host].Command(ctx, argv...).CombinedOutput()
}

// iperf sends TCP from a to b.
func (p *pair) iperf(to string, how ...string) bench.Transfer {
	p.t.Helper()
	out, err := p.run(0, append([]string{"iperf3", "--json", "--client", to}, how...)...)
	if err != nil {
		p.t.Fatalf("iperf3 to %s: %v\n%s", to, err, out)
	}
	got, err := bench.ParseIperf(out)
	must(p.t, err)
	p.t.Logf("TCP to %s: %.3g Gbit/s, %d retransmits", to, got.Rate, got.Retransmits)
	return got
}

// reach waits until a's packets come to b and back.
func (p *pair) reach(from int, to string) {
	p.t.Helper()
	must(p.t, p.until(30*time.Second, func() error {
		if out, err := p.run(from, "ping", "-n", "-c1", "-W1", to); err != nil {
			return fmt.Errorf("ping %s: %w: %s", to, err, out)
		}
		return nil
	}))
}
