package overlay_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/overlay"
)

// open opens a device in the lab and closes it at the end.
func open(t *testing.T, o overlay.Options) *overlay.Device {
	t.Helper()
	o.Interface = "cbn0"
	d, err := overlay.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func config(t *testing.T) overlay.Config {
	return overlay.Config{PrivateKey: mustKey(t), Port: 51820, Addresses: prefixes("10.66.0.1/32", "fd66::1/128"),
		Routes: prefixes("10.66.0.0/16", "fd66::/64"), Peers: []overlay.Peer{
			{PublicKey: keyB, Endpoint: ep("192.0.2.1:1"), AllowedIPs: prefixes("10.66.0.2/32", "fd66::2/128"), Keepalive: 25 * time.Second},
			{PublicKey: keyC, AllowedIPs: prefixes("10.66.0.3/32", "192.168.0.0/24")},
		}}
}

func set(t *testing.T, d *overlay.Device, c overlay.Config) {
	t.Helper()
	if err := d.Set(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func bridge(t *testing.T, name string, addrs ...string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	if err := addAddresses(name, addrs); err != nil {
		t.Fatal(err)
	}
}

func addDefaultRoute(name, gateway string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(gateway)})
}

// linkNames returns the interfaces there are.
func linkNames(t *testing.T) string {
	t.Helper()
	ls, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range ls {
		out = append(out, l.Name)
	}
	return strings.Join(out, " ")
}

// TestSecondSetChangesNothing looks from all sides: what Set would do, what the
// kernel reports, and what wireguard-go was told.
func TestSecondSetChangesNothing(t *testing.T) {
	if !insideLab(t) {
		return
	}
	var log lockedBuffer
	d := open(t, overlay.Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	c := config(t)
	events := watchKernel(t)
	var first, second []string
	d.Record(func(s string) { first = append(first, s) })
	set(t, d, c)
	if len(first) == 0 {
		t.Fatal("the first Set made no change")
	}
	awaitEvents(t, events, "addr 10.66.0.1/32", "addr fd66::1/128", "route 10.66.0.0/16", "route fd66::/64", "route fd66::1/128", "link cbn0 mtu 1280 up true")
	quiet(events)
	told := strings.Count(log.String(), "UAPI:")
	if d.Datapath() == overlay.Userspace && told == 0 {
		t.Error("wireguard-go logs nothing when it is told something, so this test shows little")
	}

	d.Record(func(s string) { second = append(second, s) })
	for range 3 {
		set(t, d, c)
	}
	if len(second) != 0 {
		t.Errorf("equal Sets changed %q", second)
	}
	if n := strings.Count(log.String(), "UAPI:"); n != told {
		t.Errorf("equal Sets told wireguard-go %d things:\n%s", n-told, log.String())
	}
	c.Routes = c.Routes[:1] // proves that events still arrive
	set(t, d, c)
	for _, e := range awaitEvents(t, events, "route fd66::/64") {
		if !strings.Contains(e, "fe80") && !strings.Contains(e, "ff00") {
			t.Errorf("after equal Sets the kernel reports %q", e)
		}
	}
}

// watchKernel returns what the kernel tells of whatever really changes, of IPv6
// somewhat later.
func watchKernel(t *testing.T) <-chan string {
	t.Helper()
	events := make(chan string, 100)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	addrs, routes, links := make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate), make(chan netlink.LinkUpdate)
	err := errors.Join(netlink.AddrSubscribe(addrs, done), netlink.RouteSubscribe(routes, done), netlink.LinkSubscribe(links, done))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		last := make(map[string]string)
		for {
			select {
			case u := <-addrs:
				events <- "addr " + u.LinkAddress.String()
			case u := <-routes:
				events <- "route " + u.Dst.String()
			case u := <-links:
				a := u.Attrs()
				if s := fmt.Sprintf("link %s mtu %d up %t", a.Name, a.MTU, a.Flags&net.FlagUp != 0); s != last[a.Name] {
					last[a.Name] = s
					events <- s
				}
			case <-done:
				return
			}
		}
	}()
	return events
}

// quiet takes events until none has come for a while: the kernel tells some
// things of IPv6 twice, and the second time late.
func quiet(events <-chan string) {
	for {
		select {
		case <-events:
		case <-time.After(300 * time.Millisecond):
			return
		}
	}
}

// awaitEvents waits until all of want came, and returns what else did.
func awaitEvents(t *testing.T, events <-chan string, want ...string) (others []string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for len(want) > 0 {
		select {
		case e := <-events:
			if i := slices.Index(want, e); i >= 0 {
				want = slices.Delete(want, i, i+1)
			} else {
				others = append(others, e)
			}
		case <-deadline:
			t.Fatalf("the kernel did not report %q", want)
		}
	}
	return others
}

// TestHostState compares what the host has with what was wanted: addresses of
// both families, one route for each prefix and no other, MTU.
func TestHostState(t *testing.T) {
	if !insideLab(t) {
		return
	}
	d := open(t, overlay.Options{})
	for _, step := range []struct {
		mtu               int
		addresses, routes string
	}{
		{0, "10.66.0.1/32 fd66::1/128", "10.66.0.0/16 fd66::/64"},
		{1420, "10.66.0.1/32 fd66::1/128", "10.66.0.0/16 fd66::/64"},
		{1420, "fd66::1/128", "172.16.0.0/12 fd66::/64"},
		{576, "10.66.0.1/32", "10.66.0.0/16 10.67.0.0/16"},
		{9000, "10.66.0.1/32 10.66.0.9/32 fd66::1/128", "10.66.0.0/16 fd66::/64"},
	} {
		c := config(t)
		c.MTU, c.Addresses, c.Routes = step.mtu, prefixes(strings.Fields(step.addresses)...), prefixes(strings.Fields(step.routes)...)
		set(t, d, c)
		l, err := netlink.LinkByName("cbn0")
		if err != nil {
			t.Fatal(err)
		}
		if want := cmp.Or(step.mtu, overlay.DefaultMTU); l.Attrs().MTU != want {
			t.Errorf("mtu %d, want %d", l.Attrs().MTU, want)
		}
		if got := addresses(t); got != step.addresses {
			t.Errorf("addresses %q, want %q", got, step.addresses)
		}
		if got := routes(t, l); got != step.routes {
			t.Errorf("routes %q, want %q", got, step.routes)
		}
	}
}

// routes returns the main table's routes through l, without the kernel's own.
func routes(t *testing.T, l netlink.Link) string {
	t.Helper()
	filter := &netlink.Route{LinkIndex: l.Attrs().Index, Table: unix.RT_TABLE_MAIN}
	rs, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rs {
		if r.Protocol != unix.RTPROT_KERNEL {
			out = append(out, r.Dst.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestRouteRefused(t *testing.T) {
	if !insideLab(t) {
		return
	}
	bridge(t, "lan0", "10.66.1.1/24", "2001:db8::1/64")
	for _, gateway := range []string{"10.66.1.254", "2001:db8::fe"} {
		if err := addDefaultRoute("lan0", gateway); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, overlay.Options{})
	c := config(t)
	for _, tt := range []struct{ route, covers, what string }{
		{"10.66.0.0/16", "10.66.1.0/24", "the network of interface lan0"},
		{"10.66.1.7/32", "10.66.1.0/24", "the network of interface lan0"},
		{"2001:db8::/32", "2001:db8::/64", "the network of interface lan0"},
		{"2001:db8::/48", "2001:db8::/64", "the network of interface lan0"},
		{"2001:db8::fe/128", "2001:db8::/64", "the network of interface lan0"},
		{"2000::/3", "2001:db8::/64", "the network of interface lan0"},
		{"0.0.0.0/0", "0.0.0.0/0", "the host's default route"},
		{"::/0", "::/0", "the host's default route"},
		{"0.0.0.0/1", "127.0.0.0/8", "the loopback network"},
		{"::/1", "::1/128", "the loopback address"},
		{"192.0.2.0/24", "192.0.2.1/32", "the endpoint 192.0.2.1:1 of peer"},
	} {
		c.Routes = prefixes(tt.route)
		err := d.Set(t.Context(), c)
		var re *overlay.RouteError
		if !errors.As(err, &re) || re.Route != c.Routes[0] || re.Covers != prefixes(tt.covers)[0] || !strings.Contains(err.Error(), tt.what) {
			t.Errorf("route %s: got %v, want a refusal that names %s, %s", tt.route, err, tt.covers, tt.what)
		}
	}
	if ps, err := d.Peers(); err != nil || len(ps) != 0 {
		t.Errorf("refused configs left %d peers, %v", len(ps), err)
	}
	c.Routes = prefixes("10.67.0.0/16", "fd66::/64")
	set(t, d, c)
	// A network that appears later keeps nobody from updating peers.
	bridge(t, "lan1", "10.67.1.1/24")
	c.Peers = c.Peers[:1]
	set(t, d, c)
}

func TestHostWithoutIPv6(t *testing.T) {
	if !insideLab(t) {
		return
	}
	sysctl := func(iface, value string) {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+iface+"/disable_ipv6", []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sysctl("all", "1")
	sysctl("default", "1")
	var log lockedBuffer
	d := open(t, overlay.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	c := config(t)
	for range 2 {
		set(t, d, c)
	}
	if n := strings.Count(log.String(), "host has IPv6 switched off"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, log.String())
	}
	if got := addresses(t); !strings.Contains(got, "10.66.0.1/32") || strings.Contains(got, "fd66") {
		t.Errorf("addresses %s, want IPv4 alone", got)
	}
	sysctl("cbn0", "0")
	set(t, d, c)
	if got := addresses(t); !strings.Contains(got, "fd66::1/128") {
		t.Errorf("addresses %s: IPv6 did not come back", got)
	}
}

func addresses(t *testing.T) string {
	t.Helper()
	i, err := net.InterfaceByName("cbn0")
	if err != nil {
		t.Fatal(err)
	}
	as, err := i.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range as {
		if s := a.String(); !strings.HasPrefix(s, "fe80:") { // the kernel's own
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

func TestPortTaken(t *testing.T) {
	if !insideLab(t) {
		return
	}
	taken, err := net.ListenUDP("udp", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	port := taken.LocalAddr().(*net.UDPAddr).Port
	d := open(t, overlay.Options{})
	c := config(t)
	c.Port = port
	if err := d.Set(t.Context(), c); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("first Set: %v, want EADDRINUSE", err)
	}
	c.Port = 0
	set(t, d, c)
	c.Port = port
	if err := d.Set(t.Context(), c); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Set of another port: %v, want EADDRINUSE", err)
	}
	taken.Close()
	set(t, d, c)
	if l, err := net.ListenUDP("udp", &net.UDPAddr{Port: port}); err == nil {
		l.Close()
		t.Error("Set succeeded, but does not hold the port")
	}
}

func TestKernelMissing(t *testing.T) {
	if !insideLab(t) {
		return
	}
	d, err := overlay.Open(t.Context(), overlay.Options{Interface: "cbn0", Datapath: overlay.Kernel})
	if err == nil {
		defer d.Close()
		if d.Datapath() != overlay.Kernel {
			t.Errorf("datapath %s", d.Datapath())
		}
		return
	}
	if !errors.Is(err, overlay.ErrNoKernel) || !strings.Contains(err.Error(), "modprobe") {
		t.Errorf("got %v, want ErrNoKernel with a hint", err)
	}
	if d := open(t, overlay.Options{}); d.Datapath() != overlay.Userspace {
		t.Errorf("auto chose %s", d.Datapath())
	}
}

func TestSecretsStayInside(t *testing.T) {
	if !insideLab(t) {
		return
	}
	var log lockedBuffer
	d := open(t, overlay.Options{Datapath: overlay.Userspace, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	c := config(t)
	set(t, d, c)
	c.PrivateKey = mustKey(t)
	set(t, d, c)
	// A careless client of the UAPI socket sends a broken line with the key.
	conn, err := net.Dial("unix", "/var/run/wireguard/cbn0.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("set=1\nprivate_key " + hex.EncodeToString(c.PrivateKey[:]) + "\n\n"))
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	bad := c
	bad.Port = -1
	err = d.Set(t.Context(), bad)
	if err == nil {
		t.Fatal("Set took a bad port")
	}
	for _, text := range []string{log.String(), err.Error()} {
		for _, secret := range []string{c.PrivateKey.String(), hex.EncodeToString(c.PrivateKey[:])} {
			if strings.Contains(text, secret[:20]) {
				t.Errorf("the private key is in %q", text)
			}
		}
	}
	if !strings.Contains(log.String(), "REDACTED") {
		t.Error("the broken line was not logged, so this test shows little")
	}
}

func TestOpenWithEndedContext(t *testing.T) {
	if !insideLab(t) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := overlay.Open(ctx, overlay.Options{Interface: "cbn0"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := linkNames(t); got != "lo" {
		t.Errorf("interfaces %q, want lo", got)
	}
	open(t, overlay.Options{}) // the lock was given back
}

// lockedBuffer collects log lines of several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
