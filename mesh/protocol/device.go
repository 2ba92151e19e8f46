package protocol

import (
	"context"
	"math"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/overlay"
)

// device is what was asked of the data plane.
type device struct {
	applied *overlay.Config // nil if unknown
	setting *overlay.Config // the result is awaited; nil if not
	resets  []Reset         // of setting
	refused int             // results in a row that named endpoints
	begun   uint64          // sets so far
	failed  bool            // and logged so
	waiting []waiter
	held    []SendEcho // sent once the device is set
}

// waiter waits for the device to be as wanted when it began to wait.
type waiter struct {
	begun uint64 // sets until then
	then  func(error)
}

// setDevice sets the device to what the records say, where nobody waits for the
// result: it is tried again. Equal configurations are not set twice. Peers whose
// address was changed for a trial are reset: WireGuard then starts a handshake
// at once instead of after its retry time.
func (m *Machine) setDevice() {
	d := &m.device
	if d.setting != nil {
		return
	}
	cfg, resets := m.Wanted(), m.resets()
	if d.applied != nil && len(resets) == 0 && equal(*d.applied, cfg) {
		m.tell(math.MaxUint64, nil)
		m.release()
		return
	}
	d.applied, d.refused = nil, 0
	m.set(cfg, resets)
}

// equal reports whether two configurations are the same, in the same order.
func equal(a, b overlay.Config) bool {
	return a.PrivateKey == b.PrivateKey && a.Port == b.Port && a.MTU == b.MTU &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Routes, b.Routes) &&
		slices.EqualFunc(a.Peers, b.Peers, func(p, q overlay.Peer) bool {
			return p.PublicKey == q.PublicKey && p.Endpoint == q.Endpoint && p.Keepalive == q.Keepalive && slices.Equal(p.AllowedIPs, q.AllowedIPs)
		})
}

func (m *Machine) set(cfg overlay.Config, resets []Reset) {
	d := &m.device
	d.setting, d.resets = &cfg, resets
	d.begun++
	m.do(SetDevice{Config: cfg, Reset: resets})
}

// whenSet sets the device and tells the result.
func (m *Machine) whenSet(then func(error)) {
	m.device.waiting = append(m.device.waiting, waiter{m.device.begun, then})
	m.setDevice()
}

// tell ends the waiting of those who came before the last of so many sets was
// begun.
func (m *Machine) tell(begun uint64, err error) {
	var now, later []waiter
	for _, w := range m.device.waiting {
		if w.begun < begun {
			now = append(now, w)
		} else {
			later = append(later, w)
		}
	}
	m.device.waiting = later
	for _, w := range now {
		w.then(err)
	}
}

// release sends what was held back, unless the device is being set again.
func (m *Machine) release() {
	if m.device.setting != nil {
		return
	}
	held := m.device.held
	m.device.held = nil
	for _, e := range held {
		m.do(e)
	}
}

// apply implements Event.
func (e DeviceSet) apply(m *Machine) {
	d := &m.device
	if d.setting == nil {
		return
	}
	cfg := d.setting
	d.setting = nil
	if e.Err != nil && d.refused < maxRefusals && m.refuse(e.Refused) {
		d.refused++
		m.set(m.Wanted(), append(slices.Clone(d.resets), m.resets()...))
		return
	}
	m.count(MetricSets, result(e.Err))
	if failed := e.Err != nil && !e.Canceled; failed != d.failed {
		d.failed = failed
		if failed {
			m.log.Error("device not set, trying on", "err", e.Err)
		} else {
			m.log.Info("device set again")
		}
	}
	err := e.Err
	if e.Canceled {
		err = context.Canceled
	}
	if err == nil {
		d.applied = cfg
		m.told(cfg)
	}
	m.tell(d.begun, err)
	if err == nil || len(d.waiting) > 0 && !e.Canceled {
		m.setDevice() // what has changed meanwhile
	}
	m.release()
}

// told notes what the device has been told of each peer.
func (m *Machine) told(cfg *overlay.Config) {
	endpoints := make(map[overlay.Key]netip.AddrPort, len(cfg.Peers))
	for _, p := range cfg.Peers {
		endpoints[p.PublicKey] = p.Endpoint
	}
	for _, l := range m.links {
		if e, ok := endpoints[overlay.Key(l.signed.Record.WireGuardKey)]; ok {
			l.told = &e
		}
	}
}

// ready reports whether the device has been told all that it has to know of the
// peer before something is sent to it.
func (l *link) ready() bool { return l.told != nil && *l.told == l.paths.using && !l.reset }

// refuse takes those endpoints out that the device names as the reason why it
// was not set: one peer must not keep the others out. It reports whether there
// were any.
func (m *Machine) refuse(faults []Refusal) bool {
	found := false
	for _, fault := range faults {
		for _, name := range m.names {
			l := m.links[name]
			if overlay.Key(l.signed.Record.WireGuardKey) != fault.Peer || l.paths.using != fault.Endpoint {
				continue
			}
			found = true
			l.refuse(fault.Endpoint)
			m.count(MetricRecords, "endpoint")
			m.warn("endpoint refused", "peer", name, "endpoint", fault.Endpoint, "reason", fault.Reason)
		}
	}
	return found
}

// Wanted returns the whole configuration that the device is to have now, its
// peers in the order of their names.
func (m *Machine) Wanted() overlay.Config {
	members := make([]member, 0, len(m.links))
	for _, name := range m.names {
		l := m.links[name]
		members = append(members, member{signed: l.signed, endpoint: l.paths.using, quiet: l.isQuiet(m.now)})
	}
	return desired(base{key: m.cfg.PrivateKey, port: m.cfg.Port, mtu: m.cfg.MTU, mesh: m.roots.Mesh(), grant: m.grant}, members)
}

// resets returns whom to take out of the device first. The device is about to
// be told of all.
func (m *Machine) resets() []Reset {
	var resets []Reset
	for _, name := range m.names {
		l := m.links[name]
		l.known = true
		if l.reset {
			l.told = nil
			resets = append(resets, Reset{overlay.Key(l.signed.Record.WireGuardKey), l.status.RxBytes})
			l.reset = false
		}
	}
	return resets
}
