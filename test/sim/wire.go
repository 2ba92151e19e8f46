package sim

import (
	"crypto/ecdh"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// Faults of what is simulated.
var (
	errFull    = errors.New("no space left on device")
	errTimeout = errors.New("no answer")
	errRefused = errors.New("refused")
)

// requestTimeout bounds one exchange.
const requestTimeout = 5 * time.Second

// maxSkew is how far the clocks of joiner and introducer may be apart.
const maxSkew = 5 * time.Minute

func publicKey(private overlay.Key) (overlay.Key, error) {
	k, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return overlay.Key{}, err
	}
	return overlay.Key(k.PublicKey().Bytes()), nil
}

// ip is the node's overlay address.
func (n *Node) ip() netip.Addr { return n.machine.Grant().IP }

// sendEcho sends a packet of ours into the tunnel.
func (n *Node) sendEcho(a protocol.SendEcho) {
	if n.liar != nil {
		a.Echo = n.liar.echo(a)
	}
	if to := n.w.packet(n.host, n.ip(), a.To, 100); to != nil {
		n.w.deliver(to.node, protocol.EchoReceived{From: n.ip(), Echo: a.Echo})
	}
}

// sendNotice sends a record in a packet into the tunnel.
func (n *Node) sendNotice(a protocol.SendNotice) {
	if n.liar != nil {
		a.Notice = n.liar.notice(a.Notice)
	}
	if to := n.w.packet(n.host, n.ip(), a.To, 1200); to != nil {
		n.w.deliver(to.node, protocol.NoticeReceived{From: n.ip(), Notice: a.Notice})
	}
}

// deliver tells a node of a packet once it has arrived.
func (w *World) deliver(to *Node, e protocol.Event) { to.later(w.delay(), e) }

// exchange asks another member and tells the answer, or an error after a time.
func (n *Node) exchange(to netip.Addr, q protocol.Request, within time.Duration, then func(protocol.Reply, error)) {
	w, run, answered := n.w, n.run, false
	finish := func(p protocol.Reply, err error) {
		if !answered && n.run == run {
			answered = true
			then(p, err)
		}
	}
	w.after(within, func() { finish(protocol.Reply{}, errTimeout) })
	from := n.ip()
	w.reliable(n.host, from, to, 3, func(other *host) {
		m := other.node
		if !m.opened {
			return
		}
		if m.liar != nil && m.liar.withholds() {
			return
		}
		m.lastID++
		id := m.lastID
		m.answers[id] = func(a protocol.Answer) {
			if m.liar != nil {
				a.Reply = m.liar.reply(a.Reply)
			}
			w.reliable(m.host, m.ip(), from, 3, func(*host) {
				if a.Reply.Error != "" {
					finish(protocol.Reply{}, errRefused)
					return
				}
				finish(a.Reply, nil)
			})
			if a.Lingers {
				m.later(2*w.delay(), protocol.Answered{ID: id})
			}
		}
		m.step(protocol.RequestReceived{ID: id, From: from, Request: q})
	})
}

// reliable carries a message as TCP does: what is lost is sent again, a few times.
func (w *World) reliable(from *host, src, dst netip.Addr, tries int, then func(*host)) {
	if !from.on {
		return
	}
	to := w.packet(from, src, dst, 1200)
	if to == nil || !to.on {
		if tries > 0 {
			w.after(w.delay()*2+200*time.Millisecond, func() { w.reliable(from, src, dst, tries-1, then) })
		}
		return
	}
	run := to.node.run
	w.after(2*w.delay(), func() {
		if to.node.run == run && run != 0 {
			then(to)
		}
	})
}

func (n *Node) fetch(a protocol.Fetch) {
	n.exchange(a.To, a.Request, requestTimeout, func(p protocol.Reply, err error) {
		n.step(protocol.Fetched{From: a.From, Reply: p, Err: err})
	})
}

func (n *Node) push(a protocol.Push) {
	var acked []string
	left := len(a.To)
	for _, t := range a.To {
		n.exchange(t.To, a.Request, a.Within, func(_ protocol.Reply, err error) {
			if err == nil {
				acked = append(acked, t.Node)
			}
			if left--; left == 0 {
				slices.Sort(acked)
				n.step(protocol.Pushed{ID: a.ID, Acknowledged: acked})
			}
		})
	}
}

// call calls introducers: a new one each second until one answers, or all.
func (n *Node) call(a protocol.CallIntroducers) {
	run, left, over := n.run, len(a.Addrs), false
	var met []string
	for i, addr := range a.Addrs {
		wait := time.Duration(i) * time.Second
		if a.Each {
			wait = 0
		}
		n.w.after(wait, func() {
			if n.run != run || over {
				return
			}
			n.introduceTo(addr, func(err error) {
				left--
				if err == nil {
					met = append(met, addr)
				}
				if over || n.run != run || left > 0 && (a.Each || err != nil) {
					return
				}
				over = true
				slices.Sort(met)
				e := protocol.CallEnded{Met: met, Err: errRefused}
				if len(met) > 0 && (!a.Each || len(met) == len(a.Addrs)) {
					e.Err = nil
				}
				n.step(e)
			})
		})
	}
}

// introduceTo has an introducer let this node in.
func (n *Node) introduceTo(addr string, then func(error)) {
	w, run, over := n.w, n.run, false
	finish := func(err error) {
		if !over && n.run == run {
			over = true
			then(err)
		}
	}
	w.after(2*requestTimeout, func() { finish(errTimeout) })
	other := w.introducerAt(addr)
	if other == nil || !other.opened || w.cutBetween(n.host, other.host) {
		w.after(w.delay(), func() { finish(errRefused) })
		return
	}
	trip := 4 * w.delay() // TCP, preface and TLS
	w.after(trip, func() {
		if n.run != run || !other.opened || w.cutBetween(n.host, other.host) {
			return
		}
		if (n.skew - other.skew).Abs() > maxSkew {
			finish(errRefused)
			return
		}
		_, e1 := other.roots.Verify(n.cert, other.now())
		g, e2 := n.roots.Verify(other.cert, n.now())
		if other == n || e1 != nil || e2 != nil || !protocol.MayIntroduce(g) {
			finish(errRefused)
			return
		}
		n.lastID++
		call := n.lastID
		n.asks[call] = func(q protocol.Introduce) { n.introduce(other, q.Request, finish) }
		n.step(protocol.Greeted{Call: call, Observed: w.seenAt(n.host).Addr()})
	})
}

// introduce hands an introducer what the joiner has to say.
func (n *Node) introduce(other *Node, q protocol.Request, finish func(error)) {
	w := n.w
	run := other.run
	w.after(w.delay(), func() {
		if other.run != run || run == 0 || w.cutBetween(n.host, other.host) {
			return
		}
		other.lastID++
		id := other.lastID
		other.answers[id] = func(a protocol.Answer) {
			if other.liar != nil {
				a.Reply = other.liar.reply(a.Reply)
			}
			w.after(w.delay(), func() {
				if n.run == 0 || w.cutBetween(n.host, other.host) {
					return
				}
				if a.Reply.Error != "" {
					finish(errRefused)
					return
				}
				n.step(protocol.Introduced{By: other.name, Reply: a.Reply})
				finish(nil)
			})
		}
		other.step(protocol.JoinerReceived{ID: id, Certificate: n.cert, Request: q})
	})
}
