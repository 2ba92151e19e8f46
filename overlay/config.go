package overlay

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"
)

// Key is a Curve25519 key of WireGuard, private or public.
type Key [32]byte

// String returns the key in base64, as `wg` prints it.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// IsZero reports whether the key is unset.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads a key in base64. The error never repeats the input: it may be
// a secret.
func ParseKey(s string) (Key, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != len(Key{}) {
		return Key{}, fmt.Errorf("not a WireGuard key: want 32 bytes in base64")
	}
	return Key(b), nil
}

// Config is the whole wanted state of one node's data plane. [Device.Set]
// takes it as often as the caller likes; equal configs change nothing.
type Config struct {
	PrivateKey Key            // of this node
	Port       int            // UDP port WireGuard listens on
	MTU        int            // of the interface, in bytes; 0 means DefaultMTU
	Addresses  []netip.Prefix // of the interface: this node's overlay addresses as /32 and /128
	Routes     []netip.Prefix // sent into the interface: the mesh's prefixes
	Peers      []Peer         // everyone this node may talk to
}

// Peer is one remote node, as the device sees it.
type Peer struct {
	PublicKey Key
	// Endpoint is where to send first. It is applied when the peer is new and
	// when it differs from the endpoint of the previous Set: an endpoint that
	// the device learned by roaming stays otherwise. The zero value leaves the
	// peer's endpoint alone.
	Endpoint netip.AddrPort
	// AllowedIPs are the only addresses the peer may send from, and those that
	// are sent to it. No prefix may belong to two peers.
	AllowedIPs []netip.Prefix
	// Keepalive is the interval of persistent keepalives, whole seconds; zero
	// switches them off.
	Keepalive time.Duration
}

// PeerStatus is what the device knows of a peer at this moment.
type PeerStatus struct {
	PublicKey     Key
	Endpoint      netip.AddrPort // in use now, perhaps learned by roaming; invalid if none
	LastHandshake time.Time      // zero if there was none
	RxBytes       int64
	TxBytes       int64
	AllowedIPs    []netip.Prefix
}
