package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// PingResult is what became of the echo requests to one address.
type PingResult struct {
	Addr netip.Addr
	OK   bool
	RTT  time.Duration // of the first answer
	At   time.Duration // when that came, since the call
	Sent int           // requests until then
	Err  error         // the last error in sending, if there was no answer
}

// An address that is silent is asked again after pingEvery, but a host does not
// ask more often than once in pingPace: 50 hosts that ask each other are 2,000
// requests a second, so that what is watched is not the work of watching.
const (
	pingEvery = 200 * time.Millisecond
	pingPace  = 25 * time.Millisecond
)

// Ping sends ICMP echo requests from the host to all addresses at once, and again
// to those that have not answered, until all have or ctx ends: every 200 ms, or
// 25 ms for each of them if that is more. The results are in the order of addrs.
// An address that does not answer is no error.
func (h *Host) Ping(ctx context.Context, addrs []netip.Addr) ([]PingResult, error) {
	p := &pinger{start: time.Now(), all: make(chan struct{}), results: make([]PingResult, len(addrs)), index: map[netip.Addr][]int{}}
	for i, a := range addrs {
		p.results[i].Addr = a
		p.index[a] = append(p.index[a], i)
	}
	p.open = len(p.index)
	if p.open == 0 {
		return p.results, nil
	}
	for _, v6 := range []bool{false, true} {
		if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is6() == v6 }) {
			continue
		}
		s, err := h.openEcho(v6)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.sockets = append(p.sockets, s)
		p.wg.Go(func() { p.listen(s) })
	}
	p.ask(ctx)
	if err := p.close(); err != nil {
		return nil, fmt.Errorf("ping from host %s: %w", h.Name, err)
	}
	return p.results, nil
}

// Unreachable are the addresses that did not answer.
func Unreachable(results []PingResult) []netip.Addr {
	var list []netip.Addr
	for _, r := range results {
		if !r.OK {
			list = append(list, r.Addr)
		}
	}
	return list
}

// pinger is one call of Ping.
type pinger struct {
	start   time.Time
	sockets []*echoSocket
	index   map[netip.Addr][]int // in results; of one address all are the same
	all     chan struct{}        // closed when all have answered
	wg      sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	results []PingResult
	open    int // addresses without an answer
}

// ask sends until all have answered.
func (p *pinger) ask(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	<-t.C
	for {
		for _, s := range p.sockets {
			p.round(s)
		}
		p.mu.Lock()
		t.Reset(max(pingEvery, time.Duration(p.open)*pingPace))
		p.mu.Unlock()
		select {
		case <-p.all:
			return
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// round asks all addresses of one family that have not answered.
func (p *pinger) round(s *echoSocket) {
	var data [stampSize]byte
	for addr, places := range p.index {
		if addr.Is6() != s.v6 {
			continue
		}
		p.mu.Lock()
		r := &p.results[places[0]]
		answered := r.OK
		if !answered {
			r.Sent++
		}
		p.mu.Unlock()
		if answered {
			continue
		}
		stamp(data[:], time.Since(p.start), 0)
		if err := s.send(addr, 0, data[:]); err != nil {
			p.mu.Lock()
			r.Err = err
			p.mu.Unlock()
		}
	}
}

// listen takes answers until the socket closes.
func (p *pinger) listen(s *echoSocket) {
	buf := make([]byte, 2048)
	for {
		from, data, err := s.receive(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of one address
			continue
		}
		at, _, ok := readStamp(data)
		places := p.index[from]
		if !ok || len(places) == 0 {
			continue
		}
		p.mu.Lock()
		if r := &p.results[places[0]]; !r.OK {
			r.OK, r.At, r.Err = true, time.Since(p.start), nil
			r.RTT = r.At - at
			if p.open--; p.open == 0 {
				close(p.all)
			}
		}
		p.mu.Unlock()
	}
}

// close ends the listeners; then the results are complete.
func (p *pinger) close() error {
	var err error
	for _, s := range p.sockets {
		err = errors.Join(err, s.Close())
	}
	p.wg.Wait()
	for _, places := range p.index {
		for _, i := range places[1:] {
			p.results[i] = p.results[places[0]]
		}
	}
	return err
}
