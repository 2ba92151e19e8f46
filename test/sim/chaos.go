package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// fault is something that goes wrong now and then.
type fault struct {
	name   string
	weight int
	do     func(*World)
}

func faults() []fault {
	return []fault{
		{"partition", 4, (*World).partition},
		{"one way", 3, (*World).cutOneWay},
		{"restart", 12, (*World).restart},
		{"stop", 4, (*World).stopOne},
		{"leave", 2, (*World).leave},
		{"introducers", 2, (*World).shutIntroducers},
		{"move", 3, (*World).move},
		{"full disk", 2, (*World).fill},
		{"weather", 3, (*World).weather},
		{"revoke", 3, (*World).revokeLiar},
		{"reissue", 2, (*World).reissue},
		{"contest", 1, (*World).contest},
		{"expire", 1, (*World).expire},
	}
}

// chaos makes a fault, and plans the next one.
func (w *World) chaos() {
	if w.calm {
		return
	}
	all := faults()
	sum := 0
	for _, f := range all {
		sum += f.weight
	}
	at := w.rand.IntN(sum)
	for _, f := range all {
		if at -= f.weight; at < 0 {
			w.log("world", "fault", f.name, 0)
			f.do(w)
			break
		}
	}
	w.after(time.Duration(500+w.rand.IntN(2500))*time.Millisecond, w.chaos)
}

// heal ends all faults but the liars'.
func (w *World) heal() {
	w.log("world", "heal", "", 0)
	w.calm, w.shut, w.loss, w.latency = true, false, 0.01, 5*time.Millisecond
	clear(w.oneWay)
	w.after(5*time.Second, w.retell)
	for _, n := range w.nodes {
		n.host.side, n.fullDisk = 0, false
		if n.run == 0 && !n.revoked {
			n.start()
		}
	}
}

// seconds returns a time between two numbers of seconds.
func (w *World) seconds(from, to int) time.Duration {
	return time.Duration(from*1000+w.rand.IntN((to-from)*1000)) * time.Millisecond
}

// anyone returns a running honest node, nil if there is none.
func (w *World) anyone() *Node {
	var ns []*Node
	for _, n := range w.nodes {
		if n.opened && n.liar == nil && !n.revoked {
			ns = append(ns, n)
		}
	}
	if len(ns) == 0 {
		return nil
	}
	return ns[w.rand.IntN(len(ns))]
}

func (w *World) partition() {
	for _, h := range w.hosts {
		h.side = w.rand.IntN(2)
	}
	w.after(w.seconds(3, 25), func() {
		for _, h := range w.hosts {
			h.side = 0
		}
	})
}

func (w *World) cutOneWay() {
	for range 5 {
		pair := [2]*host{w.hosts[w.rand.IntN(len(w.hosts))], w.hosts[w.rand.IntN(len(w.hosts))]}
		w.oneWay[pair] = true
		w.after(w.seconds(3, 20), func() { delete(w.oneWay, pair) })
	}
}

// restart cuts a node's power; it comes back with a disk that may have suffered.
func (w *World) restart() {
	n := w.anyone()
	if n == nil {
		return
	}
	n.crash()
	w.back(n)
}

// maxBack is how long a node is down at most.
const maxBack = 12 * time.Second

func (w *World) back(n *Node) {
	n.skew = w.smallSkew()
	switch k := w.rand.IntN(20); {
	case k < 3: // lost
		n.disk = disk{}
	case k < 6 && len(n.past) > 0: // rolled back
		n.disk = n.past[w.rand.IntN(len(n.past))]
	case k < 8:
		n.disk = w.corrupt(n.disk)
	case len(n.disk.saved.Peers) > 5 && !n.disk.spoiled && len(n.certs) == 1 && n.intro == "" && !n.everLeft && k < 14:
		// It knows whom to call, and they know it, so its clock may be wrong. With
		// another address, or once it has said that it leaves, it would need an
		// introducer, which wants a right clock.
		n.skew = w.bigSkew()
	}
	w.after(w.seconds(0, int(maxBack/time.Second)), func() {
		if n.run == 0 && !n.revoked {
			n.start()
		}
	})
}

// corrupt spoils a disk here and there.
func (w *World) corrupt(d disk) disk {
	d.spoiled = true
	d.saved.Version = w.rand.Uint64N(1 << 40)
	d.saved.Peers = slices.Clone(d.saved.Peers)
	for i := range d.saved.Peers {
		e := slices.Clone(d.saved.Peers[i].Envelope)
		e[w.rand.IntN(len(e))] ^= byte(1 + w.rand.IntN(255))
		d.saved.Peers[i].Envelope = e
		d.saved.Peers[i].Endpoint = netip.AddrPortFrom(overlayIP(7), 1)
	}
	if d.saved.List != nil {
		d.saved.List = slices.Clone(d.saved.List)
		d.saved.List[w.rand.IntN(len(d.saved.List))] ^= 1
	}
	return d
}

// stopOne stops a node as SIGTERM does.
func (w *World) stopOne() {
	if n := w.anyone(); n != nil {
		n.order(func(id uint64) protocol.Event { return protocol.Stop{ID: id} }, func() { w.back(n) })
	}
}

// order has a node end by an event, and tells when it has.
func (n *Node) order(event func(id uint64) protocol.Event, then func()) {
	n.lastID++
	id, run := n.lastID, n.run
	end := func() {
		if n.run == run {
			n.crash()
			then()
		}
	}
	n.done[id] = func(protocol.Done) { n.w.after(0, end) }
	n.w.after(2*time.Second, end)
	n.step(event(id))
}

// leave has a node give its place up, and come back later.
func (w *World) leave() {
	n := w.anyone()
	if n == nil || n.intro != "" {
		return
	}
	n.everLeft = true
	n.order(func(id uint64) protocol.Event { return protocol.Leave{ID: id} }, func() {
		n.disk.saved.Peers = nil
		n.skew = w.smallSkew()
		w.after(w.seconds(2, 15), func() {
			if n.run == 0 && !n.revoked {
				n.start()
			}
		})
	})
}

func (w *World) shutIntroducers() {
	w.shut = true
	w.after(w.seconds(5, 20), func() { w.shut = false })
}

// move gives a host another address.
func (w *World) move() {
	n := w.anyone()
	if n == nil || n.intro != "" {
		return
	}
	h := n.host
	delete(w.byAddr, w.seenAt(h).Addr())
	w.moves++
	to := netip.AddrFrom4([4]byte{198, 51, byte(w.moves >> 8), byte(w.moves)})
	if h.outside.IsValid() {
		h.outside = to
		clear(h.called)
	} else {
		h.addr = to
	}
	w.settleAddress(h)
}

func (w *World) fill() {
	if n := w.anyone(); n != nil {
		n.fullDisk = true
		w.after(w.seconds(3, 20), func() { n.fullDisk = false })
	}
}

func (w *World) weather() {
	w.loss, w.latency = w.rand.Float64()*0.25, w.seconds(0, 1)/4
	w.after(w.seconds(3, 10), func() { w.loss, w.latency = 0.01, 5*time.Millisecond })
}

// revokeLiar has the authority put a member out, and tells one node.
func (w *World) revokeLiar() {
	var ns []*Node
	for _, n := range w.nodes {
		if !n.revoked && (n.liar != nil || n.intro == "" && w.rand.IntN(20) == 0) {
			ns = append(ns, n)
		}
	}
	to := w.anyone()
	if len(ns) == 0 || to == nil || len(w.ca.list.Entries) > 6 {
		return
	}
	n := ns[w.rand.IntN(len(ns))]
	if n == to {
		return
	}
	n.revoked = true
	w.tell(to, n)
}

// tell revokes a node's certificate and gives the list to another, or to one
// that lives when the first one cannot take it.
func (w *World) tell(to *Node, n *Node) {
	list, err := w.ca.revoke(w.clock(), n.cert)
	if err != nil {
		w.fail("setup", n, err.Error())
		return
	}
	to.lastID++
	to.step(protocol.Revoke{ID: to.lastID, List: list})
}

// retell is the operator who sees after the faults that a list is lost: all who
// had it have lost their disks, or are not of the mesh any more.
func (w *World) retell() {
	if len(w.ca.lists) == 0 {
		return
	}
	sound := w.sound()
	for _, n := range sound {
		if n.opened && n.roots.RevocationNumber() >= w.ca.list.Number {
			return
		}
	}
	n := w.anyone()
	if i := slices.IndexFunc(sound, func(n *Node) bool { return n.opened }); n != nil && n.usurped && i >= 0 {
		n = sound[i]
	}
	if n != nil {
		n.lastID++
		n.step(protocol.Revoke{ID: n.lastID, List: w.ca.lists[len(w.ca.lists)-1]})
	}
}

// reissue gives a node another key under its name; sometimes the old one is revoked.
func (w *World) reissue() {
	n := w.anyone()
	if n == nil || n.intro != "" || w.contested[n.grantedIP()] || w.now > 15*time.Second+w.opt.Chaos-5*time.Second {
		return
	}
	n.crash()
	if to := w.anyone(); to != nil && w.rand.IntN(2) == 0 {
		w.tell(to, n)
	}
	n.wg = overlay.Key(bytes32(w.rand))
	pub, err := publicKey(n.wg)
	if err != nil {
		w.fail("setup", n, err.Error())
		return
	}
	n.host.device.key, n.changedKey = pub, true
	// A second later: precedence is by the second.
	w.after(2*time.Second, func() {
		if w.contested[n.grantedIP()] {
			return
		}
		if n.run != 0 { // the faults have ended meanwhile
			n.crash()
		}
		if err := n.certify(newKey(w.rand), n.grantedIP(), nil, certLasts); err != nil {
			w.fail("setup", n, err.Error())
			return
		}
		n.disk, n.past = disk{}, nil
		w.back(n)
	})
}

// contest has the authority grant an honest node's address to another, which
// may be a liar, too: the later certificate is its last word.
func (w *World) contest() {
	n, m := w.anyone(), w.anyone()
	if w.rand.IntN(3) == 0 && len(w.liars) > 0 {
		m = w.liars[w.rand.IntN(len(w.liars))]
	}
	if n == nil || m == nil || n == m || m.revoked || n.intro != "" || m.intro != "" || len(w.contested) > 0 || n.usurped || m.everLeft {
		return
	}
	ip := n.ip()
	w.contested[ip], n.usurped = true, true
	m.crash()
	m.skew = w.smallSkew()
	if err := m.certify(m.key, ip, nil, certLasts); err != nil {
		w.fail("setup", m, err.Error())
		return
	}
	w.after(time.Second, m.start)
}

// expire gives a node a certificate that runs out soon, and later perhaps a new one.
func (w *World) expire() {
	n := w.anyone()
	if n == nil || n.intro != "" || w.contested[n.grantedIP()] {
		return
	}
	n.crash()
	n.skew = 0
	var roles []identity.Role
	if err := n.certify(n.key, n.grantedIP(), roles, w.seconds(8, 20)); err != nil {
		w.fail("setup", n, err.Error())
		return
	}
	w.after(0, n.start)
	if w.rand.IntN(2) == 0 {
		return
	}
	w.last = w.now + 25*time.Second + maxBack
	w.after(25*time.Second, func() {
		if w.contested[n.grantedIP()] {
			return // meanwhile: another certificate would be the last word again
		}
		if n.run != 0 {
			n.crash()
		}
		if err := n.certify(n.key, n.grantedIP(), roles, certLasts); err != nil {
			w.fail("setup", n, err.Error())
			return
		}
		w.back(n)
	})
}
