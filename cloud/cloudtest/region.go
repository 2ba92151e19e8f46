package cloudtest

import (
	"context"
	"errors"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// wrongRegion asks for a region that is not there: the error names those that
// are, unless the cloud refuses the credentials there and tells no more.
func (s *suite) wrongRegion(t *testing.T) {
	if skip(t, "a region that does not exist", s.Quirks.AnyRegion) {
		return
	}
	sc := s.begin(t, nil)
	catalog, ok := cloud.As[cloud.Catalog](sc.d)
	if !ok {
		t.Fatal("the driver has no Catalog")
	}
	wrong := s.Region[:len(s.Region)-1] + "9"
	net := sc.networkSpec()
	net.Region = wrong
	sc.net = cloud.Network{ID: s.UnknownID(cloud.KindNetwork), SubnetID: s.UnknownID(cloud.KindSubnet), SecurityGroup: s.UnknownID(cloud.KindSecurityGroup)}
	vm := sc.vmSpec(0)
	vm.Region = wrong
	for name, do := range map[string]func(context.Context) error{
		"list":           func(ctx context.Context) error { _, err := sc.d.List(ctx, wrong, sc.owner); return err },
		"ensure network": func(ctx context.Context) error { _, err := sc.d.EnsureNetwork(ctx, net); return err },
		"create VM":      func(ctx context.Context) error { _, err := sc.d.CreateVM(ctx, vm); return err },
		"specs":          func(ctx context.Context) error { _, err := catalog.Specs(ctx, wrong); return err },
		"images":         func(ctx context.Context) error { _, err := catalog.Images(ctx, wrong); return err },
	} {
		err := do(t.Context())
		if errors.Is(err, cloud.ErrAuth) {
			wantFault(t, name, sc.d, err, cloud.ErrAuth, wrong)
			continue
		}
		wantFault(t, name, sc.d, err, cloud.ErrInvalid, wrong, s.Region)
	}
}
