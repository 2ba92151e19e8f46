package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cbnet-io/cbnet/api"
)

// maxTokenFile is the size in bytes of a file with a token.
const maxTokenFile = 4 << 10

// login is the flags of `cbctl login`.
type login struct{ name, tokenFile, caHash string }

func newLoginCommand() *cobra.Command {
	var l login
	cmd := &cobra.Command{
		Use:   "login URL",
		Short: "remember a server and use it",
		Long: `login asks for the administrator's token, checks it with the server, and keeps
both in a file of mode 0600 in the user's configuration directory.

The server is known by the hash of its certificate authority: give it with
--ca-hash, or compare what login shows with what the server's administrator
tells you. The token is never an argument: it is read from the terminal, from
standard input, or from --token-file.`,
		Args: args(1, "the server's URL, https://HOST:PORT"),
		RunE: func(cmd *cobra.Command, args []string) error { return l.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&l.name, "name", "", "`NAME` of the context (default: the server's host)")
	cmd.Flags().StringVar(&l.tokenFile, "token-file", "", "`FILE` with the administrator's token, or an admin.context")
	cmd.Flags().StringVar(&l.caHash, "ca-hash", "", "SHA-256 of the server's CA certificate in `HEX`")
	return cmd
}

func (l *login) run(cmd *cobra.Command, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return usageError{fmt.Errorf("login: %q: want https://HOST:PORT", raw)}
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "7443")
	}
	ca, err := fetchCA(cmd.Context(), u)
	if err != nil {
		return err
	}
	tty := term.IsTerminal(int(os.Stdin.Fd()))
	in := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), maxTokenFile))
	if err := l.trust(cmd, ca, in, tty); err != nil {
		return err
	}
	token, err := l.token(cmd, in, tty)
	if err != nil {
		return err
	}
	c := api.Context{
		Name: l.name, URL: "https://" + u.Host, Token: api.Secret(token),
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})),
	}
	if c.Name == "" {
		c.Name = u.Hostname()
	}
	client, err := api.NewClient(c, api.WithRetry(0))
	if err != nil {
		return err
	}
	defer client.Close()
	v, err := client.Version(cmd.Context())
	if err != nil {
		return err
	}
	if err := saveContext(c); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "logged in to %s, mesh %s, version %s\n", c.Name, v.Mesh, v.Server)
	return err
}

// fetchCA returns the authority of the certificate that the server shows. Who
// it is nobody has said so far.
func fetchCA(ctx context.Context, u *url.URL) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// The chain is checked below, against the authority in it.
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", u.Host, err)
	}
	defer conn.Close()
	tc, ok := conn.(*tls.Conn)
	if !ok {
		return nil, fmt.Errorf("server %s: no TLS", u.Host)
	}
	chain := tc.ConnectionState().PeerCertificates
	ca := chain[len(chain)-1]
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: u.Hostname()}); err != nil || len(chain) < 2 {
		return nil, errors.Join(fmt.Errorf("server %s does not show a certificate of a cbnet server for this name", u.Host), err)
	}
	return ca, nil
}

// trust compares the authority with the hash that was given, or has the user
// compare.
func (l *login) trust(cmd *cobra.Command, ca *x509.Certificate, in *bufio.Reader, tty bool) error {
	sum := sha256.Sum256(ca.Raw)
	hash := hex.EncodeToString(sum[:])
	if l.caHash != "" {
		if !strings.EqualFold(strings.ReplaceAll(l.caHash, ":", ""), hash) {
			return fmt.Errorf("the server's CA has another hash: %s", hash)
		}
		return nil
	}
	if !tty {
		return usageError{fmt.Errorf("login: without a terminal the server must be named by --ca-hash; the one that answers has %s", hash)}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "the server's CA has the SHA-256 %s\nis that the right one? [y/N] ", hash)
	return confirm(cmd.Context(), in)
}

// token reads the administrator's token.
func (l *login) token(cmd *cobra.Command, in *bufio.Reader, tty bool) (string, error) {
	var data []byte
	var err error
	switch {
	case l.tokenFile != "":
		data, err = os.ReadFile(l.tokenFile)
		if c, perr := api.ParseContext(data); err == nil && perr == nil {
			return string(c.Token), nil
		}
	case tty:
		fmt.Fprint(cmd.ErrOrStderr(), "administrator's token: ")
		data, err = readSecret(cmd.Context())
		fmt.Fprintln(cmd.ErrOrStderr())
	default:
		data, err = io.ReadAll(in)
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, " \n") {
		return "", usageError{errors.New("login: want one token on one line")}
	}
	return token, nil
}
