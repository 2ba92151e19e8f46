package protocol

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

// TestEqualSeesAllFields: a field that is added must be compared.
func TestEqualSeesAllFields(t *testing.T) {
	full := func() overlay.Config {
		return overlay.Config{PrivateKey: overlay.Key{1}, Port: 1, MTU: 1, Addresses: []netip.Prefix{{}}, Routes: []netip.Prefix{{}},
			Peers: []overlay.Peer{{PublicKey: overlay.Key{1}, AllowedIPs: []netip.Prefix{{}}, Keepalive: time.Second, Endpoint: netip.MustParseAddrPort("1.2.3.4:5")}}}
	}
	if !equal(full(), full()) {
		t.Fatal("equal ones differ")
	}
	each := func(v func(*overlay.Config) reflect.Value) {
		for i := range v(new(full())).NumField() {
			c := full()
			f := v(&c).Field(i)
			f.SetZero()
			if equal(full(), c) {
				t.Errorf("%s is not compared", v(&c).Type().Field(i).Name)
			}
		}
	}
	each(func(c *overlay.Config) reflect.Value { return reflect.ValueOf(c).Elem() })
	each(func(c *overlay.Config) reflect.Value { return reflect.ValueOf(&c.Peers[0]).Elem() })
}
