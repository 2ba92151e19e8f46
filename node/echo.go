package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/node/remote"
)

const (
	icmpEchoRequest = 8 // RFC 792
	icmpEchoReply   = 0
	echoHeader      = 8
	echoNonce       = 16
)

// echo measures one round trip from an overlay address to another: by ICMP, or
// by a TCP handshake with the node API where this process may not send ICMP.
func echo(ctx context.Context, from, to netip.Addr, wait time.Duration) (rtt time.Duration, via string, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, raw, err := icmpSocket(from)
	if err != nil {
		rtt, err = tcpEcho(ctx, from, netip.AddrPortFrom(to, remote.Port))
		return rtt, "tcp", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	rtt, err = icmpEcho(conn, raw, to)
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", wait)
	}
	return rtt, "icmp", err
}

// icmpSocket opens a ping socket, which some systems allow to all, else a raw
// one, which root may.
func icmpSocket(from netip.Addr) (conn net.PacketConn, raw bool, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		conn, err = net.ListenPacket("ip4:icmp", from.String())
		return conn, true, err
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return nil, false, fmt.Errorf("bind %s: %w", from, err)
	}
	conn, err = net.FilePacketConn(f)
	return conn, false, err
}

func icmpEcho(conn net.PacketConn, raw bool, to netip.Addr) (time.Duration, error) {
	var nonce [echoNonce]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return 0, fmt.Errorf("random bytes: %w", err)
	}
	var dst net.Addr = &net.UDPAddr{IP: to.AsSlice()}
	if raw {
		dst = &net.IPAddr{IP: to.AsSlice()}
	}
	start := time.Now()
	if _, err := conn.WriteTo(echoRequest(nonce[:]), dst); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	buf := make([]byte, 1500)
	for {
		k, _, err := conn.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		if isReply(buf[:k], nonce[:]) {
			return time.Since(start), nil
		}
	}
}

// echoRequest makes an ICMP echo request that carries the nonce.
func echoRequest(nonce []byte) []byte {
	b := make([]byte, echoHeader, echoHeader+len(nonce))
	b[0] = icmpEchoRequest
	copy(b[4:8], nonce) // id and sequence number; a ping socket puts in its own id
	b = append(b, nonce...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// isReply reports whether foreign bytes are the answer to our request.
func isReply(b, nonce []byte) bool {
	return len(b) >= echoHeader+len(nonce) && b[0] == icmpEchoReply && b[1] == 0 &&
		string(b[echoHeader:echoHeader+len(nonce)]) == string(nonce)
}

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// tcpEcho times a TCP handshake; a refusal is an answer as well.
func tcpEcho(ctx context.Context, from netip.Addr, to netip.AddrPort) (time.Duration, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	start := time.Now()
	conn, err := d.DialContext(ctx, "tcp", to.String())
	took := time.Since(start)
	if err == nil {
		return took, conn.Close()
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return took, nil
	}
	return 0, err
}
