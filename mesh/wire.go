package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// wire is the gossip port on the overlay address: one UDP socket and one TCP
// listener, shared by memberlist and our own messages, told apart by the first
// byte. WireGuard delivers a packet only from an address that its sender's
// certificate grants, so a source address proves the host; senders who are no
// members are ignored. It is memberlist's transport.
type wire struct {
	ops     context.Context // of memberlist's calls, which bring none of their own
	net     Net
	local   netip.AddrPort
	handler wireHandler
	log     *slog.Logger

	packets  net.PacketConn
	listener net.Listener
	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
	streams  chan struct{}                // one token per connection being served
	gossips  chan struct{}                // one token per stream that memberlist reads
	mu       sync.Mutex                   // guards the fields below
	inside   map[netip.Addr]int           // connections being served, by member
	gossip   map[netip.Addr]int           // of these, those that memberlist reads
	rates    map[netip.Addr]*rate.Limiter // of packets, by member
	done     chan struct{}                // closed by Shutdown
	wg       sync.WaitGroup
	once     sync.Once
}

// wireHandler is who uses the wire besides memberlist.
type wireHandler interface {
	// isMember reports whether the overlay address belongs to a member.
	isMember(netip.Addr) bool
	// takeEcho handles an echo. It must not block.
	takeEcho(from netip.Addr, e protocol.Echo)
	// takeNotice handles a record. It must not block.
	takeNotice(from netip.Addr, n protocol.Notice)
	// serve answers one request from a member and leaves closing to the caller.
	serve(ctx context.Context, conn net.Conn, from netip.Addr)
	// refused counts what is refused.
	refused(reason string)
}

var _ memberlist.NodeAwareTransport = (*wire)(nil)

// openWire binds the gossip port on the overlay address. It serves until
// Shutdown, and calls others until ctx ends.
func openWire(ctx context.Context, n Net, ip netip.Addr, h wireHandler, log *slog.Logger) (*wire, error) {
	w := &wire{
		ops: ctx, net: n, local: netip.AddrPortFrom(ip, GossipPort), handler: h, log: log,
		packetCh: make(chan *memberlist.Packet, maxPackets),
		streamCh: make(chan net.Conn),
		streams:  make(chan struct{}, maxStreams),
		gossips:  make(chan struct{}, maxGossips),
		inside:   map[netip.Addr]int{},
		gossip:   map[netip.Addr]int{},
		rates:    map[netip.Addr]*rate.Limiter{},
		done:     make(chan struct{}),
	}
	var err error
	if w.packets, err = n.ListenPacket(ctx, w.local.String()); err != nil {
		return nil, fmt.Errorf("gossip port: %w", err)
	}
	if w.listener, err = n.Listen(ctx, w.local.String()); err != nil {
		return nil, errors.Join(fmt.Errorf("gossip port: %w", err), w.packets.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.wg.Go(func() { <-w.done; cancel() })
	w.wg.Go(w.receive)
	w.wg.Go(func() { w.accept(ctx) })
	return w, nil
}

// accept serves connections until Shutdown.
func (w *wire) accept(ctx context.Context) {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			if !w.pause(err) {
				return
			}
			continue
		}
		from := addrOf(conn.RemoteAddr())
		if !w.handler.isMember(from) {
			w.handler.refused("stranger")
			closeQuietly(conn)
			continue
		}
		if !w.enter(from) {
			w.handler.refused("flood")
			closeQuietly(conn)
			continue
		}
		w.wg.Go(func() {
			defer w.leave(from)
			w.stream(ctx, conn, from)
		})
	}
}

// enterGossip reports whether memberlist may read one more stream of the
// member; the caller then must call leaveGossip.
func (w *wire) enterGossip(from netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gossip[from] >= maxPerGossip {
		return false
	}
	select {
	case w.gossips <- struct{}{}:
		w.gossip[from]++
		return true
	default:
		return false
	}
}

func (w *wire) leaveGossip(from netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	<-w.gossips
	if w.gossip[from]--; w.gossip[from] == 0 {
		delete(w.gossip, from)
	}
}

// enter reports whether one more connection of the member may be served; the
// caller then must call leave.
func (w *wire) enter(from netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inside[from] >= maxPerMember {
		return false
	}
	select {
	case w.streams <- struct{}{}:
		w.inside[from]++
		return true
	default:
		return false
	}
}

func (w *wire) leave(from netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	<-w.streams
	if w.inside[from]--; w.inside[from] == 0 {
		delete(w.inside, from)
	}
}

// pause reports whether to go on after an error of a socket: not once the wire
// is shut down, else after a moment.
func (w *wire) pause(err error) bool {
	select {
	case <-w.done:
		return false
	case <-time.After(50 * time.Millisecond):
	}
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	w.log.Debug("gossip socket", "err", err)
	return true
}

// stream tells by the first byte whose connection it is.
func (w *wire) stream(ctx context.Context, conn net.Conn, from netip.Addr) {
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	var first [1]byte
	err := conn.SetDeadline(time.Now().Add(requestTimeout))
	if err == nil {
		_, err = conn.Read(first[:])
	}
	if err == nil && first[0] != protocol.Magic {
		if w.handOver(conn, first[:], from, stop) {
			return
		}
	}
	if err == nil && first[0] == protocol.Magic {
		w.handler.serve(ctx, conn, from)
	}
	stop()
	closeQuietly(conn)
}

// handOver gives memberlist a stream of a member's, and reports whether it
// took it: then it closes it, too, and that calls stop.
func (w *wire) handOver(conn net.Conn, first []byte, from netip.Addr, stop func() bool) bool {
	if !w.enterGossip(from) {
		w.handler.refused("flood")
		return false
	}
	g := guard(conn, first, w.refuse, func() { stop(); w.leaveGossip(from) })
	select {
	case w.streamCh <- g:
		return true
	case <-w.done:
		w.leaveGossip(from)
		return false
	}
}

// refuse counts a stream that was refused.
func (w *wire) refuse(err error) {
	w.log.Debug("gossip stream refused", "err", err)
	w.handler.refused(protocol.Fault(err))
}

// exchange asks a member and returns its answer.
func (w *wire) exchange(ctx context.Context, to netip.Addr, q protocol.Request) (protocol.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := w.net.Dial(ctx, w.local.Addr(), netip.AddrPortFrom(to, GossipPort).String())
	if err != nil {
		return protocol.Reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer func() { stop(); closeQuietly(conn) }()
	if _, err := conn.Write([]byte{protocol.Magic}); err != nil {
		return protocol.Reply{}, err
	}
	if err := protocol.WriteFrame(conn, q, protocol.MaxRequest); err != nil {
		return protocol.Reply{}, err
	}
	return protocol.ReadReply(conn, protocol.MaxAnswer(len(q.Names)))
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (w *wire) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP(w.local.Addr().AsSlice()), GossipPort, nil
}

// WriteTo implements memberlist.Transport.
func (w *wire) WriteTo(b []byte, addr string) (time.Time, error) {
	return w.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport. Members only are
// sent to, wherever gossip claims that someone is.
func (w *wire) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := w.target(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = w.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// target checks an address that memberlist wants to reach.
func (w *wire) target(addr string) (netip.AddrPort, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return to, err
	}
	if to.Port() != GossipPort || !w.handler.isMember(to.Addr().Unmap()) {
		return to, fmt.Errorf("%s is no member's gossip port", addr)
	}
	return to, nil
}

// PacketCh implements memberlist.Transport.
func (w *wire) PacketCh() <-chan *memberlist.Packet { return w.packetCh }

// StreamCh implements memberlist.Transport.
func (w *wire) StreamCh() <-chan net.Conn { return w.streamCh }

// DialTimeout implements memberlist.Transport.
func (w *wire) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return w.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport. A node that
// stops waits for nobody: whom it calls may have stopped just before.
func (w *wire) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if _, err := w.target(a.Addr); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(w.ops, timeout)
	defer cancel()
	conn, err := w.net.Dial(ctx, w.local.Addr(), a.Addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(w.ops, func() { closeQuietly(conn) })
	return guard(conn, nil, w.refuse, func() { stop() }), nil
}

// Shutdown implements memberlist.Transport. It waits for everything the wire
// has started.
func (w *wire) Shutdown() error {
	var err error
	w.once.Do(func() {
		close(w.done)
		err = errors.Join(w.packets.Close(), w.listener.Close())
	})
	w.wg.Wait()
	return err
}

// addrOf returns the IP address in a socket's address.
func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// closeQuietly closes what nobody needs any more.
func closeQuietly(c interface{ Close() error }) { _ = c.Close() }
