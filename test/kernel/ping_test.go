package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	pingEvery = 250 * time.Millisecond // interval of a ping that waits for a first answer
	lossEvery = 100 * time.Millisecond // interval of one that counts losses
	lossWait  = 10 * time.Second       // after which an answer counts as lost
	lossWord  = "loss:"                // begins the line of lossTool
)

// pingTool (TIMEOUT ADDR..) pings each address until it answers, and prints a
// line for each: how many requests it took, and the round trip in milliseconds.
func pingTool(args []string) error {
	timeout, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	deadline := time.Now().Add(timeout)
	for _, s := range args[1:] {
		p, err := newPinger(s)
		if err != nil {
			return err
		}
		var rtt time.Duration
		for {
			rtt, err = p.once(pingEvery)
			if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(deadline) {
				break
			}
		}
		p.conn.Close()
		if err != nil {
			return fmt.Errorf("ping %s: no answer to %d requests: %w", s, p.seq, err)
		}
		fmt.Printf("%d %.2f\n", p.seq, float64(rtt.Microseconds())/1000)
	}
	return nil
}

// lossTool (ADDR) pings an address until SIGTERM, and then prints how many
// requests had no answer. With any it fails.
func lossTool(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, err := newPinger(args[0])
	if err != nil {
		return err
	}
	defer p.conn.Close()
	tick := time.NewTicker(lossEvery)
	defer tick.Stop()
	var lost []int
	var last error
	for ctx.Err() == nil {
		if _, err := p.once(lossWait); err != nil {
			lost, last = append(lost, p.seq), err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	fmt.Printf("%s %d requests, %d lost\n", lossWord, p.seq, len(lost))
	if len(lost) > 0 {
		return fmt.Errorf("requests %d had no answer: %w", lost, last)
	}
	return nil
}

// pinger sends ICMP echo requests to one address.
type pinger struct {
	to       netip.Addr
	conn     *icmp.PacketConn
	protocol int // in IANA's numbering
	request  icmp.Type
	reply    icmp.Type
	seq      int // of the last request
	buf      [1500]byte
}

func newPinger(addr string) (*pinger, error) {
	to, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	p := &pinger{to: to, protocol: 1, request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply}
	network := "ip4:icmp"
	if to.Is6() {
		p.protocol, p.request, p.reply = 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
		network = "ip6:ipv6-icmp"
	}
	p.conn, err = icmp.ListenPacket(network, "")
	return p, err
}

// once sends a request and returns the round trip, or os.ErrDeadlineExceeded
// when no answer came within wait.
func (p *pinger) once(wait time.Duration) (time.Duration, error) {
	p.seq++
	id := os.Getpid() & 0xffff
	msg := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: id, Seq: p.seq & 0xffff, Data: []byte("cbnet")}}
	b, err := msg.Marshal(nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	// Without a route or a key of the peer this fails; a later one may pass.
	_, sendErr := p.conn.WriteTo(b, &net.IPAddr{IP: p.to.AsSlice()})
	if err := p.conn.SetReadDeadline(start.Add(wait)); err != nil {
		return 0, err
	}
	for {
		n, _, err := p.conn.ReadFrom(p.buf[:])
		if err != nil {
			return 0, errors.Join(err, sendErr)
		}
		m, err := icmp.ParseMessage(p.protocol, p.buf[:n])
		if err != nil || m.Type != p.reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id && e.Seq == p.seq&0xffff {
			return time.Since(start), nil
		}
	}
}
