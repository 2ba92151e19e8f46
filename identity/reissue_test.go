package identity_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestReissueWithinASecond: of two keys with one name the one issued later
// counts, however soon after the other.
func TestReissueWithinASecond(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 999e6, time.UTC)
	m, err := identity.NewMesh("test", identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	d, err := identity.InitDir(filepath.Join(t.TempDir(), "ca"), m, now)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var last *identity.Signed
	for i := range 10 {
		b, err := d.Issue(identity.Request{Grant: identity.Grant{Node: "a"}, Validity: time.Hour}, now)
		if err != nil {
			t.Fatal(err)
		}
		s := &identity.Signed{Certificate: b.Certificate}
		if last != nil && s.Compare(last) != identity.Newer {
			t.Errorf("issue %d is not newer than the one before", i)
		}
		last = s
	}
}
