package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 10 * time.Second
	silence       = 4 * aliveEvery // a stream without a frame for so long is dead
	maxAnswer     = 1 << 20        // bytes of an answer that is no stream
)

// Client calls nodes' APIs as the node that its bundle names. It may be used
// by several goroutines at once and keeps no connection between calls.
type Client struct {
	bundle *identity.Bundle
	roots  *identity.Roots
}

// NewClient returns a client with the identity of a bundle, which trusts whom
// roots trusts.
func NewClient(b *identity.Bundle, roots *identity.Roots) *Client {
	return &Client{bundle: b, roots: roots}
}

// Target is a node and where its API is.
type Target struct {
	Node string         // the name its certificate must hold
	Addr netip.AddrPort // of its API; a port of 0 is [Port]
}

// At returns the target of a node with an overlay address.
func At(node string, ip netip.Addr) Target {
	return Target{Node: node, Addr: netip.AddrPortFrom(ip, Port)}
}

// Command is what to run on a node.
type Command struct {
	Args   []string  // program and arguments, no shell between
	Stdout io.Writer // nil: dropped
	Stderr io.Writer // nil: dropped
}

// RefusedError is a node's answer to a call that it does not serve.
type RefusedError struct {
	Status  int    // HTTP status: 403 for a right that is missing or exec being off
	Message string // why, for people
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Message }

// Version asks a node for its version.
func (c *Client) Version(ctx context.Context, t Target) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var v Version
	res, done, err := c.do(ctx, t, http.MethodGet, "/v1/version", nil)
	if err != nil {
		return v, err
	}
	defer done()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&v); err != nil {
		return v, fmt.Errorf("version of %s: %w", t.Node, err)
	}
	return v, nil
}

// Exec runs a command on a node and returns its exit code; 128 and the signal's
// number for one that a signal ended. It blocks until the command is done. If
// ctx ends first the command is killed with all it started.
//
// Errors: ErrOtherNode if another node answers, a [*RefusedError] if this one
// says no, and others if the command could not be run or the node was lost.
// After those last it is not known what the command did.
func (c *Client) Exec(ctx context.Context, t Target, cmd Command) (int, error) {
	body, err := json.Marshal(execRequest{Command: cmd.Args})
	if err != nil {
		return 0, fmt.Errorf("exec on %s: %w", t.Node, err)
	}
	res, done, err := c.do(ctx, t, http.MethodPost, "/v1/exec", body)
	if err != nil {
		return 0, err
	}
	defer done()
	code, err := copyFrames(res.Body, cmd)
	if ctx.Err() != nil {
		return 0, fmt.Errorf("exec on %s: %w", t.Node, context.Cause(ctx))
	}
	if err != nil {
		return 0, fmt.Errorf("exec on %s: %w", t.Node, err)
	}
	return code, nil
}

// copyFrames reads a stream of foreign bytes up to the frame that ends it.
func copyFrames(r io.Reader, cmd Command) (int, error) {
	stdout, stderr := cmd.Stdout, cmd.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	buf := make([]byte, maxFrame)
	for {
		k, payload, err := readFrame(r, buf)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the node went away before the command was done: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return 0, err
		}
		switch k {
		case kindStdout:
			_, err = stdout.Write(payload)
		case kindStderr:
			_, err = stderr.Write(payload)
		case kindExit:
			if len(payload) != 4 {
				return 0, fmt.Errorf("exit code of %d bytes: %w", len(payload), errFrame)
			}
			return int(int32(binary.BigEndian.Uint32(payload))), nil
		case kindFail:
			return 0, fmt.Errorf("%.1000s", payload)
		}
		if err != nil {
			return 0, fmt.Errorf("output: %w", err)
		}
	}
}

// do makes one call over a connection of its own. The function ends both.
func (c *Client) do(ctx context.Context, t Target, method, path string, body []byte) (*http.Response, func(), error) {
	addr := t.Addr
	if addr.Port() == 0 {
		addr = netip.AddrPortFrom(addr.Addr(), Port)
	}
	d := net.Dialer{Timeout: dialTimeout}
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &quietConn{Conn: conn}, nil
		},
		TLSClientConfig:       clientTLS(c.bundle, c.roots, t.Node),
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: answerTimeout,
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+addr.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("node %s: %w", t.Node, err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		tr.CloseIdleConnections()
		return nil, nil, fmt.Errorf("node %s at %s: %w", t.Node, addr, err)
	}
	done := func() {
		res.Body.Close()
		tr.CloseIdleConnections()
	}
	if res.StatusCode != http.StatusOK {
		defer done()
		return nil, nil, readRefusal(res, t)
	}
	return res, done, nil
}

func readRefusal(res *http.Response, t Target) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("node %s: status %d: %w", t.Node, res.StatusCode, err)
	}
	e := &RefusedError{Status: res.StatusCode}
	var r refusal
	if json.Unmarshal(data, &r) == nil {
		e.Message = r.Error
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("node %s: status %d", t.Node, res.StatusCode)
	}
	return e
}

// quietConn fails when nothing arrives for too long: a command that is silent
// still sends signs of life.
type quietConn struct{ net.Conn }

// Read implements net.Conn.
func (c *quietConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
