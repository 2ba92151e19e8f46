package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rotation says which of a directory's authorities are in use. They are counted
// from 1, and each has files of its own. A change goes in three steps:
//
//	         signs  trusted beside it
//	at rest    1
//	announce   1          2            everyone learns to trust 2
//	switch     2          1            everyone gets a certificate of 2
//	finish     2                       everyone learns to trust 2 alone
//
// So at no time a node meets a certificate that it does not trust.
type rotation struct {
	Signs   int        `json:"signs,omitempty"`   // 0 is the first
	Trusted []int      `json:"trusted,omitempty"` // beside it, one at most
	Since   *time.Time `json:"since,omitempty"`   // when the present step was made, nil if none ever was
}

func (r rotation) signing() int { return max(1, r.Signs) }

func (r rotation) validate() error {
	if r.Signs < 0 || len(r.Trusted) > 1 {
		return fmt.Errorf("fields signs, trusted: %d, %d: want the number of an authority, and of at most one more: %w", r.Signs, r.Trusted, ErrFormat)
	}
	for _, n := range r.Trusted {
		if n != r.signing()-1 && n != r.signing()+1 || n < 1 {
			return fmt.Errorf("field trusted: %d: want the authority before or after %d: %w", n, r.signing(), ErrFormat)
		}
	}
	return nil
}

// Step is how far a change of the authority has come.
type Step int

// The steps, in their order.
const (
	StepNone     Step = iota // one authority, no change under way
	StepAnnounce             // new bundles trust the next authority too
	StepSwitch               // the next authority signs; the one before is trusted still
	StepFinish               // new bundles trust the new authority alone
)

// Step returns the step that was made last.
func (d *Dir) Step() Step {
	switch r := d.index.rotation; {
	case len(r.Trusted) == 0 && r.Since == nil:
		return StepNone
	case len(r.Trusted) == 0:
		return StepFinish
	case r.Trusted[0] > r.signing():
		return StepAnnounce
	}
	return StepSwitch
}

// Behind returns the nodes that have a certificate in force but no bundle since
// the last step of a change, sorted.
func (d *Dir) Behind(now time.Time) []string {
	if d.index.Since == nil {
		return nil
	}
	last := map[string]time.Time{}
	for _, e := range d.index.Issued {
		if e.Revoked == nil && now.Before(e.Expires) && !e.Issued.Before(last[e.Node]) {
			last[e.Node] = e.Issued
		}
	}
	var names []string
	for node, issued := range last {
		if issued.Before(*d.index.Since) {
			names = append(names, node)
		}
	}
	slices.Sort(names)
	return names
}

// Rotate makes the next step of a change to a new authority of the same mesh;
// after the last one it begins another change. Names, addresses and revocations
// go on. Between the steps every node is to be given a new bundle (see Behind):
// whether to wait for that is the caller's decision.
func (d *Dir) Rotate(now time.Time) (Step, error) {
	t := now.UTC()
	switch d.Step() {
	case StepAnnounce:
		return StepSwitch, d.switchOver(t)
	case StepSwitch:
		return StepFinish, d.finish(t)
	}
	return StepAnnounce, d.announce(t)
}

func (d *Dir) announce(now time.Time) error {
	next, err := NewCA(d.ca.Mesh, now)
	if err != nil {
		return err
	}
	n := d.index.signing() + 1
	if err := d.saveCA(next, n); err != nil {
		return err
	}
	d.index.Trusted, d.index.Since = []int{n}, &now
	d.other = []*x509.Certificate{next.Certificate}
	return d.save()
}

// switchOver has the next authority sign, also the revocations so far: the list
// of the one before ends with the trust in it.
func (d *Dir) switchOver(now time.Time) error {
	before, n := d.index.signing(), d.index.Trusted[0]
	ca, err := d.loadCA(n)
	if err != nil {
		return err
	}
	d.other, d.ca = []*x509.Certificate{d.ca.Certificate}, ca
	d.index.rotation = rotation{Signs: n, Trusted: []int{before}, Since: &now}
	err = d.save()
	if err == nil {
		err = d.signAgain(now)
	}
	if err != nil {
		return err
	}
	return d.forgetKeys()
}

func (d *Dir) finish(now time.Time) error {
	if err := d.signAgain(now); err != nil { // the switch may have been cut short
		return err
	}
	d.index.Trusted, d.index.Since, d.other = nil, &now, nil
	return d.save()
}

// signAgain publishes the revocations anew if there ever were any.
func (d *Dir) signAgain(now time.Time) error {
	if d.index.RevocationNumber == 0 {
		return nil
	}
	return d.publish(now)
}

// forgetKeys removes the keys of authorities that sign no more.
func (d *Dir) forgetKeys() error {
	for n := 1; n < d.index.signing(); n++ {
		if err := os.Remove(d.keyFile(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (d *Dir) certFile(n int) string { return filepath.Join(d.path, generation(n)+".crt") }
func (d *Dir) keyFile(n int) string  { return filepath.Join(d.path, generation(n)+".key") }

func generation(n int) string {
	if n == 1 {
		return "ca"
	}
	return fmt.Sprintf("ca-%d", n)
}

// saveCA writes the key first: a certificate without one is of no use.
func (d *Dir) saveCA(ca *CA, n int) error {
	cert, key, err := ca.MarshalPEM()
	if err != nil {
		return err
	}
	if err := WriteFile(d.keyFile(n), key, 0o600); err != nil {
		return err
	}
	return WriteFile(d.certFile(n), cert, 0o644)
}

func (d *Dir) loadCA(n int) (*CA, error) {
	cert, err := os.ReadFile(d.certFile(n))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(d.keyFile(n))
	if err != nil {
		return nil, err
	}
	ca, err := ParseCA(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and .key: %w", d.certFile(n), err)
	}
	return ca, nil
}

func (d *Dir) loadCert(n int) (*x509.Certificate, error) {
	data, err := os.ReadFile(d.certFile(n))
	if err != nil {
		return nil, err
	}
	cert, err := parseCertPEM(data)
	if err == nil {
		_, err = meshOf(cert)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.certFile(n), err)
	}
	return cert, nil
}
