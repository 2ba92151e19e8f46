package vm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
)

const (
	qemu = "qemu-system-x86_64"

	// consoleLimit is how much of a console is kept, in bytes.
	consoleLimit = 256 << 10
)

// Config describes a machine.
type Config struct {
	Name   string
	Kernel Kernel
	Initrd string         // written by WriteImage
	Tap    string         // TAP device of this network namespace that is its network card
	MAC    string         // address of that
	Addrs  []netip.Prefix // of that; the first is where requests go
	Memory int            // MiB
}

// VM is a running machine. Its methods may be called concurrently.
type VM struct {
	Name    string
	Address netip.Addr // the first one

	cmd     *exec.Cmd
	console *console
	done    chan struct{} // closed when QEMU has ended, after err is set
	err     error
	client  *client
}

// Start starts a machine. It does not wait for its boot.
func Start(c Config) (*VM, error) {
	if len(c.Addrs) == 0 {
		return nil, fmt.Errorf("machine %s: want an address", c.Name)
	}
	v := &VM{
		Name: c.Name, Address: c.Addrs[0].Addr(), console: &console{},
		done: make(chan struct{}), client: newClient(c.Addrs[0].Addr()),
	}
	v.cmd = exec.Command(qemu, c.args()...)
	v.cmd.Stdout, v.cmd.Stderr = v.console, v.console
	// It ends with us, even after kill -9.
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("machine %s: %w", c.Name, err)
	}
	go func() { // ends with QEMU
		v.err = v.cmd.Wait()
		close(v.done)
	}()
	return v, nil
}

// args returns QEMU's. There is no firmware for the network card, no display and
// no disk; a machine that stops ends QEMU.
func (c Config) args() []string {
	var addrs []string
	for _, a := range c.Addrs {
		addrs = append(addrs, a.String())
	}
	params := []string{
		"console=ttyS0", "quiet", "panic=-1",
		"no_timer_check", // on a busy host the kernel would not believe in the emulated timer
		guest.ParamName + "=" + c.Name, guest.ParamAddrs + "=" + strings.Join(addrs, ","),
	}
	return []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", strconv.Itoa(c.Memory),
		"-kernel", c.Kernel.Image, "-initrd", c.Initrd, "-append", strings.Join(params, " "),
		"-serial", "stdio",
		"-netdev", "tap,id=net0,script=no,downscript=no,ifname=" + c.Tap,
		"-device", "virtio-net-pci,romfile=,netdev=net0,mac=" + c.MAC,
	}
}

// Ready waits until the machine takes requests.
func (v *VM) Ready(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := v.client.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-v.done:
			return fmt.Errorf("machine %s ended: %w", v.Name, errors.Join(v.err, err))
		case <-ctx.Done():
			return fmt.Errorf("machine %s does not answer: %w", v.Name, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// Console returns what the machine wrote to its serial console, the end of it.
func (v *VM) Console() string { return v.console.String() }

// AwaitConsole waits until the console holds a complete line with word in it,
// and returns what follows the word in the last such line.
func (v *VM) AwaitConsole(ctx context.Context, word string) (string, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if rest, ok := lastLine(v.Console(), word); ok {
			return rest, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("machine %s wrote no %q: %w", v.Name, word, ctx.Err())
		}
	}
}

// lastLine returns what follows word in the last complete line that has it.
func lastLine(text, word string) (rest string, ok bool) {
	for line := range strings.Lines(text) {
		if _, after, found := strings.Cut(line, word); found && strings.HasSuffix(line, "\n") {
			rest, ok = strings.TrimSpace(after), true
		}
	}
	return rest, ok
}

// Close switches the machine off. Further calls do nothing.
func (v *VM) Close() error {
	select {
	case <-v.done:
		return nil
	default:
	}
	if err := v.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("machine %s: %w", v.Name, err)
	}
	<-v.done
	return nil
}

// console keeps the end of what is written to it.
type console struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

// Write implements io.Writer.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, p...)
	if n := len(c.buf) - consoleLimit; n > 0 {
		c.buf = append(c.buf[:0], c.buf[n:]...)
	}
	return len(p), nil
}

// String returns the text with the terminal's line ends turned into ours.
func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(string(c.buf), "\r", "")
}
