package kernel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"

	"github.com/cbnet-io/cbnet/overlay"
)

const iface = "cbn0"

// state is what stateTool prints, as JSON.
type state struct {
	Datapath string
	First    string   // the device after a Set, in words
	Second   string   // and after an equal one
	Changes  []string // that the second Set logged
	Messages []string // that the kernel sent about the interface meanwhile
	Seen     int      // how many it sent about the first Set
}

// stateTool (DATAPATH) brings a device into a fixed state, twice.
func stateTool(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	dev, err := overlay.Open(ctx, overlay.Options{
		Interface: iface, Datapath: overlay.Datapath(args[0]),
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return err
	}
	s, err := twice(ctx, dev, &log)
	if err != nil {
		return err
	}
	if err := dev.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

func twice(ctx context.Context, dev *overlay.Device, log *bytes.Buffer) (s state, err error) {
	s.Datapath = string(dev.Datapath())
	mon, err := watch(ctx, iface)
	if err != nil {
		return s, err
	}
	c := fixedConfig()
	if err := dev.Set(ctx, c); err != nil {
		return s, err
	}
	if s.First, err = dump(iface); err != nil {
		return s, err
	}
	s.Seen = len(mon.quiet(3 * time.Second)) // IPv6 settles for a while
	log.Reset()
	if err := dev.Set(ctx, c); err != nil {
		return s, err
	}
	for line := range strings.Lines(log.String()) {
		s.Changes = append(s.Changes, strings.TrimSpace(line))
	}
	if s.Second, err = dump(iface); err != nil {
		return s, err
	}
	// These prove, on each of its sockets, that the monitor still hears.
	c.MTU++
	c.Addresses = append(c.Addresses, netip.MustParsePrefix("10.66.0.99/32"))
	c.Routes = append(c.Routes, netip.MustParsePrefix("192.168.99.0/24"))
	if err := dev.Set(ctx, c); err != nil {
		return s, err
	}
	s.Messages, err = mon.until(ctx, fmt.Sprintf("link mtu %d", c.MTU), "addr 10.66.0.99/32", "route 10.66.0.99/32", "route 192.168.99.0/24")
	return s, err
}

// fixedConfig uses everything a configuration can hold.
func fixedConfig() overlay.Config {
	prefixes := func(ss ...string) (out []netip.Prefix) {
		for _, s := range ss {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	key := func(b byte) (k overlay.Key) {
		for i := range k {
			k[i] = b + byte(i)
		}
		k[0] &= 248 // a private key as X25519 wants it
		k[31] = k[31]&127 | 64
		return k
	}
	return overlay.Config{
		PrivateKey: key(1), Port: 51999, MTU: 1290,
		Addresses: prefixes("10.66.0.1/32", "fd66::1/128"),
		Routes:    prefixes("10.66.0.0/16", "fd66::/64", "192.168.77.0/24"),
		Peers: []overlay.Peer{
			{PublicKey: key(40), Endpoint: netip.MustParseAddrPort("192.0.2.40:51820"), Keepalive: 25 * time.Second, AllowedIPs: prefixes("10.66.0.2/32", "fd66::2/128")},
			{PublicKey: key(80), Endpoint: netip.MustParseAddrPort("[2001:db8::80]:7"), AllowedIPs: prefixes("10.66.0.3/32", "192.168.77.0/24", "fd66::3/128")},
			{PublicKey: key(120), Keepalive: time.Second, AllowedIPs: prefixes("10.66.0.4/32")},
			{PublicKey: key(160), Endpoint: netip.MustParseAddrPort("[::ffff:198.51.100.1]:9")},
		},
	}
}

// dump reads an interface back, whichever datapath it has, into one canonical
// text. Link-local addresses and the routes they bring are the kernel's own
// affair and left out: it gives one to a TUN device and none to its WireGuard.
func dump(name string) (string, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return "", err
	}
	a := link.Attrs()
	lines := []string{fmt.Sprintf("link up=%t mtu=%d alias=%s", a.Flags&net.FlagUp != 0, a.MTU, a.Alias)}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return "", err
	}
	for _, x := range addrs {
		if !x.IP.IsLinkLocalUnicast() {
			lines = append(lines, fmt.Sprintf("addr %s scope=%d flags=%#x valid=%d", x.IPNet, x.Scope, x.Flags, x.ValidLft))
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: a.Index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return "", err
	}
	for _, r := range routes {
		if !r.Dst.IP.IsLinkLocalUnicast() {
			lines = append(lines, fmt.Sprintf("route %s protocol=%d scope=%d metric=%d type=%d", r.Dst, r.Protocol, r.Scope, r.Priority, r.Type))
		}
	}
	wg, err := dumpWireGuard(name)
	if err != nil {
		return "", err
	}
	lines = append(lines, wg...)
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n", nil
}

func dumpWireGuard(name string) ([]string, error) {
	c, err := wgctrl.New()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	d, err := c.Device(name)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("wg private-key=%s public-key=%s port=%d fwmark=%d", d.PrivateKey, d.PublicKey, d.ListenPort, d.FirewallMark)}
	for _, p := range d.Peers {
		var allowed []string
		for _, n := range p.AllowedIPs {
			allowed = append(allowed, n.String())
		}
		slices.Sort(allowed)
		lines = append(lines, fmt.Sprintf("wg peer=%s endpoint=%v keepalive=%s allowed-ips=%s psk=%s version=%d",
			p.PublicKey, p.Endpoint, p.PersistentKeepaliveInterval, strings.Join(allowed, ","), p.PresharedKey, p.ProtocolVersion))
	}
	return lines, nil
}

// monitor hears what the kernel says about an interface, as `ip monitor` does.
type monitor struct{ said chan string }

func watch(ctx context.Context, name string) (*monitor, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	index := link.Attrs().Index
	m := &monitor{said: make(chan string, 1000)}
	links, addrs, routes := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate)
	for _, err := range []error{
		netlink.LinkSubscribe(links, ctx.Done()), netlink.AddrSubscribe(addrs, ctx.Done()), netlink.RouteSubscribe(routes, ctx.Done()),
	} {
		if err != nil {
			return nil, err
		}
	}
	say := func(of int, format string, args ...any) {
		if of == index {
			m.said <- fmt.Sprintf(format, args...)
		}
	}
	go func() { // ends with ctx, at the latest with the process
		for {
			select {
			case u := <-links:
				if u.Link != nil {
					say(int(u.Index), "link mtu %d", u.Attrs().MTU)
				}
			case u := <-addrs:
				say(u.LinkIndex, "addr %s", u.LinkAddress.String())
			case u := <-routes:
				say(u.LinkIndex, "route %s", u.Dst)
			case <-ctx.Done():
				return
			}
		}
	}()
	return m, nil
}

// quiet returns what was said before a silence of the given length.
func (m *monitor) quiet(silence time.Duration) (said []string) {
	for {
		select {
		case s := <-m.said:
			said = append(said, s)
		case <-time.After(silence):
			return said
		}
	}
}

// until waits for messages and returns what else was said before each kind's.
func (m *monitor) until(ctx context.Context, want ...string) (others []string, err error) {
	for len(want) > 0 {
		select {
		case s := <-m.said:
			if i := slices.Index(want, s); i >= 0 {
				want = slices.Delete(want, i, i+1)
				continue
			}
			others = append(others, s)
		case <-ctx.Done():
			return others, fmt.Errorf("the kernel did not say %q", want)
		}
	}
	return others, nil
}
