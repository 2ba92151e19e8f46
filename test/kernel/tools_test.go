package kernel_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// tool is the first argument of this program when it is a tool in a machine.
const tool = "tool"

// runTool is the main function of the tools.
func runTool(name string, args []string) error {
	tools := map[string]struct {
		args int // how many, at least
		do   func([]string) error
	}{
		"ping":  {2, pingTool},
		"sink":  {1, sinkTool},
		"send":  {2, sendTool},
		"link":  {1, linkTool},
		"state": {1, stateTool},
	}
	t, ok := tools[name]
	if !ok || len(args) < t.args {
		return fmt.Errorf("no tool %s with %d arguments", name, len(args))
	}
	return t.do(args)
}

// pingEvery is the interval of echo requests.
const pingEvery = 250 * time.Millisecond

// pingTool (TIMEOUT ADDR..) pings each address until it answers, and prints a
// line for each: how many requests it took, and the round trip in milliseconds.
func pingTool(args []string) error {
	timeout, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	deadline := time.Now().Add(timeout)
	for _, s := range args[1:] {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return err
		}
		tries, rtt, err := ping(a, deadline)
		if err != nil {
			return fmt.Errorf("ping %s: %w", a, err)
		}
		fmt.Printf("%d %.2f\n", tries, float64(rtt.Microseconds())/1000)
	}
	return nil
}

func ping(to netip.Addr, deadline time.Time) (tries int, rtt time.Duration, err error) {
	network, proto := "ip4:icmp", 1
	var kind, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, proto = "ip6:ipv6-icmp", 58
		kind, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := icmp.ListenPacket(network, "")
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	buf := make([]byte, 1500)
	id := os.Getpid() & 0xffff
	for seq := 1; time.Now().Before(deadline); seq++ {
		msg := icmp.Message{Type: kind, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("cbnet")}}
		b, err := msg.Marshal(nil)
		if err != nil {
			return seq, 0, err
		}
		start := time.Now()
		// No route yet, or no key of the peer: the next one may pass.
		_, sendErr := c.WriteTo(b, &net.IPAddr{IP: to.AsSlice()})
		if err := c.SetReadDeadline(start.Add(pingEvery)); err != nil {
			return seq, 0, err
		}
		for {
			n, _, err := c.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return seq, 0, errors.Join(err, sendErr)
			}
			m, err := icmp.ParseMessage(proto, buf[:n])
			if err != nil || m.Type != reply {
				continue
			}
			if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id && e.Seq == seq {
				return seq, time.Since(start), nil
			}
		}
	}
	return 0, 0, errors.New("no answer")
}

// sinkTool (ADDR:PORT) takes connections for ever. To each it answers how many
// bytes came before the end, and their SHA-256.
func sinkTool(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() { // ends with the connection, at the latest with the process
			defer c.Close()
			sum := sha256.New()
			n, err := io.Copy(sum, c)
			if err != nil {
				fmt.Fprintln(os.Stderr, "sink:", err)
				return
			}
			fmt.Fprintf(c, "%d %x", n, sum.Sum(nil))
		}()
	}
}

// sendTimeout bounds one transfer.
const sendTimeout = 60 * time.Second

// sendTool (ADDR:PORT BYTES) sends random bytes to a sink, compares its answer
// with what it sent, and prints how it went.
func sendTool(args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", args[0], sendTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
	start := time.Now()
	if err := c.SetDeadline(start.Add(sendTimeout)); err != nil {
		return err
	}
	sum := sha256.New()
	random := rand.NewChaCha8([32]byte{byte(start.Nanosecond())})
	n, err := io.Copy(io.MultiWriter(c, sum), io.LimitReader(random, size))
	if err != nil {
		return fmt.Errorf("after %d bytes: %w; %s", n, err, tcpInfo(c))
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("answer: %w; %s", err, tcpInfo(c))
	}
	took := time.Since(start)
	if want := fmt.Sprintf("%d %x", n, sum.Sum(nil)); string(answer) != want {
		return fmt.Errorf("sent %s, received %s", want, answer)
	}
	fmt.Printf("%.2f MB/s, %s", float64(n)/1e6/took.Seconds(), tcpInfo(c))
	return nil
}

// tcpInfo tells why a transfer is slow: segment size, losses, round trip.
func tcpInfo(c *net.TCPConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	var i *unix.TCPInfo
	if e := raw.Control(func(fd uintptr) { i, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil || err != nil {
		return errors.Join(e, err).Error()
	}
	return fmt.Sprintf("segments of %d bytes, %d sent again, round trip %d ms, path MTU %d", i.Snd_mss, i.Total_retrans, i.Rtt/1000, i.Pmtu)
}

// linkTool (NAME) prints the kind of an interface, or "none".
func linkTool(args []string) error {
	l, err := netlink.LinkByName(args[0])
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		fmt.Print("none")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Print(l.Type())
	return nil
}
