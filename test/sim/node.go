package sim

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// Node is one member: what survives its restarts, and its present run.
type Node struct {
	w     *World
	index int
	name  string
	host  *host
	liar  *liar // nil if it is honest

	key   ed25519.PrivateKey
	cert  *x509.Certificate
	certs []*x509.Certificate // all that it has had
	wg    overlay.Key
	skew  time.Duration // of its clock, for one run
	disk  disk
	past  []disk // earlier states of it
	intro string // where it introduces; empty if it does not

	machine    *protocol.Machine
	roots      *identity.Roots
	boots      int
	run        uint64 // number of the present run, 0 if it is not running
	wake       time.Duration
	opened     bool
	everLeft   bool // it has given its place up, and may be back
	changedKey bool // of WireGuard
	usurped    bool // its address was granted to another, too
	revoked    bool // by the authority, for good
	answers    map[uint64]func(protocol.Answer)
	asks       map[uint64]func(protocol.Introduce)
	done       map[uint64]func(protocol.Done)
	lastID     uint64
	view       view
	wanted     overlay.Config // what the device was last to have
	fullDisk   bool
}

// disk is what is on a node's disk.
type disk struct {
	saved   protocol.Saved
	spoiled bool // no peer can be read from it
}

func (w *World) newNode(i int, roles ...identity.Role) (*Node, error) {
	n := &Node{w: w, index: i, name: fmt.Sprintf("n%02d", i), key: newKey(w.rand), wg: overlay.Key(bytes32(w.rand))}
	n.host = &host{node: n, addr: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), called: map[*host]bool{}}
	if len(roles) > 0 {
		n.intro = netip.AddrPortFrom(n.host.addr, 7950).String()
	} else if i%5 == 4 {
		n.host.outside = netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)})
		n.host.addr = netip.AddrFrom4([4]byte{192, 168, byte(i), 2})
	}
	n.host.device.clear()
	pub, err := publicKey(n.wg)
	if err != nil {
		return nil, err
	}
	n.host.device.key = pub
	w.hosts = append(w.hosts, n.host)
	w.settleAddress(n.host)
	return n, n.certify(n.key, overlayIP(i), roles, certLasts)
}

// certLasts is how long certificates last.
const certLasts = 24 * time.Hour

func overlayIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 66, byte(i >> 8), byte(i)}) }

// certify gives the node a certificate of its own name.
func (n *Node) certify(key ed25519.PrivateKey, ip netip.Addr, roles []identity.Role, validity time.Duration) error {
	cert, err := n.w.ca.issue(key, identity.Grant{Node: n.name, IP: ip, Roles: roles}, n.w.clock(), validity)
	if err != nil {
		return err
	}
	n.key, n.cert = key, cert
	n.certs = append(n.certs, cert)
	n.w.granted(n, cert)
	return nil
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// Boots is how often the node has been started.
func (n *Node) Boots() int { return n.boots }

// Lost reports whether probes of a peer are not answered.
func (n *Node) Lost(a netip.Addr) bool {
	for _, p := range n.machine.Peers(n.now()) {
		if p.IP == a {
			return p.State == protocol.StateUnreachable
		}
	}
	return false
}

// grantedIP is the overlay address of the present certificate.
func (n *Node) grantedIP() netip.Addr {
	for _, a := range n.w.addresses {
		for _, g := range n.w.grants[a] {
			if g.cert == n.cert {
				return a
			}
		}
	}
	return overlayIP(n.index)
}

// now is what the node's clock says.
func (n *Node) now() time.Time { return n.w.clock().Add(n.skew) }

// start runs the node from what is on its disk.
func (n *Node) start() {
	roots, err := identity.NewRoots(n.w.ca.ca.Certificate)
	if err != nil {
		n.w.fail("setup", n, err.Error())
		return
	}
	n.boots++
	n.roots = roots
	m, err := protocol.New(protocol.Config{
		Roots: roots, Certificate: n.cert, Key: n.key, Introducers: n.w.introducers, PrivateKey: n.wg, Port: wgPort,
		Open: n.w.memo.open, Introduce: n.intro, Boot: fmt.Sprintf("b%d", n.boots), Timing: n.w.opt.Timing,
		Rand: rand.New(rand.NewPCG(n.w.opt.Seed, uint64(n.index)<<32|uint64(n.boots))),
	}, n.now())
	if err != nil {
		n.w.log(n.name, "refused", err.Error(), 0)
		return
	}
	n.w.lastRun++
	n.machine, n.run, n.opened = m, n.w.lastRun, false
	n.answers, n.asks, n.done = map[uint64]func(protocol.Answer){}, map[uint64]func(protocol.Introduce){}, map[uint64]func(protocol.Done){}
	n.view, n.wanted = newView(), overlay.Config{}
	n.wake = -1
	n.host.on = true
	n.w.log(n.name, "start", "", n.boots)
	n.step(protocol.Start{Saved: n.disk.saved, Addresses: []netip.Prefix{netip.PrefixFrom(n.host.addr, 24)}})
}

// crash ends the run as the loss of power does.
func (n *Node) crash() {
	n.w.log(n.name, "crash", "", 0)
	n.end()
	n.host.device.clear()
}

func (n *Node) end() {
	n.run, n.machine, n.opened, n.host.on = 0, nil, false, false
}

// step tells the machine of an event and does what it says.
func (n *Node) step(e protocol.Event) {
	if n.run == 0 || n.w.broken != nil {
		return
	}
	if n.w.opt.Hear != nil && n.liar == nil {
		var ok bool
		if e, ok = n.w.opt.Hear(n, e); !ok {
			return
		}
	}
	n.w.events++
	if _, ok := e.(protocol.Tick); !ok {
		n.w.log(n.name, "event", fmt.Sprintf("%T", e), 0)
	}
	run := n.run
	actions := n.machine.Step(n.now(), e)
	if n.w.opt.Do != nil && n.liar == nil {
		actions = n.w.opt.Do(n, actions)
	}
	for _, a := range actions {
		if n.run != run {
			return
		}
		n.do(a)
	}
	if n.run == run {
		n.rearm()
	}
}

// rearm plans the next tick.
func (n *Node) rearm() {
	next := n.machine.Next()
	if next.IsZero() {
		return
	}
	at := n.w.now + max(0, next.Sub(n.now()))
	if n.wake >= 0 && n.wake <= at {
		return
	}
	n.wake = at
	run := n.run
	n.w.after(at-n.w.now, func() {
		if n.run == run && n.wake == at {
			n.wake = -1
			n.step(protocol.Tick{})
		}
	})
}

// later tells the machine of an event after a time, if it still runs.
func (n *Node) later(d time.Duration, e protocol.Event) {
	run := n.run
	n.w.after(d, func() {
		if n.run == run {
			n.step(e)
		}
	})
}

// do does one action.
func (n *Node) do(a protocol.Action) {
	w := n.w
	switch a := a.(type) {
	case protocol.SetDevice:
		n.setDevice(a)
	case protocol.ReadDevice:
		run := n.run
		w.after(time.Millisecond, func() {
			if n.run == run {
				n.step(protocol.DeviceRead{Peers: n.host.device.statuses()})
			}
		})
	case protocol.ReadAddresses:
		n.later(time.Millisecond, protocol.AddressesRead{Addresses: []netip.Prefix{netip.PrefixFrom(n.host.addr, 24)}})
	case protocol.SendEcho:
		n.sendEcho(a)
	case protocol.SendNotice:
		n.sendNotice(a)
	case protocol.Fetch:
		n.fetch(a)
	case protocol.Push:
		n.push(a)
	case protocol.CallIntroducers:
		n.call(a)
	case protocol.Answer:
		hand(n.answers, a.ID, a)
	case protocol.Introduce:
		hand(n.asks, a.Call, a)
	case protocol.Done:
		hand(n.done, a.ID, a)
	case protocol.JoinGossip:
		n.joinGossip(a)
	case protocol.RestartGossip:
		n.view = newView()
		n.view.name = a.Name
		n.later(10*time.Millisecond, protocol.GossipRestarted{})
	case protocol.Announce:
		n.announce()
	case protocol.Started:
		n.started(a)
	case protocol.End:
		w.log(n.name, "end", a.Err.Error(), 0)
		n.end()
		n.host.device.clear()
	default:
		n.save(a)
	}
}

func hand[A any](waiting map[uint64]func(A), id uint64, a A) {
	if f := waiting[id]; f != nil {
		delete(waiting, id)
		f(a)
	}
}

// save does the actions that write, and traces the rest.
func (n *Node) save(a protocol.Action) {
	takes := time.Duration(1+n.w.rand.IntN(5)) * time.Millisecond
	var err error
	if n.fullDisk {
		err = errFull
	}
	switch a := a.(type) {
	case protocol.SaveRecord:
		if err == nil {
			n.remember()
			n.disk.saved.Version, n.disk.saved.Observed = a.Version, a.Observed
		}
		n.later(takes, protocol.RecordSaved{Err: err})
	case protocol.SavePeers:
		if err == nil {
			n.remember()
			n.disk.saved.Peers, n.disk.spoiled = slices.Clone(a.Peers), false
		}
		n.later(takes, protocol.PeersSaved{Err: err, Took: takes})
	case protocol.SaveList:
		if err == nil {
			n.remember()
			n.disk.saved.List = a.List
		}
		n.later(takes, protocol.ListSaved{Err: err})
	case protocol.Log:
		n.w.log(n.name, "log", a.Message, 0)
		if n.w.opt.Verbose != nil {
			n.w.opt.Verbose(n.w.now, n.name, a)
		}
	}
}

// remember keeps an earlier state of the disk, to be rolled back to.
func (n *Node) remember() {
	if len(n.past) < 8 {
		n.past = append(n.past, n.disk)
	} else {
		n.past[n.w.rand.IntN(8)] = n.disk
	}
}

func (n *Node) started(a protocol.Started) {
	if a.Err != nil {
		n.w.log(n.name, "not started", a.Err.Error(), 0)
		n.end()
		return
	}
	n.opened = true
	n.later(0, protocol.Opened{})
	n.startGossip()
}

// setDevice sets the device after a moment.
func (n *Node) setDevice(a protocol.SetDevice) {
	run := n.run
	n.w.check(n, n.wanted, a.Config)
	n.wanted = a.Config
	n.w.after(time.Duration(1+n.w.rand.IntN(3))*time.Millisecond, func() {
		if n.run != run {
			return
		}
		r := n.host.device.set(a)
		n.w.log(n.name, "device", errText(r.Err), len(a.Config.Peers))
		n.step(r)
	})
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
