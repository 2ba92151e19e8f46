package api

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// ContextFormat is the format number of a context file.
const ContextFormat = 1

// MaxContext is the size in bytes a context file may have.
const MaxContext = 64 << 10

// Context is all that a client needs to reach one server: the content of
// DIR/admin.context and of the files that `cbctl login` writes. It holds the
// administrator's token: its file has mode 0600.
type Context struct {
	Format int    `json:"format"`
	Name   string `json:"name,omitempty"`
	URL    string `json:"url"`   // https://HOST:PORT
	CA     string `json:"ca"`    // certificates in PEM that the server's must chain to
	Token  Secret `json:"token"` // of the administrator
}

// ParseContext reads a context file. Its errors never repeat the token.
func ParseContext(data []byte) (Context, error) {
	if len(data) > MaxContext {
		return Context{}, fmt.Errorf("context of %d bytes: at most %d are allowed", len(data), MaxContext)
	}
	var c Context
	if err := json.Unmarshal(data, &c); err != nil {
		return Context{}, fmt.Errorf("context: not JSON of the expected form: %w", redactJSON(err))
	}
	if c.Format < 1 {
		return Context{}, errors.New("this is no context: want a server's admin.context, or what cbctl login wrote")
	}
	if c.Format > ContextFormat {
		return Context{}, fmt.Errorf("context of format %d: this program knows up to %d", c.Format, ContextFormat)
	}
	if err := c.validate(); err != nil {
		return Context{}, fmt.Errorf("context: %w", err)
	}
	return c, nil
}

// redactJSON keeps the place of a JSON error and drops what stood there.
func redactJSON(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return fmt.Errorf("field %q has the wrong type", typ.Field)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("syntax error at byte %d", syntax.Offset)
	}
	return errors.New("cannot be read")
}

func (c Context) validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("url %q: want https://HOST:PORT", c.URL)
	}
	if u.Scheme != "https" {
		return fmt.Errorf("url %q: only https is spoken", c.URL)
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CA)) {
		return errors.New("ca: no certificate in PEM")
	}
	if c.Token == "" {
		return errors.New("token: missing")
	}
	return nil
}

// Marshal returns the content of the context's file.
func (c Context) Marshal() ([]byte, error) {
	c.Format = ContextFormat
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	return b.Bytes(), nil
}
