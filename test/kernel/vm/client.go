package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
)

const (
	readyTimeout = 5 * time.Second  // of one try
	runTimeout   = 90 * time.Second // when the caller's context has no deadline
	endTimeout   = 60 * time.Second // for a signalled command to end
	maxAnswer    = 8 << 20
)

// client sends requests to a guest, each on a connection of its own: a machine
// may be gone without a word.
type client struct {
	url  string
	http http.Client
}

func newClient(a netip.Addr) *client {
	return &client{
		url:  "http://" + netip.AddrPortFrom(a, guest.Port).String(),
		http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

func (c *client) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return c.do(ctx, http.MethodGet, "/ready", nil, nil)
}

func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, runTimeout)
		defer cancel()
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("guest: %s", bytes.TrimSpace(data))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// Run runs a command in the machine to its end, which must be a success. It is
// killed at the deadline of ctx, or after a minute.
func (v *VM) Run(ctx context.Context, args ...string) (guest.Result, error) {
	timeout := runTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = time.Until(d)
	}
	// The guest gives up first and can say what there was.
	ctx, cancel := context.WithTimeout(ctx, timeout+endTimeout)
	defer cancel()
	var r guest.Result
	err := v.client.do(ctx, http.MethodPost, "/run", guest.RunRequest{Args: args, Timeout: timeout * 9 / 10}, &r)
	if err == nil && r.Exit != 0 {
		err = fmt.Errorf("exit code %d: %s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %q: %w", v.Name, args, err)
	}
	return r, nil
}

// Start starts a command in the machine. It writes to the console.
func (v *VM) Start(ctx context.Context, name string, args ...string) error {
	err := v.client.do(ctx, http.MethodPost, "/start", guest.StartRequest{Name: name, Args: args}, nil)
	if err != nil {
		return fmt.Errorf("%s: start %s: %w", v.Name, name, err)
	}
	return nil
}

// Signal sends a signal to a started command and returns its exit code when it
// has ended, -1 if by the signal.
func (v *VM) Signal(ctx context.Context, name string, s syscall.Signal) (int, error) {
	var r guest.Result
	err := v.client.do(ctx, http.MethodPost, "/signal", guest.SignalRequest{Name: name, Signal: int(s), Timeout: endTimeout}, &r)
	if err != nil {
		return 0, fmt.Errorf("%s: %s to %s: %w", v.Name, s, name, err)
	}
	return r.Exit, nil
}

// WriteFile writes a file in the machine, and the directories above it.
func (v *VM) WriteFile(ctx context.Context, path string, data []byte, mode os.FileMode) error {
	err := v.client.do(ctx, http.MethodPost, "/file", guest.File{Path: path, Mode: mode, Data: data}, nil)
	if err != nil {
		return fmt.Errorf("%s: write %s: %w", v.Name, path, err)
	}
	return nil
}
