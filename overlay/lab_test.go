package overlay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/overlay"
)

// The lab runs tests as root in private namespaces, by executing the test
// binary again:
//
//	insideLab   one test, alone, in a fresh network and mount namespace
//	newHost     from there, a host with namespaces of its own, steered by pipe
//
//	          lab namespace
//	   +--------+        +--------+
//	   | host a |--veth--| host b |
//	   +--------+        +--------+
const (
	labEnv  = "OVERLAY_TEST_LAB"
	hostEnv = "OVERLAY_TEST_HOST"
)

func TestMain(m *testing.M) {
	if os.Getenv(hostEnv) != "" {
		os.Exit(serveHost(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// insideLab reports whether the test runs in its lab. If not, it runs the test
// there and reports its result.
func insideLab(t *testing.T) bool {
	t.Helper()
	if os.Getenv(labEnv) != "" {
		privateRun(t)
		return true
	}
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, and CI has to run as root")
		}
		t.Skip("needs root for network namespaces and TUN devices")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout=100s")
	cmd.Env = append(os.Environ(), labEnv+"=1")
	cmd.SysProcAttr = namespaces()
	out, err := cmd.CombinedOutput()
	if testing.Verbose() || err != nil {
		t.Logf("in its namespaces:\n%s", out)
	}
	if err != nil {
		t.Fatalf("in its namespaces: %v", err)
	}
	if !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("did not run in its namespaces:\n%s", out)
	}
	return false
}

func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
}

// privateRun gives this mount namespace its own /run, which holds UAPI sockets
// and locks, and brings loopback up.
func privateRun(t *testing.T) {
	t.Helper()
	if err := isolate(); err != nil {
		t.Fatal(err)
	}
}

func isolate() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// call is one request to a host, and reply its answer.
type call struct {
	Op      string // open, set, peers, close, cleanup, addr, run, echo, dial
	Options overlay.Options
	Config  overlay.Config
	Args    []string
}

type reply struct {
	Err   string
	InUse bool // Err is overlay.ErrInUse
	Out   string
	Peers []overlay.PeerStatus
}

// host is a process with namespaces of its own.
type host struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
}

func newHost(t *testing.T, name string) *host {
	t.Helper()
	return startHost(t, name, namespaces())
}

// newNeighbour is a host in the namespaces of the caller.
func newNeighbour(t *testing.T) *host {
	t.Helper()
	return startHost(t, neighbour, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})
}

const neighbour = "neighbour"

func startHost(t *testing.T, name string, attr *syscall.SysProcAttr) *host {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), hostEnv+"="+name)
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, name: name, cmd: cmd, stdin: stdin, out: json.NewDecoder(stdout)}
	t.Cleanup(h.kill)
	h.do(call{Op: "ready"})
	return h
}

// kill is a crash: SIGKILL, no last words.
func (h *host) kill() {
	if h.cmd.ProcessState == nil {
		h.cmd.Process.Kill()
		h.cmd.Wait()
	}
}

// try returns the answer, errors included.
func (h *host) try(c call) reply {
	h.t.Helper()
	if err := json.NewEncoder(h.stdin).Encode(c); err != nil {
		h.t.Fatalf("host %s: %v", h.name, err)
	}
	var r reply
	if err := h.out.Decode(&r); err != nil {
		h.t.Fatalf("host %s: %s: %v", h.name, c.Op, err)
	}
	return r
}

// do is try for what must succeed.
func (h *host) do(c call) reply {
	h.t.Helper()
	r := h.try(c)
	if r.Err != "" {
		h.t.Fatalf("host %s: %s %v: %s\n%s", h.name, c.Op, c.Args, r.Err, r.Out)
	}
	return r
}

// beside runs a command in the host's network while the host answers calls.
func (h *host) beside(args ...string) reply {
	pid := fmt.Sprint(h.cmd.Process.Pid)
	out, err := exec.Command("nsenter", append([]string{"-t", pid, "-n", "--"}, args...)...).CombinedOutput()
	if err != nil {
		return reply{Out: string(out), Err: err.Error()}
	}
	return reply{Out: string(out)}
}

// link joins two hosts by a veth pair, eth0 on both sides, and waits until it
// carries packets of both families.
func link(t *testing.T, a, b *host, addrA, addrB []string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Namespace = "eth0", netlink.NsPid(a.cmd.Process.Pid)
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(b.cmd.Process.Pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	a.do(call{Op: "addr", Args: append([]string{"eth0"}, addrA...)})
	b.do(call{Op: "addr", Args: append([]string{"eth0"}, addrB...)})
	for _, addr := range addrB {
		answers(t, a, netip.MustParsePrefix(addr).Addr())
	}
}

// answers waits until a host reaches an address without a tunnel, or one of its
// own. Linux answers for a new IPv6 address only once a worker that all
// namespaces share has come to it, which is busy while others are taken down.
func answers(t *testing.T, h *host, addr netip.Addr) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ping(h, addr.String()); {
		if time.Now().After(deadline) {
			t.Fatalf("no packet from %s to %s, outside of any tunnel", h.name, addr)
		}
	}
}

// serveHost is the process of a host.
func serveHost(in io.Reader, out io.Writer) int {
	if os.Getenv(hostEnv) != neighbour {
		if err := isolate(); err != nil {
			fmt.Fprintln(os.Stderr, "host:", err)
			return 1
		}
	}
	level := slog.LevelWarn
	if os.Getenv("OVERLAY_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	s := &hostServer{log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("host", os.Getenv(hostEnv))}
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var c call
		if err := dec.Decode(&c); err != nil {
			return 0
		}
		r, err := s.handle(c)
		if err != nil {
			r.Err, r.InUse = err.Error(), errors.Is(err, overlay.ErrInUse)
		}
		if err := enc.Encode(r); err != nil {
			return 1
		}
	}
}

type hostServer struct {
	log *slog.Logger
	dev *overlay.Device
}

func (s *hostServer) handle(c call) (r reply, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch c.Op {
	case "ready":
	case "open":
		c.Options.Log = s.log
		s.dev, err = overlay.Open(ctx, c.Options)
	case "set":
		err = s.dev.Set(ctx, c.Config)
	case "peers":
		r.Peers, err = s.dev.Peers()
	case "close":
		err = s.dev.Close()
	case "cleanup":
		err = overlay.Cleanup(c.Args[0])
	case "addr":
		err = addAddresses(c.Args[0], c.Args[1:])
	case "echo":
		err = serveEcho(c.Args[0])
	case "dial":
		err = dialEcho(ctx, c.Args[0], c.Args[1])
	case "run":
		out, e := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...).CombinedOutput()
		r.Out, err = string(out), e
	default:
		err = fmt.Errorf("unknown op %q", c.Op)
	}
	return r, err
}

// serveEcho answers TCP and UDP on addr until the process ends.
func serveEcho(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from)
		}
	}()
	return nil
}

// dialEcho sends to an echo server and compares what comes back: 1 MiB over
// TCP, which offloads may cut and join, or a datagram of the MTU.
func dialEcho(ctx context.Context, network, addr string) error {
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	size := 1 << 20
	if network == "udp" {
		size = 1280 - 48
	}
	sent := bytes.Repeat([]byte("cbnet"), size/5)
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		done <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if !bytes.Equal(sent, got) {
		return fmt.Errorf("%d bytes came back changed", len(got))
	}
	return <-done
}

func addAddresses(name string, addrs []string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, s := range addrs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return err
		}
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return netlink.LinkSetUp(l)
}
