package alibaba_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
)

// keyOf returns the name of the key pair that a machine was made with, as the
// cloud says, "" if it does not show the machine yet.
func (s *site) keyOf(t testing.TB, id string) string {
	t.Helper()
	req := ecs.CreateDescribeInstancesRequest()
	req.InstanceIds = `["` + id + `"]`
	resp, err := s.client(t).DescribeInstances(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range resp.Instances.Instance {
		return i.KeyPairName
	}
	return ""
}

// TestKey makes a machine with a key, and asks for another key, which nobody may
// have behind the first one's back.
func TestKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := s.driver(t, nil)
	spec := networkSpec()
	bare := ensure(t, d, spec)
	spec.SSHKey = cloudtest.NewKey(t, ssh.KeyAlgoECDSA256)
	n := ensure(t, d, spec)
	if bare.Key != "" || n.Key == "" || n.ID != bare.ID {
		t.Errorf("the network %+v became %+v with a key", bare, n)
	}
	vm, err := d.CreateVM(t.Context(), vmSpec(n))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "machine with its key", func() bool { return s.keyOf(t, vm.ID) == n.Key })
	other := spec
	other.SSHKey = cloudtest.NewKey(t, ssh.KeyAlgoECDSA256)
	if _, err := d.EnsureNetwork(t.Context(), other); !errors.Is(err, cloud.ErrConflict) {
		t.Errorf("another key: %v", err)
	}
	spec.SSHKey = strings.TrimSuffix(spec.SSHKey, "suite@cbnet") + "the same with another comment"
	if again := ensure(t, d, spec); again != n {
		t.Errorf("the network %+v became %+v", n, again)
	}
	clearAll(t, d)
}
