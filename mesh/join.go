package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// joinLoop calls introducers whenever nobody else can be reached: at the start
// if no remembered peer answers, and later if all are lost. With others in
// reach it calls those introducers that are not, now and then: one that has
// lost its memory knows nobody whom it could call itself. And it calls those
// that it has never met.
func (m *Mesh) joinLoop(ctx context.Context) {
	backoff, strangers := firstRetry, newMeeter(m)
	lost := m.now().Add(lostIntroducers)
	wait := time.Duration(0)
	if m.countPeers() > 0 {
		wait = m.timing.Introducers
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = m.timing.Introducers*4 + rand.N(m.timing.Introducers)
		if m.anyoneUp() {
			backoff = firstRetry
			if !m.now().Before(lost) {
				m.callLost(ctx)
				lost = m.now().Add(lostIntroducers + rand.N(lostIntroducers))
			}
			if again := strangers.meet(ctx); again > 0 {
				wait = min(wait, again)
			}
			continue
		}
		addrs := m.introducers()
		if len(addrs) == 0 {
			if m.cfg.Introduce != "" {
				m.becomeReady() // the first one here
			} else if m.countPeers() == 0 {
				m.warn("nobody to join: the bundle names no introducer, and no peer is remembered")
			}
			continue
		}
		if err := m.callAny(ctx, addrs); err != nil && ctx.Err() == nil {
			if m.cfg.Introduce == "" || m.countPeers() > 0 {
				m.log.Warn("no introducer let this node in", "err", err)
			}
			if m.cfg.Introduce != "" {
				m.becomeReady() // others may come to this one
			}
			wait = backoff + rand.N(backoff)
			backoff = min(2*backoff, 15*time.Second)
		} else if len(strangers.unmet()) > 0 {
			wait = m.timing.Introducers / 2 // somebody will be up by then
		}
	}
}

func (m *Mesh) countPeers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.links)
}

func (m *Mesh) anyoneUp() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.links {
		if l.up() {
			return true
		}
	}
	return false
}

// callLost calls the introducers among the members that do not answer.
func (m *Mesh) callLost(ctx context.Context) {
	addrs := m.introducersThat(func(l *link) bool { return !l.up() })
	if len(addrs) == 0 {
		return
	}
	if err := m.callAny(ctx, addrs); err != nil {
		m.log.Debug("introducers not reached", "err", err) // they are down
	}
}

// introducersThat returns where those of the members introduce whose link is
// so, without this node's own address.
func (m *Mesh) introducersThat(is func(*link) bool) (addrs []string) {
	m.mu.Lock()
	for _, l := range m.links {
		r := l.signed.Record
		mayIntroduce := l.signed.Grant.Has(identity.RoleIntroducer) || l.signed.Grant.Has(identity.RoleServer)
		if r.Introduce != "" && !r.Away && mayIntroduce && identity.ParseHostPort(r.Introduce) == nil && is(l) {
			addrs = append(addrs, r.Introduce)
		}
	}
	m.mu.Unlock()
	return slices.DeleteFunc(addrs, m.isSelf)
}

// introducers returns where to call: the bundle's, and those that peers name,
// in random order, without this node's own.
func (m *Mesh) introducers() []string {
	addrs := append(m.introducersThat(func(*link) bool { return true }), m.cfg.Bundle.Introducers...)
	slices.Sort(addrs)
	addrs = slices.DeleteFunc(slices.Compact(addrs), m.isSelf)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs
}

// callAny calls introducers, a new one each second until one has let us in.
func (m *Mesh) callAny(ctx context.Context, addrs []string) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout+time.Duration(len(addrs))*time.Second)
	defer cancel()
	results := make(chan error, len(addrs))
	started, finished := 0, 0
	start := func() {
		addr := addrs[started]
		started++
		go func() { results <- m.call(ctx, addr) }()
	}
	defer func() {
		cancel()
		for ; finished < started; finished++ {
			<-results
		}
	}()
	start()
	var errs []string
	for finished < len(addrs) {
		select {
		case err := <-results:
			finished++
			if err == nil {
				return nil
			}
			if !errors.Is(err, errSelf) {
				errs = append(errs, err.Error())
			}
		case <-time.After(time.Second):
		}
		if started < len(addrs) {
			start()
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w but this node itself", ErrNotIntroduced)
	}
	return fmt.Errorf("%w: %s", ErrNotIntroduced, strings.Join(errs, "; "))
}

// call has one introducer let this node in.
func (m *Mesh) call(ctx context.Context, addr string) error {
	p, who, err := m.introduceTo(ctx, addr)
	if err != nil {
		return fmt.Errorf("introducer %s: %w", addr, err)
	}
	if len(p.Revocations) > 0 {
		if err := m.applyRevocations(ctx, p.Revocations, who); err != nil && !errors.Is(err, identity.ErrOutdated) {
			m.warn("revocation list refused", "source", who, "err", err)
		}
	}
	// Who has programmed us may be called at once; the others may not know us
	// yet, and a handshake they drop would be repeated only after 5 s.
	m.admit(p.Records, who, func(node string) time.Duration {
		if slices.Contains(p.Acknowledged, node) {
			return 0
		}
		return m.timing.Acknowledge + m.yield(node)
	})
	m.log.Info("introduced", "introducer", who, "members", len(p.Records), "acknowledged", len(p.Acknowledged))
	if err := m.apply(ctx); err != nil {
		return err
	}
	notify(m.wake)
	return nil
}

// introduceTo does the exchange with an introducer and returns its answer and
// its name.
func (m *Mesh) introduceTo(ctx context.Context, addr string) (p reply, who string, err error) {
	dial, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := m.net.Dial(dial, netip.Addr{}, addr)
	if err != nil {
		return reply{}, "", err
	}
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer func() { stop(); closeQuietly(conn) }()
	if err := conn.SetDeadline(time.Now().Add(joinTimeout)); err != nil {
		return reply{}, "", err
	}
	pre, err := newPreface(m.roots.IssuerHash(m.cfg.Bundle.Certificate), m.now())
	if err != nil {
		return reply{}, "", err
	}
	if _, err := conn.Write(pre); err != nil {
		return reply{}, "", err
	}
	var peer *x509.Certificate
	tc := tls.Client(conn, m.tlsConfig(func(c *x509.Certificate) error {
		peer = c
		return m.verifyIntroducer(c)
	}))
	if err := tc.HandshakeContext(ctx); err != nil {
		return reply{}, "", silence(err)
	}
	who = peer.Subject.CommonName
	if peer.Equal(m.cfg.Bundle.Certificate) {
		return reply{}, who, errSelf
	}
	greeting, err := readReply(tc, maxSmall)
	if err != nil {
		return reply{}, who, silence(err)
	}
	m.setObserved(greeting.Observed)
	m.mu.Lock()
	q := request{Format: format, From: m.grant.Node, Records: [][]byte{m.self.Envelope}, Revocations: m.roots.Revocations()}
	m.mu.Unlock()
	if err := writeFrame(tc, q, maxRequest); err != nil {
		return reply{}, who, err
	}
	p, err = readReply(tc, maxReply)
	return p, who, silence(err)
}

// verifyIntroducer accepts nodes that may introduce, and this node itself.
func (m *Mesh) verifyIntroducer(c *x509.Certificate) error {
	g, err := m.roots.Verify(c, m.now())
	if err != nil {
		return err
	}
	if !g.Has(identity.RoleIntroducer) && !g.Has(identity.RoleServer) && g.Node != m.grant.Node {
		return fmt.Errorf("%s may not introduce: %w", g.Node, identity.ErrGrant)
	}
	return nil
}

// silence explains a connection that was closed without an answer.
func silence(err error) error {
	// crypto/tls reports an alert of the other side so, over TCP.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return fmt.Errorf("it refuses this node's certificate, as of another CA, expired or revoked: %w", err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("closed the connection without a word: it is of another mesh, or the clocks differ by more than %s: %w", maxSkew, err)
	}
	return err
}
