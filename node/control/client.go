package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

const (
	maxAnswer   = 16 << 20         // bytes: 10,000 peers are 4 MB
	dialTimeout = 2 * time.Second  // a local socket answers at once
	callTimeout = 30 * time.Second // when the caller's context has no deadline
)

// Client asks a daemon over its control socket. It may be used by several
// goroutines at once and holds no connection open between calls.
type Client struct {
	socket string
	http   *http.Client
}

// Dial returns a client of the daemon that listens on a socket. The socket is
// not touched before the first call.
func Dial(socket string) *Client {
	d := net.Dialer{Timeout: dialTimeout}
	return &Client{
		socket: socket,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", socket)
			},
			DisableKeepAlives: true,
		}},
	}
}

// Status returns what the daemon is and does.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Peers returns everyone the daemon knows, sorted by name.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	var p []Peer
	err := c.call(ctx, http.MethodGet, "/v1/peers", nil, &p)
	return p, err
}

// Ping sends one packet through the tunnel to a peer and waits for its answer.
// An [*Error] says why none came.
func (c *Client) Ping(ctx context.Context, name string) (Ping, error) {
	var p Ping
	err := c.call(ctx, http.MethodPost, "/v1/ping?name="+url.QueryEscape(name), nil, &p)
	return p, err
}

// Leave gives up the node's place in the mesh: the others forget it. The
// daemon ends afterwards.
func (c *Client) Leave(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/leave", nil, nil)
}

// Revoke hands a signed revocation list to the daemon, which applies it and
// spreads it.
func (c *Client) Revoke(ctx context.Context, signed []byte) error {
	return c.call(ctx, http.MethodPost, "/v1/revoke", signed, nil)
}

// Renew has the daemon go on with another bundle, which is secret.
func (c *Client) Renew(ctx context.Context, bundle []byte) (Renewal, error) {
	var r Renewal
	err := c.call(ctx, http.MethodPost, "/v1/renew", bundle, &r)
	return r, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://cbnetd"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("control request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer of the daemon at %s: %w", c.socket, err)
	}
	return decode(res.StatusCode, data, out)
}

// decode reads an answer of the daemon. It is given foreign bytes.
func decode(status int, data []byte, out any) error {
	if status/100 != 2 {
		e := &Error{Status: status}
		if json.Unmarshal(data, e) != nil || e.Message == "" {
			e.Message = fmt.Sprintf("the daemon answered with status %d", status)
		}
		e.Status = status
		return e
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	return nil
}

// explain turns the errors that people meet into sentences.
func (c *Client) explain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the made-up address
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no daemon listens on %s: start cbnetd, or name its socket with --socket: %w", c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s: only root may open it: %w", c.socket, err)
	}
	return fmt.Errorf("daemon at %s: %w", c.socket, err)
}
