package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/enroll"
)

// identified is what the checks found out: a bundle, or a token to swap for
// one.
type identified struct {
	from   string // where the bundle came from, for people
	bundle *identity.Bundle
	kept   bool           // it is newer than the file that was given
	token  identity.Token // valid if bundle is nil
}

func (p *identified) name() string {
	if p.bundle == nil {
		return p.token.Node
	}
	return p.bundle.Certificate.Subject.CommonName
}

// Check reads and checks everything that Run needs to know about this node and
// changes nothing. It returns one line for people.
func (n *Node) Check() (string, error) {
	p, err := n.identify(time.Now())
	if err := errors.Join(err, n.checkPlaces()); err != nil {
		return "", err
	}
	if p.bundle == nil {
		return fmt.Sprintf("node %s would enrol at %s", p.token.Node, p.token.URL), nil
	}
	g, err := p.bundle.Grant(time.Now())
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.from, err)
	}
	renewed := ""
	if p.kept {
		renewed = " (" + p.from + ")"
	}
	return fmt.Sprintf("node %s of mesh %s, %s and %s on %s, certificate valid until %s, %d introducers%s",
		g.Node, g.Mesh, g.IP, g.IP6, n.c.Interface, p.bundle.Certificate.NotAfter.UTC().Format(time.DateOnly), len(p.bundle.Introducers), renewed), nil
}

// identify finds out who this node is. It only reads.
func (n *Node) identify(now time.Time) (*identified, error) {
	n.once.Lock()
	defer n.once.Unlock()
	if n.found != nil { // stdin can be read once
		return n.found, nil
	}
	find := n.fromState
	if n.c.Bundle != "" {
		find = n.fromFile
	}
	p, err := find(now)
	if err != nil {
		return nil, err
	}
	n.found = p
	return p, nil
}

func (n *Node) fromFile(now time.Time) (*identified, error) {
	b, err := identity.LoadBundle(n.c.Bundle)
	if err != nil {
		return nil, &InputError{What: "--bundle", Err: err}
	}
	from := "bundle " + n.c.Bundle
	kept := n.renewedSince(b, now)
	if kept != nil {
		b, from = kept, fmt.Sprintf("state %s, renewed since %s was issued", n.c.State, n.c.Bundle)
	}
	g, err := b.Grant(now)
	switch {
	case errors.Is(err, identity.ErrExpired): // perhaps this host's clock is wrong
		return nil, fmt.Errorf("bundle %s: this host's clock says %s: %w: issue a new bundle or set the clock", n.c.Bundle, now.UTC().Format(time.RFC3339), err)
	case err != nil:
		return nil, &InputError{What: "--bundle " + n.c.Bundle, Err: fmt.Errorf("field certificate: %w", err)}
	}
	if err := n.c.checkRoles(g); err != nil {
		return nil, err
	}
	return &identified{from: from, bundle: b, kept: kept != nil}, nil
}

// renewedSince returns the bundle that this node was renewed with while it ran,
// if it is not older than the given one and of use, else nil.
func (n *Node) renewedSince(given *identity.Bundle, now time.Time) *identity.Bundle {
	kept, err := enroll.Load(n.c.State)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.log.Warn("the bundle that this node was renewed with is of no use", "err", err)
		}
		return nil
	}
	g, err := kept.Grant(now)
	if err != nil || kept.Certificate.Equal(given.Certificate) || kept.Certificate.NotBefore.Before(given.Certificate.NotBefore) {
		return nil
	}
	mine, err := kept.Roots()
	if err != nil {
		return nil
	}
	theirs, err := given.Roots()
	if err != nil || mine.Mesh() != theirs.Mesh() || g.Node != given.Certificate.Subject.CommonName {
		return nil // another node had this state
	}
	return kept
}

// fromState prefers an earlier enrolment to the token: that one was used up by
// it.
func (n *Node) fromState(now time.Time) (*identified, error) {
	saved, err := enroll.Load(n.c.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t, err := n.token()
		if err != nil {
			return nil, err
		}
		return &identified{token: t}, nil
	case err != nil:
		return nil, fmt.Errorf("state %s: %w: to enrol anew, remove it and give a new token", n.c.State, err)
	}
	from := "state " + n.c.State
	g, err := saved.Grant(now)
	if now.Before(saved.Certificate.NotBefore) { // the clock will be set; the server may be away
		return nil, fmt.Errorf("%s: %w: this host's clock says %s: set it, there is nothing to enrol for", from, identity.ErrExpired, now.UTC().Format(time.RFC3339))
	}
	if errors.Is(err, identity.ErrExpired) {
		if t, terr := n.token(); terr == nil {
			return &identified{token: t}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: this host's clock says %s: %w: enrol with a new token", from, now.UTC().Format(time.RFC3339), err)
	}
	if err := n.sameNode(saved, g); err != nil {
		return nil, err
	}
	if err := n.c.checkRoles(g); err != nil {
		return nil, err
	}
	return &identified{from: from, bundle: saved}, nil
}

// sameNode refuses a token for another node or mesh than the state is of.
func (n *Node) sameNode(saved *identity.Bundle, g identity.Grant) error {
	if n.c.Join == "-" { // the token was used up, and reading may block
		return nil
	}
	t, err := n.token()
	if err != nil {
		return nil // gone, as it may be
	}
	roots, err := saved.Roots()
	if err != nil {
		return fmt.Errorf("state %s: %w", n.c.State, err)
	}
	if t.Node != g.Node || !slices.Contains(roots.CAHashes(), [32]byte(t.CAHash)) {
		return &InputError{What: "--join " + n.c.Join, Err: fmt.Errorf(
			"the token is for node %s, but %s was enrolled as %s of mesh %s: use another --state, or remove it", t.Node, n.c.State, g.Node, g.Mesh)}
	}
	return nil
}

func (n *Node) token() (identity.Token, error) {
	var r io.Reader
	switch n.c.Join {
	case "":
		return identity.Token{}, &InputError{What: "--bundle", Err: fmt.Errorf(
			"want --bundle FILE or --join FILE: there is no earlier enrolment in %s", n.c.State)}
	case "-":
		r = n.stdin
	default:
		f, err := os.Open(n.c.Join)
		if err != nil {
			return identity.Token{}, &InputError{What: "--join", Err: err}
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, identity.MaxToken+1))
	if err != nil {
		return identity.Token{}, &InputError{What: "--join " + n.c.Join, Err: err}
	}
	t, err := identity.ParseToken(string(data))
	if err != nil {
		return identity.Token{}, &InputError{What: "--join " + n.c.Join, Err: err}
	}
	return t, nil
}

// capNetAdmin is the bit of CAP_NET_ADMIN, capabilities(7).
const capNetAdmin = 12

// ErrPrivilege says that the process may not change the host's network.
var ErrPrivilege = errors.New("not enough rights")

// checkPrivilege reads whether this process may make interfaces.
func checkPrivilege() error {
	f, err := os.Open(filepath.Join("/proc", "self", "status"))
	if err != nil {
		return nil // the system calls will tell
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		v, ok := strings.CutPrefix(s.Text(), "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		if err == nil && caps&(1<<capNetAdmin) == 0 {
			return fmt.Errorf("%w: cbnetd makes a network interface and needs root or the capability CAP_NET_ADMIN; run it with sudo, or by `cbnetd install`", ErrPrivilege)
		}
	}
	return nil
}
