package mesh_test

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
)

// gossip sends messages of memberlist's to everyone, in packets of one each.
func (s *siege) gossip(msgs ...[]byte) {
	for i, m := range msgs {
		msgs[i] = s.labelled(m)
	}
	s.packet(msgs...)
}

// victims are the names in gossip of all honest nodes.
func (s *siege) victims() (names []string) {
	for _, n := range s.honest {
		names = append(names, s.names[n.name])
	}
	return names
}

func (s *siege) liarName() string { return s.names[s.liar.name] }

// pushState sends a push/pull with nodes and a user state to everyone.
func (s *siege) pushState(user []byte, nodes ...[]byte) {
	s.tcp(s.labelled(pushPull(len(nodes), len(user), append(nodes, user)...)))
}

// storm sends a message again and again, 10,000 times in five seconds.
func (s *siege) storm(m func(i int) []byte) {
	for i := range 100 {
		var ms [][]byte
		for j := range 25 {
			ms = append(ms, m(25*i+j))
		}
		s.packet(ms...)
		pause(50 * time.Millisecond)
	}
}

func (s *siege) alive(name string, node string, at netip.Addr) []byte {
	return aliveMsg(name, at, 1<<20, metaOf(node, 1, nil))
}

// TestAttackByGossip: memberlist's own messages, from a member that lies.
func TestAttackByGossip(t *testing.T) {
	long := 90 * time.Second // so that gossip forgets, and joins again
	attacks := []attack{
		{name: "dead, of the highest incarnation", label: "dead", settle: long, do: func(s *siege) {
			for _, v := range s.victims() {
				s.gossip(deadMsg(v, s.liarName(), math.MaxUint32))
			}
		}},
		{name: "dead, as if the victim had left", label: "dead", settle: long, do: func(s *siege) {
			for _, v := range s.victims() {
				s.gossip(deadMsg(v, v, math.MaxUint32))
			}
		}},
		{name: "dead, by push/pull", label: "dead", settle: long, do: func(s *siege) {
			var nodes [][]byte
			for _, n := range s.honest {
				nodes = append(nodes, nodeState(s.names[n.name], n.mesh.Grant().IP, math.MaxUint32, 3, metaOf(n.name, 1, nil)))
			}
			s.pushState(nil, nodes...)
		}},
		{name: "a storm of dead", label: "flood", settle: long, do: func(s *siege) {
			vs := s.victims()
			s.storm(func(i int) []byte { return s.labelled(deadMsg(vs[i%len(vs)], s.liarName(), uint32(i))) })
		}},
		{name: "a storm of suspects", label: "flood", do: func(s *siege) {
			vs := s.victims()
			s.storm(func(i int) []byte { return s.labelled(suspectMsg(vs[i%len(vs)], fmt.Sprint("x", i), uint32(i))) })
		}},
		{name: "a storm of pings to be passed on", label: "flood", do: func(s *siege) {
			ask := append([]byte{1}, pack("SeqNo", 1, "Target", s.honest[1].mesh.Grant().IP.AsSlice(), "Port", mesh.GossipPort, "Node", "x", "Nack", true)...)
			s.storm(func(int) []byte { return s.labelled(ask) })
		}},
		{name: "invented nodes", label: "unknown", settle: long, do: func(s *siege) {
			s.storm(func(i int) []byte {
				node := fmt.Sprintf("x-%d", i)
				return s.labelled(s.alive(node+".1", node, overlayIP(1000+i)))
			})
		}},
		{name: "invented starts", label: "starts", do: func(s *siege) {
			s.storm(func(i int) []byte {
				return s.labelled(s.alive(fmt.Sprintf("node-2.%x", i), "node-2", overlayIP(2)))
			})
		}},
		{name: "at the victim's address", label: "address", do: func(s *siege) {
			s.gossip(s.alive(s.liarName(), s.liar.name, overlayIP(2)), s.alive(s.liar.name+".1", s.liar.name, overlayIP(2)))
		}},
		{name: "the victim at one's own address", label: "address", do: func(s *siege) {
			s.gossip(s.alive(s.names["node-2"], "node-2", overlayIP(9)), s.alive("node-2.1", "node-2", overlayIP(9)))
		}},
		{name: "at the metadata address", label: "address", do: func(s *siege) {
			s.gossip(s.alive(s.liarName(), s.liar.name, netip.MustParseAddr("169.254.169.254")))
		}},
		{name: "names with spaces and newlines", label: "name", do: func(s *siege) {
			for _, name := range []string{"a b", "a\nb", "", "..", "node-2\x00", strings.Repeat("x", 1000)} {
				s.gossip(s.alive(name+".1", name, overlayIP(9)), s.alive(name, name, overlayIP(9)))
			}
		}},
		{name: "a name of 1 MB", label: "oversize", do: func(s *siege) {
			s.pushState(nil, nodeState(strings.Repeat("x", 1<<20), overlayIP(9), 1, 0, nil))
		}},
		{name: "another's meta", label: "address", do: func(s *siege) {
			s.gossip(s.alive(s.liarName(), "node-2", overlayIP(9)))
		}},
		{name: "a meta cut short", label: "meta", do: func(s *siege) {
			s.gossip(aliveMsg(s.liarName(), overlayIP(9), 1<<20, []byte{1, 0, 1}))
		}},
		{name: "an oversize meta", label: "oversize", do: func(s *siege) {
			meta := append(metaOf(s.liar.name, 1, nil), make([]byte, 500)...)
			s.gossip(aliveMsg(s.liarName(), overlayIP(9), 1<<20, meta))
			s.pushState(nil, nodeState(s.liarName(), overlayIP(9), 1<<20, 0, meta))
		}},
		{name: "a record that is not there", metric: "fetches", label: "ok", do: func(s *siege) {
			for range 20 {
				s.gossip(aliveMsg(s.names["node-2"], overlayIP(2), 1<<20, metaOf("node-2", math.MaxUint64, nil)))
				pause(time.Second)
			}
		}},
		{name: "a packet too large", label: "oversize", do: func(s *siege) {
			s.gossip(append(deadMsg("x", "y", 1), make([]byte, 2000)...))
		}},
		{name: "a compressed packet", label: "malformed", do: func(s *siege) {
			bomb := append([]byte{9}, pack("Algo", 0, "Buf", bytes.Repeat([]byte{0xff}, 1000))...)
			for range 20 {
				s.gossip(bomb)
				s.gossip(append([]byte{7, 1, byte(len(bomb) >> 8), byte(len(bomb))}, bomb...))
			}
		}},
		{name: "a compressed stream", label: "malformed", do: func(s *siege) {
			s.tcp(s.labelled(append([]byte{9}, pack("Algo", 0, "Buf", bytes.Repeat([]byte{0xff}, 1<<20))...)))
		}},
		{name: "a push/pull that promises a million nodes", label: "oversize", do: func(s *siege) {
			for range 20 {
				s.tcp(s.labelled(pushPull(1<<20, 0)))
			}
		}},
		{name: "a push/pull that promises 20 MB", label: "oversize", do: func(s *siege) {
			for range 20 {
				s.tcp(s.labelled(pushPull(0, 20<<20)))
			}
		}},
		{name: "a push/pull that promises less than nothing", label: "oversize", do: func(s *siege) {
			s.tcp(s.labelled(append([]byte{6, 0x83, 0xa5}, "Nodes\xd0\xff\xacUserStateLen\x00\xa4Join\xc2"...)))
		}},
		{name: "a stream of 10 MB", label: "oversize", do: func(s *siege) {
			node := nodeState("x.1", overlayIP(9), 1, 0, make([]byte, 120))
			s.tcp(s.labelled(pushPull(8000, 0, bytes.Repeat(node, 10<<20/len(node)))))
			s.tcp(s.labelled(append([]byte{13}, pack("Error", make([]byte, 10<<20))...)))
		}},
		{name: "a summary of garbage", label: "summary", do: func(s *siege) { s.pushState([]byte("garbage")) }},
		{name: "a summary with names of all kinds", label: "summary", do: func(s *siege) {
			s.pushState([]byte(`{"format":1,"from":"node-9","records":{"a b\n":{"v":1,"h":"AAAAAAAAAAAAAAAAAAAAAA"}}}`))
		}},
		{name: "a summary of many nodes", metric: "fetches", label: "ok", settle: long, do: func(s *siege) {
			for j := range 5 {
				var b strings.Builder
				b.WriteString(`{"format":1,"from":"node-9","revocations":9,"records":{"x":{"v":1,"h":"AAAAAAAAAAAAAAAAAAAAAA"}`)
				for i := range 4000 {
					fmt.Fprintf(&b, `,"x-%d-%d":{"v":1,"h":"AAAAAAAAAAAAAAAAAAAAAA"}`, j, i)
				}
				s.pushState([]byte(b.String() + "}}"))
			}
		}},
		{name: "an oversize summary", label: "oversize", do: func(s *siege) { s.pushState(make([]byte, 2<<20)) }},
		{name: "user messages", label: "malformed", do: func(s *siege) {
			s.gossip([]byte("\x08hello"))
			s.tcp(s.labelled(append([]byte{8}, pack("UserMsgLen", 20<<20)...)))
		}},
		{name: "garbage", label: "malformed", do: func(s *siege) {
			s.packet([]byte("garbage"), []byte{7, 200, 0}, []byte{244, 255}, []byte{12, 0, 0, 0, 0})
			s.tcp([]byte("GET / HTTP/1.1\r\n\r\n"))
		}},
	}
	runAttacks(t, "gossip_refused", attacks)
}

// TestAttackOnOwnPort: our own packets and requests, from a member that lies,
// and what comes from addresses that are not its own.
func TestAttackOnOwnPort(t *testing.T) {
	attacks := []attack{
		{name: "echoes of garbage", label: "echo", do: func(s *siege) {
			s.packet([]byte{mesh.Magic}, []byte{mesh.Magic, 9, 9}, append([]byte{mesh.Magic}, make([]byte, 60)...))
		}},
		{name: "echoes that speak for another", label: "echo", do: func(s *siege) {
			s.packet(echoMsg(1, metaOf("node-2", math.MaxUint64, nil), 0), echoMsg(2, metaOf("node-2", math.MaxUint64, nil), 0))
		}},
		{name: "echoes of lists that do not exist", metric: "fetches", label: "ok", do: func(s *siege) {
			s.packet(echoMsg(1, metaOf(s.liar.name, 1, nil), math.MaxUint64))
		}},
		{name: "a storm of echoes", label: "flood", do: func(s *siege) {
			b := echoMsg(1, metaOf(s.liar.name, 1, nil), 0)
			s.storm(func(int) []byte { return b })
		}},
		{name: "a frame that promises 4 GB", label: "request", do: func(s *siege) { s.tcp(frame(math.MaxUint32, nil)) }},
		{name: "a frame of more than a request may have", label: "request", do: func(s *siege) {
			s.tcp(frame(mesh.MaxRequest+1, make([]byte, mesh.MaxRequest+1)))
		}},
		{name: "a frame of garbage", label: "request", do: func(s *siege) { s.tcp(frame(7, []byte("garbage"))) }},
		{name: "a request of another format", label: "request", do: func(s *siege) { s.tcp(frame(12, []byte(`{"format":9}`))) }},
		{name: "a thousand names", label: "request", do: func(s *siege) { s.push(mesh.Request{Names: make([]string, 1000)}) }},
		{name: "a thousand records", label: "request", do: func(s *siege) { s.push(mesh.Request{Records: make([][]byte, 1000)}) }},
		{name: "half-open connections", label: "flood", do: func(s *siege) { s.hold(400, nil) }},
		{name: "half-open streams of gossip", label: "flood", do: func(s *siege) { s.hold(30, s.labelled(pushPull(100, 1<<20))) }},
		{name: "large requests held", label: "request", do: func(s *siege) {
			s.hold(30, frame(mesh.MaxRequest, make([]byte, mesh.MaxRequest-1)))
		}},
		{name: "the victim's address, which the device drops", metric: "records", label: "malformed", do: func(s *siege) {
			s.packetFrom(overlayIP(2), s.labelled(deadMsg(s.names["node-3"], s.names["node-2"], math.MaxUint32)),
				echoMsg(1, metaOf("node-2", math.MaxUint64, nil), 0))
			if c, err := s.liar.host.Dial(s.t.Context(), overlayIP(2), "10.66.0.3:7946"); err == nil {
				closeConn(s.t, c)
				s.t.Error("a stream passed from another's address")
			}
			s.record([]byte("so that something is counted: WireGuard drops without a word"))
		}},
	}
	runAttacks(t, "gossip_refused", attacks)
}

// hold opens connections to every honest node, begins to say something on each
// and keeps them all.
func (s *siege) hold(count int, say []byte) {
	var conns []net.Conn
	for range count {
		for _, n := range s.honest {
			c, err := s.liar.host.Dial(s.t.Context(), s.liar.mesh.Grant().IP, netip.AddrPortFrom(n.mesh.Grant().IP, mesh.GossipPort).String())
			if err != nil {
				continue // the backlog is full
			}
			conns = append(conns, c)
			go func() { _, _ = c.Write(say) }() // it may be cut off
		}
	}
	pause(20 * time.Second)
	for _, c := range conns {
		closeConn(s.t, c)
	}
}
