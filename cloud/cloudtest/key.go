package cloudtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud"
)

// keyFor returns a new key of a type that the driver's cloud takes, or of one that
// it does not.
func keyFor(t testing.TB, d cloud.Driver, taken bool) string {
	t.Helper()
	types := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA}
	if k, ok := cloud.As[cloud.KeyTypes](d); ok {
		types = slices.DeleteFunc(types, func(kind string) bool { return slices.Contains(k.SSHKeyTypes(), kind) != taken })
	}
	if len(types) == 0 {
		t.Skip("no type of key is such a one")
	}
	return NewKey(t, types[0])
}

// NewKey returns the public half of a new key of a type, ssh-ed25519 for example,
// as a line of authorized_keys.
func NewKey(t testing.TB, kind string) string {
	t.Helper()
	var private crypto.Signer
	var err error
	switch kind {
	case ssh.KeyAlgoED25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	fatal(t, "key", err)
	key, err := ssh.NewPublicKey(private.Public())
	fatal(t, "key", err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " suite@cbnet"
}

// keyType asks for a key that the cloud does not take: the driver refuses it and
// makes nothing.
func (s *suite) keyType(t *testing.T) {
	sc := s.begin(t, nil)
	if _, ok := cloud.As[cloud.KeyTypes](sc.d); !ok {
		t.Skip("the cloud takes keys of any type")
	}
	sc.key = keyFor(t, sc.d, false)
	spec := sc.networkSpec()
	_, err := sc.d.EnsureNetwork(t.Context(), spec)
	wantFault(t, "type of key", sc.d, err, cloud.ErrInvalid, s.Region, spec.Name, "ssh key", strings.Fields(sc.key)[0])
	if left := sc.list(); len(left) > 0 {
		t.Errorf("made: %+v", left)
	}
}

// pair reports whether the network's key is a key pair of the cloud's, which is
// listed, rather than one that machines carry.
func (sc *scenario) pair() bool { return sc.net.Key != "" && sc.net.Key != sc.key }

// key adds a key to a network that has none, finds it again, starts a machine
// with it, asks for another one, and deletes it.
func (s *suite) key(t *testing.T) {
	sc := s.begin(t, nil)
	key := sc.key
	sc.key = ""
	bare := sc.ensureNetwork()
	sc.kinds(sc.full(0))
	sc.key = key
	net := sc.ensureNetwork()
	if bare.Key = net.Key; net != bare {
		t.Errorf("with a key the network %+v became %+v", bare, net)
	}
	if again := sc.ensureNetwork(); again != net {
		t.Errorf("ensure network gave %+v and then %+v", net, again)
	}
	sc.kinds(sc.full(0))
	spec := sc.vmSpec(1)
	vm := sc.createVM(spec)
	sc.running(spec)
	if s.VMKey == nil {
		t.Log("NOT CHECKED: the endpoint does not tell the machine's key")
	} else {
		sc.eventually("machine shown with its key", func() string {
			if got := s.VMKey(t, vm.ID); got != net.Key {
				return fmt.Sprintf("%q, want %q", got, net.Key)
			}
			return ""
		})
	}
	other := sc.networkSpec()
	other.SSHKey = keyFor(t, sc.d, true)
	switch got, err := sc.d.EnsureNetwork(t.Context(), other); {
	case sc.pair():
		wantFault(t, "another key", sc.d, err, cloud.ErrConflict, s.Region, other.Name)
	case err != nil || got.Key != other.SSHKey:
		t.Errorf("another key: got %q and %v", got.Key, err)
	}
	if !sc.pair() {
		return
	}
	res := sc.find(cloud.KindKey)
	if res.Name != net.Key {
		t.Errorf("the key is listed as %q, and the network's is %q", res.Name, net.Key)
	}
	sc.deleteAll()
	fatal(t, "delete a key that is gone", sc.d.Delete(t.Context(), res))
	if slices.ContainsFunc(sc.list(), func(r cloud.Resource) bool { return r.Kind == cloud.KindKey }) {
		t.Error("the key is listed again")
	}
}
