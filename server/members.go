package server

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/server/pki"
)

// refreshEvery is how often Members looks without being told: another server
// may have written a revocation list. Jittered by a quarter.
const refreshEvery = 15 * time.Second

// patience is after how many failures in a row the log warns.
const patience = 8

// Members sees the mesh through the server's own node and serves mcis.Members.
// Its Run closes the tokens of nodes that are in and spreads revocations.
type Members struct {
	node    Node
	pki     *pki.Service
	log     *slog.Logger
	changed chan struct{} // 1-deep, for mcis
	failed  int           // tries in a row to spread the list; Run's own
}

// NewMembers returns the view of a node.
func NewMembers(n Node, p *pki.Service, log *slog.Logger) *Members {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Members{node: n, pki: p, log: log, changed: make(chan struct{}, 1)}
}

// Joined implements mcis.Members.
func (m *Members) Joined(name string) (netip.Addr, bool) {
	for _, p := range m.node.Peers() {
		if p.Name == name {
			return p.IP, p.Up
		}
	}
	return netip.Addr{}, false
}

// Changed implements mcis.Members.
func (m *Members) Changed() <-chan struct{} { return m.changed }

// Peers lists the other nodes.
func (m *Members) Peers() []Peer { return m.node.Peers() }

// Run works until ctx ends.
func (m *Members) Run(ctx context.Context) error {
	in := make(map[string]bool) // nodes whose tokens are closed
	spread := false             // the list in force is with the node
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.node.Changed():
			select {
			case m.changed <- struct{}{}:
			default:
			}
		case <-m.pki.Revoked():
			spread = false
		case <-timer.C:
			timer.Reset(refreshEvery + rand.N(refreshEvery/4))
			if err := m.pki.RefreshRevocations(ctx); err != nil && ctx.Err() == nil {
				m.log.Warn("revocation list not read", "err", err)
			}
		}
		in = m.closeTokens(ctx, in)
		if !spread {
			spread = m.spread(ctx)
		}
	}
}

// closeTokens ends the use of the tokens of nodes that joined, and returns who
// is in now. A node that was away is looked at again when it is back: its name
// may have gone to another machine with a new token.
func (m *Members) closeTokens(ctx context.Context, before map[string]bool) map[string]bool {
	in := make(map[string]bool, len(before))
	for _, p := range m.node.Peers() {
		if !p.Up {
			continue
		}
		if !before[p.Name] {
			if err := m.pki.CloseToken(ctx, p.Name); err != nil {
				if ctx.Err() == nil {
					m.log.Warn("token not closed", "node", p.Name, "err", err)
				}
				continue
			}
		}
		in[p.Name] = true
	}
	return in
}

// spread hands the list in force to the node and reports whether it took it.
// It fails while the node starts; only a failure that lasts is worth a warning.
func (m *Members) spread(ctx context.Context) bool {
	list := m.pki.Roots().Revocations()
	if list == nil {
		return true
	}
	if err := m.node.Revoke(ctx, list); err != nil {
		level := slog.LevelDebug
		if m.failed++; m.failed > patience {
			level = slog.LevelWarn
		}
		m.log.Log(ctx, level, "revocation list not spread yet", "err", err)
		return false
	}
	m.failed = 0
	m.log.Info("revocation list spread", "number", m.pki.Roots().RevocationNumber())
	return true
}
