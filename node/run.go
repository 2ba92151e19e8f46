package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/internal/version"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/node/enroll"
	"github.com/cbnet-io/cbnet/node/remote"
	"github.com/cbnet-io/cbnet/overlay"
)

// teardown is how long Run takes at most to say goodbye and clean up.
const teardown = 5 * time.Second

// errLeft is why Run ends after Leave.
var errLeft = errors.New("left the mesh")

// Run is the node: it blocks until ctx ends, the node leaves, or a part fails.
// It returns nil for the first two. It may be called once.
func (n *Node) Run(ctx context.Context) error {
	p, err := n.identify(time.Now())
	if err := errors.Join(err, n.checkPlaces()); err != nil {
		return err
	}
	if err := n.privilege(); err != nil {
		return err
	}
	n.warnOpen(n.c.Bundle, n.c.Join)
	if p.kept {
		n.log.Info("the bundle that this node was renewed with is newer than the given one, and in use", "file", n.c.Bundle, "until", p.bundle.Certificate.NotAfter)
	}

	// ------------------------------------------------------------ the line
	// Above: reading and checking. Below: this host is changed.

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	n.mu.Lock()
	n.stop = stop
	n.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx, p) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	n.setPhase(control.PhaseStopping)
	late := time.NewTimer(teardown)
	defer late.Stop()
	select {
	case err := <-ended:
		return err
	case <-late.C:
		return fmt.Errorf("teardown took more than %v: run `cbnetd --cleanup`", teardown)
	}
}

// warnOpen warns of files with secrets that other users may read.
func (n *Node) warnOpen(files ...string) {
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o077 != 0 {
			n.log.Warn("others may read a file with this node's secrets: chmod 600 it", "file", f, "mode", fi.Mode().Perm().String())
		}
	}
}

// run takes the state folder and the control socket, which outlive the rest.
func (n *Node) run(ctx context.Context, p *identified) error {
	state, err := openState(n.c.State)
	if err != nil {
		return err
	}
	defer state.close()
	socket, err := control.Listen(n.c.Socket)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	// The socket answers until the rest is down.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	g.Go(func() error { return control.Serve(serving, socket, backend{n}) })
	g.Go(func() error {
		defer stopServing()
		return n.join(gctx, state, p)
	})
	return unlessStopped(g.Wait())
}

// unlessStopped drops the error that is none: that Run was told to end.
func unlessStopped(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, errLeft) {
		return nil
	}
	return err
}

// join turns what identifies the node into a place in the mesh, and holds it.
func (n *Node) join(ctx context.Context, state *stateDir, p *identified) error {
	b := p.bundle
	if b == nil {
		var err error
		if b, err = n.enroll(ctx, state, p.token); err != nil {
			return err
		}
	}
	roots, err := n.trust(state, b)
	if err != nil {
		return err
	}
	key, err := wireGuardKey(state.file(wireGuardKeyFile))
	if err != nil {
		return err
	}
	dev, err := n.openDevice(ctx, overlay.Options{
		Interface: n.c.Interface, Datapath: n.c.Datapath, NoOffload: n.c.NoOffload, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("device: %w", err)
	}
	err = n.hold(ctx, parts{state: state, bundle: b, roots: roots, key: key, dev: dev})
	if cerr := dev.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("remove device: %w", cerr))
	}
	return err
}

// hold keeps the place, from one certificate to the next. The device stays as
// it is in between, and each mesh takes over from the one before, so that no
// packet is lost.
func (n *Node) hold(ctx context.Context, p parts) error {
	for {
		err := n.operate(ctx, &p)
		r, ok := errors.AsType[*renewed](err)
		if !ok {
			return err
		}
		revoked := p.roots.Revocations() // the newest, also if the disk was full
		p.bundle, p.inUse = r.bundle, r.inUse
		if p.roots, err = n.trust(p.state, p.bundle); err != nil {
			return err
		}
		if revoked == nil {
			continue
		}
		// Its authority may be trusted no more; the bundle's own list is in force then.
		if _, err := p.roots.Apply(revoked); err != nil && !errors.Is(err, identity.ErrOutdated) {
			n.log.Warn("revocation list in force is of no use", "err", err)
		}
	}
}

func (n *Node) enroll(ctx context.Context, state *stateDir, t identity.Token) (*identity.Bundle, error) {
	n.setPhase(control.PhaseEnrolling)
	b, err := enroll.Run(ctx, enroll.Options{Token: t, Dir: state.path, Log: n.log.With("component", "enroll")})
	if err != nil {
		return nil, err
	}
	g, err := b.Grant(time.Now())
	if err != nil {
		return nil, fmt.Errorf("enrolled bundle: %w", err)
	}
	n.setPhase(control.PhaseStarting)
	n.log.Info("enrolled", "node", g.Node, "mesh", g.Mesh, "server", t.URL)
	return b, n.c.checkRoles(g)
}

// trust returns whom the node trusts, with the revocations it knows from its
// enrolment, and notes who the node is.
func (n *Node) trust(state *stateDir, b *identity.Bundle) (*identity.Roots, error) {
	roots, expired, err := b.RootsAt(time.Now())
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	for _, ca := range expired {
		n.log.Warn("an authority of the mesh has expired and is trusted no more", "serial", identity.SerialOf(ca), "until", ca.NotAfter)
	}
	signed, err := enroll.Revocations(state.path)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	if signed != nil {
		if _, err := roots.Apply(signed); err != nil && !errors.Is(err, identity.ErrOutdated) {
			n.log.Warn("saved revocation list is of no use", "err", err)
		}
	}
	g, err := roots.Verify(b.Certificate, time.Now())
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.grant, n.expires = g, b.Certificate.NotAfter
	return roots, nil
}

// parts is what the running node is made of.
type parts struct {
	state  *stateDir
	bundle *identity.Bundle
	roots  *identity.Roots
	key    overlay.Key
	dev    device
	before *mesh.Mesh    // that the next one takes over from, nil at the start
	inUse  chan struct{} // closed once the bundle is, nil if nobody waits
}

// operate runs the mesh and what depends on it until ctx ends.
func (n *Node) operate(ctx context.Context, p *parts) error {
	metrics := newRegistry()
	m, err := n.newMesh(n.meshConfig(p, metrics))
	if err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	n.mu.Lock()
	held := *p
	held.before = nil
	n.fabric, n.datapath, n.held = m, p.dev.Datapath(), &held
	grant := n.grant
	n.mu.Unlock()
	if p.before == nil {
		n.log.Info("device is up", "interface", n.c.Interface, "datapath", p.dev.Datapath(), "port", n.c.Port)
	}
	p.before, _ = m.(*mesh.Mesh)
	if p.inUse != nil {
		close(p.inUse)
		p.inUse = nil
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := m.Run(ctx); err != nil {
			return explain(fmt.Errorf("mesh: %w", err))
		}
		return errLeft // it does so without an error for no other reason but ctx
	})
	g.Go(func() error { return n.follow(ctx, m) })
	g.Go(func() error { return n.keepCertificate(ctx, p) })
	g.Go(func() error {
		return n.onOverlay(ctx, p.roots, remote.Port, func(ctx context.Context, ls []net.Listener) error {
			return remote.Serve(ctx, remote.Options{
				Bundle: p.bundle, Roots: p.roots, Version: version.Version, Exec: n.c.Exec, Log: n.log.With("component", "remote"),
			}, ls...)
		}, grant.IP, grant.IP6)
	})
	g.Go(func() error {
		return n.onOverlay(ctx, p.roots, MetricsPort, func(ctx context.Context, ls []net.Listener) error {
			return serveMetrics(ctx, metrics, ls)
		}, grant.IP, grant.IP6)
	})
	return unlessStopped(g.Wait())
}

// explain adds what to do to the errors that people meet.
func explain(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another program has that port: stop it, or choose another with --port or --introduce", err)
	}
	return err
}

func (n *Node) meshConfig(p *parts, r prometheus.Registerer) mesh.Config {
	return mesh.Config{
		Bundle:            p.bundle,
		Roots:             p.roots,
		Device:            p.dev,
		StateDir:          p.state.path,
		PrivateKey:        p.key,
		Port:              n.c.Port,
		Interface:         n.c.Interface,
		Introduce:         n.c.Introduce,
		Advertise:         append([]netip.Addr(nil), n.c.Advertise...),
		Network:           n.c.Network,
		Repeats:           p.dev.Datapath() == overlay.Userspace,
		AdvertiseObserved: n.c.Observed,
		Before:            p.before,
		Log:               n.log.With("component", "mesh"),
		Registerer:        r,
	}
}

// follow passes the mesh's events on.
func (n *Node) follow(ctx context.Context, m fabric) error {
	ready := m.Ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
			ready = nil
			n.setPhase(control.PhaseRunning)
			n.readyOnce.Do(func() {
				n.log.Info("joined the mesh", "peers", len(m.Peers()))
				close(n.ready)
			})
		case <-m.Changed():
		}
		n.notify()
	}
}
