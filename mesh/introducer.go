package mesh

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// introducer lets new nodes in. A stranger gets not one byte from it: until
// the preface is right it only reads, and closes in silence.
type introducer struct {
	m        *Mesh
	listener net.Listener
	prefaces *prefaces
	doorman  *doorman
	callers  *callers
	inside   chan struct{} // one token per introduction under way
	wg       sync.WaitGroup
}

// openIntroducer binds the introducer's port.
func (m *Mesh) openIntroducer(ctx context.Context) (*introducer, error) {
	l, err := m.net.Listen(ctx, m.cfg.Introduce)
	if err != nil {
		return nil, fmt.Errorf("introducer: %w", err)
	}
	return m.newIntroducer(l), nil
}

func (m *Mesh) newIntroducer(l net.Listener) *introducer {
	return &introducer{
		m: m, listener: l, prefaces: newPrefaces(m.roots.CAHashes()...), doorman: newDoorman(), callers: &callers{by: map[string]*visitor{}},
		inside: make(chan struct{}, maxIntroductions),
	}
}

// run serves until ctx ends.
func (i *introducer) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { closeQuietly(i.listener) })
	defer stop()
	defer i.wg.Wait()
	for {
		conn, err := i.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			select { // out of descriptors, perhaps
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		source := sourceOf(addrOf(conn.RemoteAddr()))
		if !i.doorman.enter(source, i.m.now()) {
			i.m.metrics.introductions.WithLabelValues("limited").Inc()
			closeQuietly(conn)
			continue
		}
		i.wg.Go(func() {
			defer i.doorman.leave(source)
			i.receive(ctx, conn)
		})
	}
}

// receive serves one connection and says in the log how it ended.
func (i *introducer) receive(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer func() { stop(); closeQuietly(conn) }()
	remote := addrOf(conn.RemoteAddr())
	if err := i.readPreface(conn); err != nil {
		i.m.metrics.introductions.WithLabelValues(strangeness(err)).Inc()
		if !errors.Is(err, io.EOF) && i.doorman.mayLog(i.m.now()) {
			i.m.log.Warn("stranger refused", "remote", remote, "reason", err)
		}
		return
	}
	select { // many nodes may boot at once: whoever knows the mesh may wait
	case i.inside <- struct{}{}:
		defer func() { <-i.inside }()
	case <-ctx.Done():
		i.m.metrics.introductions.WithLabelValues("limited").Inc()
		return
	}
	caller, err := i.introduce(ctx, conn, remote)
	switch {
	case errors.Is(err, errSelf):
		i.m.metrics.introductions.WithLabelValues("self").Inc()
	case err != nil:
		i.m.metrics.introductions.WithLabelValues(fault(err)).Inc()
		if i.doorman.mayLog(i.m.now()) {
			i.m.log.Warn("node refused", "peer", caller, "remote", remote, "reason", err)
		}
	default:
		i.m.metrics.introductions.WithLabelValues("ok").Inc()
		i.m.log.Debug("node introduced", "peer", caller, "remote", remote)
	}
}

func (i *introducer) readPreface(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return err
	}
	var b [prefaceSize]byte
	if n, err := io.ReadFull(conn, b[:]); err != nil {
		if n == 0 {
			return io.EOF // a scan or a health check: nothing to tell
		}
		return errPreface
	}
	return i.prefaces.check(b[:], i.m.now())
}

// strangeness names what is wrong with a preface, for a metric.
func strangeness(err error) string {
	switch {
	case errors.Is(err, errReplay):
		return "replayed"
	case errors.Is(err, errSkew):
		return "skewed"
	}
	return "stranger"
}

// errSelf: a node called its own introducer.
var errSelf = errors.New("is this node itself")

// introduce speaks TLS and answers one request. It returns the caller's name
// as far as it is known.
func (i *introducer) introduce(ctx context.Context, conn net.Conn, remote netip.Addr) (caller string, err error) {
	if err := conn.SetDeadline(time.Now().Add(joinTimeout)); err != nil {
		return "", err
	}
	var peer *x509.Certificate
	var refused error
	tc := tls.Server(conn, i.m.tlsConfig(func(c *x509.Certificate) error {
		caller, peer = c.Subject.CommonName[:min(len(c.Subject.CommonName), identity.MaxName)], c
		_, refused = i.m.roots.Verify(c, i.m.now())
		return refused
	}))
	if err := tc.HandshakeContext(ctx); err != nil {
		return caller, cmp.Or(refused, err)
	}
	if peer.Equal(i.m.cfg.Bundle.Certificate) {
		return caller, errSelf
	}
	serial := identity.SerialOf(peer)
	if !i.callers.enter(serial, i.m.now()) {
		return caller, errBusy
	}
	defer i.callers.leave(serial)
	// First of all the caller learns its own address: its record may name it, so
	// that everyone has a way to it from the start.
	if err := protocol.WriteFrame(tc, protocol.Reply{Format: protocol.Format, Observed: remote}, protocol.MaxReply); err != nil {
		return caller, err
	}
	q, done, err := i.m.bulk.read(ctx, tc, serial)
	if err != nil {
		return caller, err
	}
	defer done()
	p, err := i.m.admitJoiner(ctx, q, peer)
	if err != nil {
		// The reason goes to a caller that has shown whose certificate it holds.
		return caller, errors.Join(err, protocol.WriteFrame(tc, protocol.Reply{Format: protocol.Format, Error: err.Error()}, protocol.MaxReply))
	}
	return caller, protocol.WriteFrame(tc, p, protocol.MaxReply)
}

// admitJoiner has the machine take a joiner's record, and returns the answer.
func (m *Mesh) admitJoiner(ctx context.Context, q protocol.Request, peer *x509.Certificate) (protocol.Reply, error) {
	a, _, err := await(ctx, m, m.answers, func(id uint64) protocol.Event {
		return protocol.JoinerReceived{ID: id, Certificate: peer, Request: q}
	})
	if err != nil {
		return protocol.Reply{}, err
	}
	return a.Reply, a.Refused
}

// tlsConfig speaks TLS 1.3 with this node's certificate and leaves judging the
// other's to verify: our certificates name no hosts.
func (m *Mesh) tlsConfig(verify func(*x509.Certificate) error) *tls.Config {
	b := m.cfg.Bundle
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{{Certificate: [][]byte{b.Certificate.Raw}, PrivateKey: b.Key, Leaf: b.Certificate}},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // verify does it, by identity.Roots
		SessionTicketsDisabled: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) != 1 {
				return fmt.Errorf("%d certificates, want one: %w", len(raw), identity.ErrFormat)
			}
			c, err := x509.ParseCertificate(raw[0])
			if err != nil {
				return fmt.Errorf("certificate: %w", identity.ErrFormat)
			}
			return verify(c)
		},
	}
}

// doorman bounds what one source, and all together, may ask of the introducer.
type doorman struct {
	logs *rate.Limiter

	mu      sync.Mutex // guards the fields below
	total   int
	sources map[netip.Prefix]*visitor
}

type visitor struct {
	limiter *rate.Limiter
	inside  int
}

func newDoorman() *doorman {
	return &doorman{logs: rate.NewLimiter(1, 20), sources: map[netip.Prefix]*visitor{}}
}

// sourceOf is whom a limit counts: an IPv4 address, or an IPv6 /64, which one
// host may have to itself.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// enter reports whether one more connection of the source may be served; the
// caller then must call leave.
func (d *doorman) enter(source netip.Prefix, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.sources[source]
	if v == nil {
		if len(d.sources) >= maxSources {
			d.sweep(now)
		}
		if len(d.sources) >= maxSources {
			return false
		}
		v = &visitor{limiter: rate.NewLimiter(sourceRate, sourceBurst)}
		d.sources[source] = v
	}
	if !v.limiter.AllowN(now, 1) || d.total >= maxAtDoor || v.inside >= maxPerSource {
		return false
	}
	d.total++
	v.inside++
	return true
}

// sweep forgets sources that have used nothing of their rate.
func (d *doorman) sweep(now time.Time) {
	for s, v := range d.sources {
		if v.inside == 0 && v.limiter.TokensAt(now) >= sourceBurst {
			delete(d.sources, s)
		}
	}
}

func (d *doorman) leave(source netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	d.sources[source].inside--
}

// mayLog keeps strangers from filling the log.
func (d *doorman) mayLog(now time.Time) bool { return d.logs.AllowN(now, 1) }
