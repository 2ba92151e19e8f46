package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// lab is two clouds with one range of addresses:
//
//	vpc 10.0.0.0/16, internet gateway        tenant 10.0.0.0/16, router with SNAT
//	  web  10.0.1.5, public                    app  10.0.1.5
//	  db   10.0.1.6                            off  10.0.1.9, machine is not on
type lab struct {
	*Fabric
	t   *testing.T
	pub netip.Addr // of web
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("machines need root")
		}
		t.Skip("machines need root")
	}
	f, err := Open(t.Context(), Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	l := &lab{Fabric: f, t: t}
	ctx := t.Context()
	out := Rule{} // all egress
	l.must(f.AddNetwork(ctx, Network{ID: "vpc", CIDR: prefix("10.0.0.0/16"), MTU: 9001}))
	l.must(f.SetGateway(ctx, "vpc", Gateway{Attached: true}))
	l.must(f.AddNetwork(ctx, Network{ID: "tenant", CIDR: prefix("10.0.0.0/16"), MetadataIP: addr(otherMetadata)}))
	l.must(f.SetGateway(ctx, "tenant", Gateway{Attached: true, SNAT: true}))
	l.pub, err = f.AllocatePublic(ctx)
	l.must(err)
	l.must(f.MapPublic(ctx, l.pub, "vpc", addr("10.0.1.5")))
	l.must(f.SetFirewall(ctx, "vpc", addr("10.0.1.5"), []Rule{
		out, {Ingress: true, Protocol: "tcp", FromPort: 80, ToPort: 80}, {Ingress: true, Protocol: "udp", FromPort: 51820, ToPort: 51820},
	}))
	l.must(f.SetFirewall(ctx, "vpc", addr("10.0.1.6"), []Rule{
		out, {Ingress: true, Protocol: "tcp", FromPort: 80, ToPort: 80, CIDR: prefix("10.0.1.5/32")},
	}))
	l.must(f.SetFirewall(ctx, "tenant", addr("10.0.1.5"), []Rule{out}))
	for id, v := range map[string]VM{
		"web": {NetworkID: "vpc", PrivateIP: addr("10.0.1.5")},
		"db":  {NetworkID: "vpc", PrivateIP: addr("10.0.1.6")},
		"app": {NetworkID: "tenant", PrivateIP: addr("10.0.1.5")},
	} {
		v.ID, v.Subnet, v.Datasource = id, prefix("10.0.1.0/24"), "OpenStack"
		v.Metadata = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metadata of "+id) })
		l.must(f.StartVM(ctx, v))
	}
	for _, id := range []string{"web", "db", "app"} {
		l.must(f.WaitVM(ctx, id, StateRunning))
	}
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// at runs do in the namespace of a machine, or of this host.
func (l *lab) at(vm string, do func() error) error {
	if vm == "host" {
		return onThread(do)
	}
	return inNetns(l.NetNS(vm), do)
}

// listen answers on a machine, by TCP or UDP, with the caller's address.
func (l *lab) listen(vm, network, at string) {
	l.t.Helper()
	l.must(l.at(vm, func() error {
		if network == "udp" {
			c, err := net.ListenPacket("udp4", at)
			if err != nil {
				return err
			}
			l.t.Cleanup(func() { c.Close() })
			go echo(c)
			return nil
		}
		s, err := net.Listen("tcp4", at)
		if err != nil {
			return err
		}
		l.t.Cleanup(func() { s.Close() })
		go func() {
			for {
				c, err := s.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
				c.Close()
			}
		}()
		return nil
	}))
}

func echo(c net.PacketConn) {
	b := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if _, err := c.WriteTo([]byte(from.(*net.UDPAddr).IP.String()), from); err != nil {
			return
		}
	}
}

// call asks a listener who is calling; a from other than "" is the source address
// to bind.
func (l *lab) call(vm, from, network, to string) (caller string, err error) {
	err = l.at(vm, func() error {
		d := net.Dialer{Timeout: 700 * time.Millisecond}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		c, err := d.DialContext(l.t.Context(), network, to)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(700 * time.Millisecond)); err != nil {
			return err
		}
		if network == "udp4" {
			if _, err := c.Write([]byte("who?")); err != nil {
				return err
			}
			b := make([]byte, 64)
			n, err := c.Read(b)
			caller = string(b[:n])
			return err
		}
		b, err := io.ReadAll(c)
		caller = string(b)
		return err
	})
	return caller, err
}

func TestNetworks(t *testing.T) {
	l := newLab(t)
	for _, vm := range []string{"web", "db", "app"} {
		l.listen(vm, "tcp", ":80")
		l.listen(vm, "tcp", ":81")
		l.listen(vm, "udp", ":51820")
	}
	l.listen("host", "tcp", ":8080")
	l.listen("host", "udp", ":8080")
	pub, host, gw := l.pub.String(), HostIP().String(), l.GatewayIP("tenant").String()
	for _, c := range []struct {
		name, vm, from, network, to string
		want                        string // the caller as the listener sees it; "" = no way
	}{
		{"internet to public port", "host", "", "tcp4", pub + ":80", host},
		{"internet to public udp port", "host", "", "udp4", pub + ":51820", host},
		{"internet to port without rule", "host", "", "tcp4", pub + ":81", ""},
		{"public address is the source", "web", "", "tcp4", host + ":8080", pub},
		{"no public address, no way out", "db", "", "tcp4", host + ":8080", ""},
		{"source NAT of the router", "app", "", "tcp4", host + ":8080", gw},
		{"source NAT of udp", "app", "", "udp4", host + ":8080", gw},
		{"cloud to cloud", "app", "", "tcp4", pub + ":80", gw},
		{"nobody gets in by the router's address", "host", "", "tcp4", gw + ":80", ""},
		{"neighbour, by rule", "web", "", "tcp4", "10.0.1.6:80", "10.0.1.5"},
		{"neighbour, no rule for the port", "web", "", "tcp4", "10.0.1.6:81", ""},
		{"neighbour by public address", "db", "", "tcp4", pub + ":80", ""}, // has no way out
		{"neighbour, other direction", "db", "", "tcp4", "10.0.1.5:80", "10.0.1.6"},
		{"own public address", "web", "", "tcp4", pub + ":80", pub},
		{"address nobody has", "web", "", "tcp4", "10.0.1.99:80", ""},
		{"outside the internet", "web", "", "tcp4", "192.0.2.1:80", ""},
	} {
		caller, err := l.call(c.vm, c.from, c.network, c.to)
		if caller != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %s to %s: got caller %q, error %v; want %q", c.name, c.vm, c.to, caller, err, c.want)
		}
	}
	t.Run("spoofing", func(t *testing.T) { testSpoofing(t, l) })
	t.Run("metadata", func(t *testing.T) { testMetadata(t, l) })
	t.Run("changes", func(t *testing.T) { testChanges(t, l) })
}

// testSpoofing sends from addresses that are a neighbour's or nobody's.
func testSpoofing(t *testing.T, l *lab) {
	for _, from := range []string{"10.0.1.6", "10.0.1.77", "198.18.0.77"} {
		l.must(l.at("app", func() error { return addressLoopback(from) }))
		if caller, err := l.call("app", from, "tcp4", HostIP().String()+":8080"); err == nil {
			t.Errorf("from %s: got through as %s", from, caller)
		}
	}
}

// otherMetadata is where one of the lab's networks has its metadata service.
const otherMetadata = "100.100.100.200"

// testMetadata checks that each machine sees its own and nobody else's, and at
// its network's address only.
func testMetadata(t *testing.T, l *lab) {
	get := func(vm, at string) (string, error) {
		var body string
		err := l.at(vm, func() error {
			c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
				var conn net.Conn
				err := l.at(vm, func() (err error) {
					conn, err = (&net.Dialer{}).DialContext(ctx, network, at)
					return err
				})
				return conn, err
			}}}
			r, err := c.Get("http://" + at + "/latest/")
			if err != nil {
				return err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			body = string(b)
			return err
		})
		return body, err
	}
	for vm, at := range map[string][2]string{
		"web": {metadataIP, otherMetadata}, "db": {metadataIP, otherMetadata}, "app": {otherMetadata, metadataIP},
	} {
		if got, err := get(vm, at[0]); got != "metadata of "+vm {
			t.Errorf("%s: got %q, %v", vm, got, err)
		}
		if got, err := get(vm, at[1]); err == nil {
			t.Errorf("%s at the other address: got %q", vm, got)
		}
	}
	l.must(l.at("host", func() error { return routeVia(metadataIP, l.pub.String()) }))
	if got, err := get("host", metadataIP); err == nil {
		t.Errorf("from the internet: got %q", got)
	}
}

// testChanges takes rules, addresses and the gateway away again.
func testChanges(t *testing.T, l *lab) {
	ctx := t.Context()
	reach := func() error {
		_, err := l.call("host", "", "tcp4", l.pub.String()+":80")
		return err
	}
	l.must(reach())
	for _, step := range []struct {
		name    string
		off, on func() error
	}{
		{"rules", func() error { return l.SetFirewall(ctx, "vpc", addr("10.0.1.5"), nil) },
			func() error { return l.SetFirewall(ctx, "vpc", addr("10.0.1.5"), []Rule{{Ingress: true}}) }},
		{"mapping", func() error { return l.UnmapPublic(ctx, l.pub) },
			func() error { return l.MapPublic(ctx, l.pub, "vpc", addr("10.0.1.5")) }},
		{"gateway", func() error { return l.SetGateway(ctx, "vpc", Gateway{}) },
			func() error { return l.SetGateway(ctx, "vpc", Gateway{Attached: true}) }},
	} {
		l.must(step.off())
		if reach() == nil {
			t.Errorf("without %s: still reached", step.name)
		}
		l.must(step.on())
		if err := reach(); err != nil {
			t.Errorf("with %s again: %v", step.name, err)
		}
	}
	// The address moves to another network: neighbours must learn it at once.
	l.must(l.UnmapPublic(ctx, l.pub))
	l.must(l.MapPublic(ctx, l.pub, "tenant", addr("10.0.1.5")))
	l.must(l.SetFirewall(ctx, "tenant", addr("10.0.1.5"), []Rule{{}, {Ingress: true}}))
	if err := reach(); err != nil {
		t.Errorf("moved to another network: %v", err)
	}
}

func TestLockedByAnother(t *testing.T) {
	l := newLab(t)
	_, err := Open(t.Context(), Options{StateDir: t.TempDir()})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v, want a refusal with pid %d", err, os.Getpid())
	}
	l.must(l.DeleteVM(t.Context(), "web")) // the first one is not disturbed
	l.must(l.WaitVM(t.Context(), "web", StateTerminated))
}
