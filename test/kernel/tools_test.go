package kernel_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
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
		"loss":  {1, lossTool},
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

// sinkWord begins the line that sinkTool prints when it listens.
const sinkWord = "sink: listening"

// sinkTool (ADDR:PORT) takes connections for ever. To each it answers how many
// bytes came before the end, and their SHA-256.
func sinkTool(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println(sinkWord, l.Addr())
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
const sendTimeout = 90 * time.Second

// sendTool (ADDR:PORT BYTES) sends random bytes to a sink, compares its answer
// with what it sent, and prints how it went.
func sendTool(args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	begin := time.Now()
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
	paced := &pace{w: c}
	n, err := io.Copy(io.MultiWriter(paced, sum), io.LimitReader(random, size))
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
	fmt.Printf("%.2f MB/s, connected in %d ms, longest pause %d ms, %s", float64(n)/1e6/took.Seconds(),
		start.Sub(begin).Milliseconds(), paced.longest.Milliseconds(), tcpInfo(c))
	return nil
}

// pace notes the longest write.
type pace struct {
	w       io.Writer
	longest time.Duration
}

// Write implements io.Writer.
func (p *pace) Write(b []byte) (int, error) {
	start := time.Now()
	n, err := p.w.Write(b)
	p.longest = max(p.longest, time.Since(start))
	return n, err
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
