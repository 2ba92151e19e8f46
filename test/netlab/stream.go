package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// StreamOptions are the settings of a [Stream].
type StreamOptions struct {
	To   netip.Addr
	PPS  int // probes per second; 0 = 10
	Size int // bytes of data in each; 0 = 16, which is the least

	// UDP, if set, makes the probes UDP: netlab answers them at this host, which
	// has To as an address. Otherwise they are ICMP echo requests.
	UDP *Host
}

// Stream is a steady sequence of probes, each of which is answered or lost.
type Stream struct {
	start  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards the field below
	probes []probe    // grows by PPS per second until Stop
}

// probe is one of a stream; times are since its start.
type probe struct{ sent, answered time.Duration } // answered is 0 without an answer

// StreamStats are the result of a [Stream].
type StreamStats struct {
	Sent, Received int
	Lost           int           // Sent - Received
	LongestGap     time.Duration // the longest time during which what was sent got no answer
	MinRTT, MaxRTT time.Duration
}

// String implements fmt.Stringer.
func (s StreamStats) String() string {
	return fmt.Sprintf("%d sent, %d lost, longest gap %s, rtt %s to %s", s.Sent, s.Lost, s.LongestGap.Round(time.Millisecond), s.MinRTT, s.MaxRTT)
}

// streamConn sends and receives the probes of a stream.
type streamConn interface {
	send(data []byte) error
	receive(buf []byte) ([]byte, error)
	Close() error
}

// Stream starts to send probes from the host, until ctx ends or Stop is called.
// A probe that cannot be sent (no route, link down) counts as lost.
func (h *Host) Stream(ctx context.Context, o StreamOptions) (*Stream, error) {
	if o.PPS == 0 {
		o.PPS = 10
	}
	o.Size = max(o.Size, stampSize)
	if o.PPS < 0 || o.PPS > 100_000 || !o.To.IsValid() {
		return nil, fmt.Errorf("stream to %s at %d/s: want an address and 1 to 100000/s", o.To, o.PPS)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{start: time.Now(), cancel: cancel}
	conn, err := s.open(ctx, h, o)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("stream from host %s: %w", h.Name, err)
	}
	s.wg.Go(func() { s.listen(conn, o.Size) })
	s.wg.Go(func() { s.run(ctx, conn, o) })
	return s, nil
}

func (s *Stream) open(ctx context.Context, h *Host, o StreamOptions) (streamConn, error) {
	if o.UDP == nil {
		e, err := h.openEcho(o.To.Is6())
		if err != nil {
			return nil, err
		}
		return &echoStream{e, o.To}, nil
	}
	server, err := o.UDP.ListenPacket(ctx, "udp", netip.AddrPortFrom(o.To, 0).String())
	if err != nil {
		return nil, err
	}
	c, err := h.DialContext(ctx, "udp", server.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	u := &udpStream{c.(*net.UDPConn), server}
	if err := errors.Join(bigBuffer(server), bigBuffer(u)); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	s.wg.Go(func() { answer(server) })
	return u, nil
}

// answer sends every datagram back, until the socket closes.
func answer(c net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.WriteTo(buf[:n], from)
		}
	}
}

// run sends until ctx ends, then waits a moment for late answers.
func (s *Stream) run(ctx context.Context, c streamConn, o StreamOptions) {
	defer c.Close()
	every := max(time.Second/time.Duration(o.PPS), time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	data := make([]byte, o.Size)
	for {
		// What a slow tick left out is made up for.
		for due := int(time.Since(s.start)*time.Duration(o.PPS)/time.Second) + 1; s.sent() < due; {
			s.probe(c, data)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			s.linger()
			return
		}
	}
}

func (s *Stream) sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.probes)
}

func (s *Stream) probe(c streamConn, data []byte) {
	s.mu.Lock()
	at := time.Since(s.start)
	seq := len(s.probes)
	s.probes = append(s.probes, probe{sent: at})
	s.mu.Unlock()
	stamp(data, at, uint64(seq))
	_ = c.send(data) // lost
}

// lingerTime is how long answers to the last probes are waited for.
const lingerTime = 500 * time.Millisecond

func (s *Stream) linger() {
	deadline := time.NewTimer(lingerTime)
	defer deadline.Stop()
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		s.mu.Lock()
		last := len(s.probes) - 1
		done := last < 0 || s.probes[last].answered > 0
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-t.C:
		case <-deadline.C:
			return
		}
	}
}

// listen notes answers until the socket closes.
func (s *Stream) listen(c streamConn, size int) {
	buf := make([]byte, size+64)
	for {
		data, err := c.receive(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as a refused connection
			continue
		}
		_, seq, ok := readStamp(data)
		if !ok {
			continue
		}
		s.mu.Lock()
		if seq < uint64(len(s.probes)) && s.probes[seq].answered == 0 {
			s.probes[seq].answered = time.Since(s.start)
		}
		s.mu.Unlock()
	}
}

// Stats are those of the stream so far; probes on the way count as lost.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return statsOf(s.probes, time.Since(s.start))
}

// Stop ends the stream, waits up to half a second for the last answers and
// returns the result. Stopping again returns the same.
func (s *Stream) Stop() StreamStats {
	s.cancel()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.probes) == 0 {
		return StreamStats{}
	}
	return statsOf(s.probes, s.probes[len(s.probes)-1].sent)
}

// statsOf is pure. A gap lies between two probes that were answered, or between
// one of them and the start or end.
func statsOf(probes []probe, end time.Duration) StreamStats {
	st := StreamStats{Sent: len(probes)}
	lastOK := time.Duration(0)
	lost := false
	for _, p := range probes {
		if p.answered == 0 {
			lost = true
			continue
		}
		st.Received++
		rtt := p.answered - p.sent
		if st.MinRTT == 0 || rtt < st.MinRTT {
			st.MinRTT = rtt
		}
		st.MaxRTT = max(st.MaxRTT, rtt)
		if lost {
			st.LongestGap = max(st.LongestGap, p.sent-lastOK)
		}
		lastOK, lost = p.sent, false
	}
	if lost {
		st.LongestGap = max(st.LongestGap, end-lastOK)
	}
	st.Lost = st.Sent - st.Received
	return st
}

// echoStream is a streamConn of ICMP.
type echoStream struct {
	*echoSocket
	to netip.Addr
}

func (e *echoStream) send(data []byte) error { return e.echoSocket.send(e.to, 0, data) }
func (e *echoStream) receive(buf []byte) ([]byte, error) {
	_, data, err := e.echoSocket.receive(buf)
	return data, err
}

// udpStream is a streamConn of UDP, with the server that answers.
type udpStream struct {
	*net.UDPConn
	server net.PacketConn
}

func (u *udpStream) send(data []byte) error {
	_, err := u.Write(data)
	return err
}

func (u *udpStream) receive(buf []byte) ([]byte, error) {
	n, err := u.Read(buf)
	return buf[:n], err
}

// Close closes the server as well.
func (u *udpStream) Close() error { return errors.Join(u.UDPConn.Close(), u.server.Close()) }
