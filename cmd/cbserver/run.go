package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/store"
)

// daemon is the control plane's parts, in the order in which they are opened.
type daemon struct {
	c        config
	host     string // where machines reach this host
	listener net.Listener
	download *server.Download
	store    *store.Store
	pki      *pki.Service
	node     *ownNode
	certs    *server.Certificates
	members  *server.Members
	mcis     *mcis.Service
	server   *server.Server
	closers  []func() error
}

// run is the control plane: it blocks until ctx ends or a part fails.
func run(ctx context.Context, c config, out io.Writer) (err error) {
	d := &daemon{c: c}
	defer func() {
		for _, f := range slices.Backward(d.closers) {
			err = errors.Join(err, f())
		}
	}()
	for _, step := range []func(context.Context) error{d.openFiles, d.openRegistry, d.openNode, d.openServices} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return d.serve(ctx, out)
}

// openFiles takes what fails most often, first: the port, the daemon's binary,
// the data directory.
func (d *daemon) openFiles(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("cbserver is a node of its mesh and needs root for that; run it with sudo")
	}
	var err error
	if d.host = d.c.public; d.host == "" {
		if d.host, err = guessHost(d.c.iface); err != nil {
			return err
		}
		d.c.log.Warn("no --public HOST: machines are told to reach this host at the address found on it", "host", d.host)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("own executable: %w", err)
	}
	if d.download, err = server.OpenDownload(filepath.Join(filepath.Dir(exe), "cbnetd")); err != nil {
		return err
	}
	d.closers = append(d.closers, d.download.Close)
	var lc net.ListenConfig
	if d.listener, err = lc.Listen(ctx, "tcp", d.c.listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	d.closers = append(d.closers, closeOnce(d.listener))
	if err := os.MkdirAll(filepath.Join(d.c.data, "node"), 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if err := os.Chmod(d.c.data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	return nil
}

// closeOnce closes a listener that a server may have closed before.
func closeOnce(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// port returns the port of an address that was checked before.
func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return p
}

// openRegistry opens store and registry.
func (d *daemon) openRegistry(ctx context.Context) error {
	var err error
	d.store, err = store.Open(ctx, store.Options{
		Dir: filepath.Join(d.c.data, "store"), Endpoints: d.c.etcd, SealKey: d.sealKey(), Log: d.c.log.With("component", "store"),
	})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	d.closers = append(d.closers, d.store.Close)
	d.pki, err = pki.Open(ctx, d.store, pki.Config{
		Mesh: d.c.mesh, CIDR: d.c.cidr,
		URL:         "https://" + net.JoinHostPort(d.host, port(d.c.listen)),
		Introducers: []string{net.JoinHostPort(d.host, port(d.c.introduce))},
		AuditFile:   filepath.Join(d.c.data, "audit.log"),
		Log:         d.c.log.With("component", "pki"),
	})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, d.pki.Close)
	return nil
}

func (d *daemon) sealKey() string {
	if d.c.sealKey != "" {
		return d.c.sealKey
	}
	return filepath.Join(d.c.data, "seal.key")
}

// openNode prepares the own node and the API's certificate, which names the
// node's overlay address.
func (d *daemon) openNode(ctx context.Context) error {
	d.node = &ownNode{
		pki: d.pki, log: d.c.log.With("component", "node"),
		introducers: []string{net.JoinHostPort(d.host, port(d.c.introduce))},
		cfg: node.Config{
			Bundle: filepath.Join(d.c.data, "node", "bundle.json"), State: filepath.Join(d.c.data, "node"),
			Interface: d.c.iface, Port: d.c.port, Introduce: d.c.introduce, Advertise: advertise(ctx, d.host),
		},
	}
	ip, err := newOwnNode(ctx, d.node)
	if err != nil {
		return err
	}
	hosts := []string{"localhost", "127.0.0.1", d.host, ip.String()}
	if own := d.loopback(); !slices.Contains(hosts, own) {
		hosts = append(hosts, own)
	}
	d.certs, err = server.NewCertificates(d.pki, hosts)
	return err
}

// loopback returns the address by which a client on this host reaches the API.
func (d *daemon) loopback() string {
	if a, ok := d.listener.Addr().(*net.TCPAddr); ok && !a.IP.IsUnspecified() {
		return a.IP.String()
	}
	return "127.0.0.1"
}

// openServices wires the parts that do the work.
func (d *daemon) openServices(ctx context.Context) error {
	admin, err := ensureAdmin(ctx, d.pki, filepath.Join(d.c.data, "admin.context"), "https://"+net.JoinHostPort(d.loopback(), port(d.c.listen)))
	if err != nil {
		return err
	}
	clouds := server.NewClouds(d.store, newDriver(d.c.log.With("component", "cloud")))
	d.members = server.NewMembers(d.node, d.pki, d.c.log.With("component", "members"))
	d.mcis, err = mcis.New(mcis.Deps{
		Store: d.store, Clouds: clouds, Enroller: server.NewEnroller(d.pki), Members: d.members,
		Mesh: mcis.Mesh{UID: d.pki.UID(), CIDR: d.pki.Mesh().CIDR},
		Daemon: mcis.Daemon{
			URL:    "https://" + net.JoinHostPort(d.host, port(d.c.listen)) + "/v1/download/" + server.DownloadName,
			SHA256: d.download.SHA256(),
		},
		Options: mcis.Options{Deadline: d.c.deadline},
		Log:     d.c.log.With("component", "mcis"),
	})
	if err != nil {
		return err
	}
	d.server, err = server.New(server.Deps{
		PKI: d.pki, Admin: admin, Clouds: clouds, MCIS: d.mcis, Members: d.members, Remote: d.node,
		Download: d.download, Log: d.c.log.With("component", "api"),
	})
	return err
}

// serve runs everything until ctx ends or a part fails.
func (d *daemon) serve(ctx context.Context, out io.Writer) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.node.run(ctx) })
	g.Go(func() error { return d.members.Run(ctx) })
	g.Go(func() error { return d.mcis.Run(ctx) })
	g.Go(func() error { return d.server.Run(ctx, tls.NewListener(d.listener, d.certs.Config())) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-d.node.ready:
		}
		_, err := fmt.Fprintf(out, "cbserver ready: mesh %s %s, https://%s, CBCTL_CONTEXT=%s\n", d.pki.Mesh().Name, d.pki.Mesh().CIDR,
			net.JoinHostPort(d.host, port(d.c.listen)), filepath.Join(d.c.data, "admin.context"))
		return err
	})
	return g.Wait()
}
