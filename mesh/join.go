package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Until an introducer has let us in, the next one is called after so long: the
// first value if none of those called has spoken yet, else the second, since
// that one is at work and may have many to let in.
const (
	nextIfSilent  = time.Second
	nextIfGreeted = 4 * time.Second
)

// Times that an introducer is called that refuses connections, and how often.
const (
	maxKnocks  = 4
	knockEvery = 200 * time.Millisecond
)

// callTimeout bounds connecting to an introducer: one that is there answers the
// second packet at the latest. Nobody answers a node behind a NAT at its own
// public address.
const callTimeout = 2500 * time.Millisecond

// callAny calls introducers one after the other until one has let us in.
func (m *Mesh) callAny(ctx context.Context, addrs []string) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout+time.Duration(len(addrs))*time.Second)
	defer cancel()
	results := make(chan error, len(addrs))
	greetings := make(chan struct{}, len(addrs))
	started, finished := 0, 0
	start := func() {
		addr := addrs[started]
		started++
		go func() { results <- m.knock(ctx, addr, greetings) }()
	}
	defer func() {
		cancel()
		for ; finished < started; finished++ {
			<-results
		}
	}()
	start()
	next := time.NewTimer(nextIfSilent)
	defer next.Stop()
	var errs []string
	for finished < len(addrs) {
		select {
		case <-greetings:
			next.Reset(nextIfGreeted)
			continue
		case err := <-results:
			finished++
			if err == nil {
				return nil
			}
			if !errors.Is(err, errSelf) {
				errs = append(errs, err.Error())
			}
		case <-next.C:
		}
		if started < len(addrs) {
			start()
		}
		next.Reset(nextIfSilent)
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w but this node itself", ErrNotIntroduced)
	}
	return fmt.Errorf("%w: %s", ErrNotIntroduced, strings.Join(errs, "; "))
}

// callEach calls introducers, all at once.
func (m *Mesh) callEach(ctx context.Context, addrs []string) protocol.CallEnded {
	errs := make([]error, len(addrs))
	var g errgroup.Group
	for i, a := range addrs {
		g.Go(func() error {
			errs[i] = m.callAny(ctx, []string{a})
			return nil
		})
	}
	_ = g.Wait() // the functions return no error
	e := protocol.CallEnded{Err: errors.Join(errs...)}
	for i, a := range addrs {
		if errs[i] == nil {
			e.Met = append(e.Met, a)
		}
	}
	return e
}

// knock calls an introducer, and again if nobody listens there yet: when a whole
// mesh starts, it may be about to. Whoever went to the next one at once would
// begin another mesh with it.
func (m *Mesh) knock(ctx context.Context, addr string, greetings chan<- struct{}) error {
	for tries := 1; ; tries++ {
		err := m.call(ctx, addr, greetings)
		if tries == maxKnocks || !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(knockEvery):
		}
	}
}

// call has one introducer let this node in, and tells when it has greeted.
func (m *Mesh) call(ctx context.Context, addr string, greetings chan<- struct{}) error {
	p, who, err := m.introduceTo(ctx, addr, func() { greetings <- struct{}{} })
	if err != nil {
		return fmt.Errorf("introducer %s: %w", addr, err)
	}
	m.step(protocol.Introduced{By: who, Reply: p})
	return nil
}

// introduceTo does the exchange with an introducer and returns its answer and
// its name.
func (m *Mesh) introduceTo(ctx context.Context, addr string, greeted func()) (p protocol.Reply, who string, err error) {
	dial, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := m.net.Dial(dial, netip.Addr{}, addr)
	if err != nil {
		return protocol.Reply{}, "", err
	}
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer func() { stop(); closeQuietly(conn) }()
	if err := conn.SetDeadline(time.Now().Add(joinTimeout)); err != nil {
		return protocol.Reply{}, "", err
	}
	pre, err := newPreface(m.roots.IssuerHash(m.cfg.Bundle.Certificate), m.now())
	if err != nil {
		return protocol.Reply{}, "", err
	}
	if _, err := conn.Write(pre); err != nil {
		return protocol.Reply{}, "", err
	}
	var peer *x509.Certificate
	tc := tls.Client(conn, m.tlsConfig(func(c *x509.Certificate) error {
		peer = c
		return m.verifyIntroducer(c)
	}))
	if err := tc.HandshakeContext(ctx); err != nil {
		return protocol.Reply{}, "", silence(err)
	}
	who = peer.Subject.CommonName
	if peer.Equal(m.cfg.Bundle.Certificate) {
		return protocol.Reply{}, who, errSelf
	}
	greeting, err := protocol.ReadReply(tc, protocol.MaxSmall)
	if err != nil {
		return protocol.Reply{}, who, silence(err)
	}
	greeted()
	ask, _, err := await(ctx, m, m.asks, func(id uint64) protocol.Event {
		return protocol.Greeted{Call: id, Observed: greeting.Observed}
	})
	if err != nil {
		return protocol.Reply{}, who, err
	}
	if err := protocol.WriteFrame(tc, ask.Request, protocol.MaxRequest); err != nil {
		return protocol.Reply{}, who, err
	}
	p, err = protocol.ReadReply(tc, protocol.MaxReply)
	return p, who, silence(err)
}

// verifyIntroducer accepts nodes that may introduce, and this node itself.
func (m *Mesh) verifyIntroducer(c *x509.Certificate) error {
	g, err := m.roots.Verify(c, m.now())
	if err != nil {
		return err
	}
	if !protocol.MayIntroduce(g) && g.Node != m.grant.Node {
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
