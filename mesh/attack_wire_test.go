package mesh_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"hash/fnv"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
)

// What a member that lies writes by itself: the bytes of memberlist's messages,
// of our packets, and of certificates that our code would not issue.

// pack encodes names and values as a map in MessagePack, as memberlist does.
func pack(pairs ...any) []byte {
	b := []byte{0x80 | byte(len(pairs)/2)}
	for _, v := range pairs {
		b = packOne(b, v)
	}
	return b
}

func packOne(b []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	case uint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), v)
	case bool:
		if v {
			return append(b, 0xc3)
		}
		return append(b, 0xc2)
	case string:
		return packBytes(b, []byte(v))
	case []byte:
		return packBytes(b, v)
	}
	panic("no such value")
}

func packBytes(b, v []byte) []byte {
	switch {
	case len(v) < 32:
		b = append(b, 0xa0|byte(len(v)))
	case len(v) < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(v)))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(len(v)))
	}
	return append(b, v...)
}

var versions = []byte{1, 5, 2, 0, 0, 0}

// memberlist's messages.

func aliveMsg(name string, at netip.Addr, incarnation uint32, meta []byte) []byte {
	return append([]byte{4}, pack("Incarnation", incarnation, "Node", name, "Addr", at.AsSlice(),
		"Port", mesh.GossipPort, "Meta", meta, "Vsn", versions)...)
}

func suspectMsg(name, from string, incarnation uint32) []byte {
	return append([]byte{3}, pack("Incarnation", incarnation, "Node", name, "From", from)...)
}

func deadMsg(name, from string, incarnation uint32) []byte {
	return append([]byte{5}, pack("Incarnation", incarnation, "Node", name, "From", from)...)
}

func pushPull(nodes, userState int, rest ...[]byte) []byte {
	head := append([]byte{6}, pack("Nodes", nodes, "UserStateLen", userState, "Join", false)...)
	return append(head, bytes.Join(rest, nil)...)
}

func nodeState(name string, at netip.Addr, incarnation uint32, state int, meta []byte) []byte {
	return pack("Name", name, "Addr", at.AsSlice(), "Port", mesh.GossipPort, "Meta", meta,
		"Incarnation", incarnation, "State", state, "Vsn", versions)
}

// metaOf is what gossip says of a node's record.
func metaOf(node string, version uint64, hash []byte) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node)) // a hash never errs
	b := binary.BigEndian.AppendUint64([]byte{1, 0}, h.Sum64())
	b = binary.BigEndian.AppendUint64(b, version)
	return append(b, append(hash, make([]byte, 16)...)[:16]...)
}

func echoMsg(kind byte, meta []byte, revocations uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{mesh.Magic, 1, kind}, 77)
	return binary.BigEndian.AppendUint64(append(b, meta...), revocations)
}

// frame is a message of ours with any length before it.
func frame(size uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{mesh.Magic}, size), body...)
}

func udpAddr(a netip.Addr) *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, mesh.GossipPort))
}

// talk says something and returns what comes back until the other closes.
func talk(t *testing.T, c net.Conn, say []byte) []byte {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Write(say) // it may be cut off
	}()
	got, _ := io.ReadAll(io.LimitReader(c, 1<<20)) // an error is an answer
	closeConn(t, c)
	<-done
	return got
}

// forge seals a payload as identity does, with nothing checked.
func forge(context string, payload []byte, key ed25519.PrivateKey, cert []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{identity.Format}, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(append(b, payload...), uint32(len(cert)))
	b = append(b, cert...)
	return append(b, ed25519.Sign(key, append([]byte(context), b...))...)
}

const (
	forRecord      = "cbnet record v1\x00"
	forRevocations = "cbnet revocations v1\x00"
)

// certify makes a certificate for any grant, which our CA code may refuse, and
// for any time.
type certify struct {
	grant     identity.Grant
	key       ed25519.PrivateKey // of the node; it gets one
	ip6       netip.Addr         // the key's if not valid
	notBefore time.Time
	notAfter  time.Time
	issuer    *x509.Certificate // the CA's if nil
	issuerKey ed25519.PrivateKey
}

// bundle issues it.
func (c certify) bundle(t *testing.T, ca *identity.CA) *identity.Bundle {
	t.Helper()
	if c.key == nil {
		_, c.key, _ = ed25519.GenerateKey(rand.Reader) // never errs
	}
	if c.issuer == nil {
		c.issuer, c.issuerKey = ca.Certificate, caKey(t, ca)
	}
	if c.notAfter.IsZero() {
		c.notBefore, c.notAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	pub := c.key.Public().(ed25519.PublicKey)
	c.grant.Format, c.grant.Mesh, c.grant.IP6 = identity.Format, ca.Mesh.Name, ca.Mesh.IP6(pub)
	if c.ip6.IsValid() {
		c.grant.IP6 = c.ip6
	}
	ext, err := json.Marshal(c.grant)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: c.grant.Node},
		URIs:      []*url.URL{{Scheme: "cbnet", Host: ca.Mesh.Name, Path: "/" + c.grant.Node}},
		NotBefore: c.notBefore, NotAfter: c.notAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 66, 1}, Value: ext}},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.issuer, pub, c.issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity.Bundle{Certificate: cert, Key: c.key, CAs: []*x509.Certificate{ca.Certificate}}
}

// caKey takes the key out of an authority.
func caKey(t *testing.T, ca *identity.CA) ed25519.PrivateKey {
	t.Helper()
	_, text, err := ca.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(ed25519.PrivateKey)
}
