package identity

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// tokenPrefix starts every token, so that a person and a secret scanner know one.
const tokenPrefix = "cb1."

// Token is a one-time invitation: it swaps for a bundle at a control plane. It
// holds no expiry: the server closes it.
type Token struct {
	Format int     `json:"format"`
	URL    string  `json:"url"`    // of the control plane: https://HOST:PORT
	CAHash Bytes32 `json:"caHash"` // pins the server's certificate authority, see Roots.CAHash
	Node   string  `json:"node"`
	Secret string  `json:"secret"`
}

// String hides the token; see Text.
func (t Token) String() string { return "REDACTED" }

// LogValue implements slog.LogValuer: a token never reaches a log.
func (t Token) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Text returns the token as a user hands it on. It is secret.
func (t Token) Text() (string, error) {
	t.Format = Format
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode token: %w", err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// ParseToken reads a token's text; white space around it is ignored. Errors
// never hold any of the input.
func ParseToken(s string) (Token, error) {
	var t Token
	s = strings.TrimSpace(s)
	if len(s) > MaxToken {
		return t, fmt.Errorf("token: %w", ErrTooLarge)
	}
	body, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok {
		return t, fmt.Errorf("token: want one that starts with %s: %w", tokenPrefix, ErrFormat)
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return t, fmt.Errorf("token: cut short or mistyped: %w", ErrFormat)
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return Token{}, fmt.Errorf("token: cut short or mistyped: %w", ErrFormat)
	}
	if t.Format != Format {
		return Token{}, fmt.Errorf("token of format %d: %w", t.Format, ErrFormat)
	}
	if err := t.validate(); err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	return t, nil
}

func (t Token) validate() error {
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("server address: want https://HOST:PORT: %w", ErrFormat)
	}
	if t.CAHash == (Bytes32{}) || t.Secret == "" {
		return fmt.Errorf("without a CA hash or secret: %w", ErrFormat)
	}
	return ParseName(t.Node)
}
