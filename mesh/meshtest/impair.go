package meshtest

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Impairment is what a path does to what passes. The zero value is none.
type Impairment struct {
	Loss   float64       // of each datagram, 0 to 1; a stream waits and repeats
	Delay  time.Duration // one way
	Jitter time.Duration // up to so much more, each time: datagrams overtake each other
}

// Impair has every path do something to what passes, until the next call; nil
// ends it. The seed fixes the chances, not the order in which nodes send.
func (f *Fabric) Impair(seed uint64, path func(a, b *Host) Impairment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.impair, f.rand = path, rand.New(rand.NewPCG(seed, 0))
}

// fateLocked decides what becomes of one datagram.
func (f *Fabric) fateLocked(a, b *Host) (lost bool, after time.Duration) {
	if f.impair == nil {
		return false, 0
	}
	i := f.impair(a, b)
	after = i.Delay
	if i.Jitter > 0 {
		after += time.Duration(f.rand.Int64N(int64(i.Jitter)))
	}
	return f.rand.Float64() < i.Loss, after
}

// Of streams: how long one waits before it repeats what was lost, how long
// what is left to say is kept after the end, and how many pieces are under way.
const (
	repeatAfter = 200 * time.Millisecond
	lingerFor   = 10 * time.Second
	underWay    = 64
)

// stall returns how long a piece of a stream is under way, and whether the
// path is cut.
func (c *conn) stall() (after time.Duration, cut bool) {
	f := c.host.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	lost, after := f.fateLocked(c.host, c.other)
	for lost && after < time.Minute {
		var more time.Duration
		lost, more = f.fateLocked(c.host, c.other)
		after += repeatAfter + more
	}
	return after, f.cutLocked(c.host, c.other)
}

// shake waits as long as the opening of a stream takes.
func (c *conn) shake(ctx context.Context) error {
	there, cut := c.stall()
	back, _ := c.stall()
	if cut {
		return ErrUnreachable
	}
	select {
	case <-time.After(there + back):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slow is one direction of a stream on an impaired path: what is written is
// handed on in order by a goroutine, which ends soon after Close.
type slow struct {
	*conn
	pieces chan piece
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards the fields below
	deadline time.Time  // for writing
}

type piece struct {
	data []byte
	at   time.Time
}

func newSlow(c *conn) *slow {
	s := &slow{conn: c, pieces: make(chan piece, underWay), closed: make(chan struct{})}
	go s.hand()
	return s
}

// Write implements net.Conn.
func (s *slow) Write(b []byte) (int, error) {
	s.saw(b)
	after, _ := s.stall()
	p := piece{append([]byte(nil), b...), time.Now().Add(after)}
	s.mu.Lock()
	deadline := s.deadline
	s.mu.Unlock()
	var late <-chan time.Time
	if !deadline.IsZero() {
		late = time.After(time.Until(deadline))
	}
	select {
	case <-s.closed:
		return 0, syscall.EPIPE
	default:
	}
	select {
	case s.pieces <- p:
		return len(b), nil
	case <-s.closed:
		return 0, syscall.EPIPE
	case <-late:
		return 0, os.ErrDeadlineExceeded
	}
}

// hand hands pieces on when their time has come and the path is not cut.
func (s *slow) hand() {
	defer s.Conn.Close() //nolint:errcheck // a pipe
	closed := s.closed
	var until time.Time // after Close
	for {
		select {
		case p := <-s.pieces:
			if !s.carry(p, &until, &closed) {
				return
			}
		case <-closed:
			if len(s.pieces) == 0 {
				return
			}
			closed, until = nil, time.Now().Add(lingerFor)
		}
		if closed == nil && len(s.pieces) == 0 {
			return
		}
	}
}

// carry waits for a piece's time and writes it; false ends the stream.
func (s *slow) carry(p piece, until *time.Time, closed *chan struct{}) bool {
	wait := time.Until(p.at)
	for {
		select {
		case <-time.After(wait):
		case <-*closed:
			*closed, *until = nil, time.Now().Add(lingerFor)
			wait = time.Until(p.at)
			continue
		}
		if !until.IsZero() && time.Now().After(*until) {
			return false
		}
		after, cut := s.stall()
		if !cut {
			break
		}
		wait = after + repeatAfter
	}
	if err := s.Conn.SetWriteDeadline(time.Now().Add(lingerFor)); err != nil {
		return false
	}
	_, err := s.Conn.Write(p.data)
	return err == nil
}

// SetDeadline implements net.Conn.
func (s *slow) SetDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return s.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *slow) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	return nil
}

// Close implements net.Conn. What was written still arrives.
func (s *slow) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.SetReadDeadline(time.Now().Add(-time.Second))
}

var _ net.Conn = (*slow)(nil)
