package cloudtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// ctx is the test's context, or in a cleanup, when that has ended, a live one.
func (sc *scenario) ctx() context.Context { return context.WithoutCancel(sc.t.Context()) }

func (s *suite) catalog(t *testing.T) {
	d := s.New(t, nil)
	regions, err := d.Regions(t.Context())
	fatal(t, "regions", err)
	if !slices.ContainsFunc(regions, func(r cloud.Region) bool { return r.Name == s.Region }) {
		t.Errorf("regions %v lack %s", regions, s.Region)
	}
	spec, image := s.resolve(t, d)
	t.Logf("%d regions; %d vCPU and %d MiB is %s; %s is %s", len(regions), s.VCPU, s.MemoryMiB, spec, s.Image, image)
}

func (s *suite) badInput(t *testing.T) {
	l := &Lossy{}
	sc := s.begin(t, l)
	sc.net = cloud.Network{ID: "n", SubnetID: "s", SecurityGroup: "g"}
	for name, change := range map[string]func(*cloud.VMSpec){
		"user-data over the limit": func(v *cloud.VMSpec) { v.UserData = bytes.Repeat([]byte("a"), s.MaxUserData+1) },
		"over-long name":           func(v *cloud.VMSpec) { v.Name = strings.Repeat("a", cloud.MaxVMName+1) },
		"name with capitals":       func(v *cloud.VMSpec) { v.Name = "Web" },
		"over-long token":          func(v *cloud.VMSpec) { v.Token = strings.Repeat("a", cloud.MaxToken+1) },
		"no token":                 func(v *cloud.VMSpec) { v.Token = "" },
		"no owner":                 func(v *cloud.VMSpec) { v.Owner = cloud.Owner{} },
		"no network":               func(v *cloud.VMSpec) { v.Network = cloud.Network{} },
		"no private address":       func(v *cloud.VMSpec) { v.PrivateIP = netip.Addr{} },
	} {
		spec := sc.vmSpec(0)
		change(&spec)
		_, err := sc.d.CreateVM(t.Context(), spec)
		wantClass(t, "VM: "+name, err, cloud.ErrInvalid)
	}
	for name, change := range map[string]func(*cloud.NetworkSpec){
		"no range":       func(n *cloud.NetworkSpec) { n.CIDR = netip.Prefix{} },
		"over-long name": func(n *cloud.NetworkSpec) { n.Name = strings.Repeat("a", cloud.MaxNetworkName+1) },
		"port 0":         func(n *cloud.NetworkSpec) { n.Open = []cloud.Port{{Protocol: "udp"}} },
		"protocol icmp":  func(n *cloud.NetworkSpec) { n.Open = []cloud.Port{{Protocol: "icmp", Number: 1}} },
	} {
		spec := sc.networkSpec()
		change(&spec)
		_, err := sc.d.EnsureNetwork(t.Context(), spec)
		wantClass(t, "network: "+name, err, cloud.ErrInvalid)
	}
	_, err := sc.d.List(t.Context(), s.Region, cloud.Owner{})
	wantClass(t, "list without owner", err, cloud.ErrInvalid)
	if n := len(l.Calls()) + l.Others(); n != 0 {
		t.Errorf("%d calls were made, want none", n)
	}
	if skip(t, "unknown machine type and image", s.Quirks.AcceptsUnknown) {
		return
	}
	sc.ensureNetwork()
	for name, change := range map[string]func(*cloud.VMSpec){
		"unknown machine type": func(v *cloud.VMSpec) { v.Spec = "x9.colossal" },
		"unknown image":        func(v *cloud.VMSpec) { v.Image = s.unknownImage() },
	} {
		spec := sc.vmSpec(0)
		change(&spec)
		_, err := sc.d.CreateVM(t.Context(), spec)
		wantClass(t, name, err, cloud.ErrInvalid)
	}
}

// unknownImage has the form of an image's id.
func (s *suite) unknownImage() string {
	if strings.HasPrefix(s.UnknownID(cloud.KindVM), "i-") {
		return "ami-0123456789abcdef0"
	}
	return s.UnknownID(cloud.KindVM)
}

func (s *suite) wrongCredentials(t *testing.T) {
	if skip(t, "wrong credentials", s.Quirks.NoCredentials) {
		return
	}
	d := s.NewWrong(t)
	owner := cloud.Owner{Mesh: "m", MCIS: "i"}
	_, err := d.List(t.Context(), s.Region, owner)
	wantClass(t, "list", err, cloud.ErrAuth)
	_, err = d.EnsureNetwork(t.Context(), cloud.NetworkSpec{Owner: owner, Region: s.Region, Name: "n", CIDR: cidr})
	wantClass(t, "ensure network", err, cloud.ErrAuth)
	var api *cloud.APIError
	if !errors.As(err, &api) || api.Status == 0 || api.Op == "" {
		t.Errorf("got %#v, want an APIError with status and call", api)
	}
}

func (s *suite) unknownIDs(t *testing.T) {
	d := s.New(t, nil)
	for _, kind := range append([]cloud.Kind{cloud.KindVM}, s.Kinds...) {
		err := d.Delete(t.Context(), cloud.Resource{
			Kind: kind, Region: s.Region, ID: s.UnknownID(kind), Owner: cloud.Owner{Mesh: "m", MCIS: "i"},
		})
		if err != nil {
			t.Errorf("delete an unknown %s: %v", kind, err)
		}
	}
	if c, ok := d.(cloud.Console); ok && !skip(t, "console of an unknown VM", s.Quirks.NoConsole) {
		_, err := c.ConsoleOutput(t.Context(), s.Region, s.UnknownID(cloud.KindVM))
		wantClass(t, "console of an unknown VM", err, cloud.ErrNotFound)
	}
}

func (s *suite) endedContext(t *testing.T) {
	d := s.New(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.List(ctx, s.Region, cloud.Owner{Mesh: "m", MCIS: "i"})
	wantClass(t, "list", err, context.Canceled)
	wantClass(t, "list", err, cloud.ErrUnavailable)
}

func (s *suite) lifeCycle(t *testing.T) {
	l := &Lossy{}
	sc := s.begin(t, l)
	sc.ensureNetwork()
	sc.kinds(sc.full(0))
	a, b := sc.vmSpec(0), sc.vmSpec(1)
	if !skip(t, "user-data of the full length", s.Quirks.LaxUserData) {
		a.UserData = append([]byte("#!/bin/sh\n#"), bytes.Repeat([]byte("x"), s.MaxUserData-11)...)
	}
	sc.createVM(a)
	sc.createVM(b)
	vms := sc.running(a, b)
	if !skip(t, "public address", s.Quirks.NoPublicIP) {
		if ip := vms[a.Token].PublicIP; !ip.IsValid() || inCIDR(ip) {
			t.Errorf("public address %s", ip)
		}
	}
	sc.kinds(sc.full(2))
	if c, ok := sc.d.(cloud.Console); ok && !skip(t, "console", s.Quirks.NoConsole) {
		_, err := c.ConsoleOutput(t.Context(), s.Region, vms[a.Token].ID)
		fatal(t, "console", err)
	}
	whole, err := sc.d.List(t.Context(), s.Region, cloud.Owner{Mesh: sc.owner.Mesh})
	fatal(t, "list the mesh", err)
	if len(whole) != len(sc.list()) {
		t.Errorf("the mesh has %d resources, its only MCIS %d", len(whole), len(sc.list()))
	}
	other, err := sc.d.List(t.Context(), s.Region, cloud.Owner{Mesh: sc.owner.Mesh, MCIS: "other"})
	fatal(t, "list another MCIS", err)
	if len(other) != 0 {
		t.Errorf("another MCIS has %+v", other)
	}
	made := len(l.Calls())
	sc.deleteAll()
	t.Logf("%d changing calls to create, %d to delete, %d others", made, len(l.Calls())-made, l.Others())
}

func (s *suite) repeat(t *testing.T) {
	sc := s.begin(t, nil)
	first := sc.ensureNetwork()
	if again := sc.ensureNetwork(); again != first {
		t.Errorf("ensure network gave %+v and then %+v", first, again)
	}
	spec := sc.vmSpec(0)
	vm := sc.createVM(spec)
	if again := sc.createVM(spec); again.ID != vm.ID {
		t.Errorf("create VM gave %s and then %s", vm.ID, again.ID)
	}
	sc.running(spec)
	if again := sc.createVM(spec); again.ID != vm.ID {
		t.Errorf("create VM gave %s and, when it ran, %s", vm.ID, again.ID)
	}
	res := sc.find(cloud.KindVM)
	sc.eventually("VM gone", func() string {
		// Twice, and again while it is listed: by its id the cloud may not
		// know yet what it lists.
		for range 2 {
			fatal(t, "delete", sc.d.Delete(t.Context(), res))
		}
		if slices.ContainsFunc(sc.list(), func(r cloud.Resource) bool { return r.Kind == cloud.KindVM }) {
			return "still listed"
		}
		return ""
	})
	fatal(t, "delete what is gone", sc.d.Delete(t.Context(), res))
}

func (s *suite) foreignOwner(t *testing.T) {
	sc := s.begin(t, nil)
	sc.ensureNetwork()
	sc.createVM(sc.vmSpec(1))
	sc.running(sc.vmSpec(1))
	for _, r := range sc.list() {
		for _, o := range []cloud.Owner{{}, {Mesh: sc.owner.Mesh}, {Mesh: sc.owner.Mesh, MCIS: "other"}, {Mesh: "other", MCIS: sc.owner.MCIS}} {
			thief := r
			thief.Owner = o
			sc.eventually(fmt.Sprintf("delete of %s by %+v refused", r.Kind, o), func() string {
				err := sc.d.Delete(t.Context(), thief)
				if err == nil {
					return "nothing of this id yet"
				}
				wantClass(t, fmt.Sprintf("delete %s as %+v", r.Kind, o), err, cloud.ErrOwner)
				return ""
			})
		}
	}
	sc.running(sc.vmSpec(1))
	sc.kinds(sc.full(1))
}

func (s *suite) wrongOrder(t *testing.T) {
	sc := s.begin(t, nil)
	sc.ensureNetwork()
	sc.createVM(sc.vmSpec(0))
	sc.running(sc.vmSpec(0))
	if skip(t, "deleting in the wrong order", s.Quirks.DeletesInUse) {
		return
	}
	for _, kind := range s.Kinds {
		wantClass(t, "delete "+string(kind)+" under a VM", sc.d.Delete(t.Context(), sc.find(kind)), cloud.ErrInUse)
	}
	sc.running(sc.vmSpec(0))
	sc.ensureNetwork()
	sc.kinds(sc.full(1))
}

func (s *suite) stopAndStart(t *testing.T) {
	sc := s.begin(t, nil)
	p, ok := sc.d.(cloud.Power)
	if !ok || skip(t, "stop and start", s.Quirks.NoStop) {
		return
	}
	sc.ensureNetwork()
	spec := sc.vmSpec(1)
	vm := sc.createVM(spec)
	sc.running(spec)
	fatal(t, "stop", p.Stop(t.Context(), s.Region, vm.ID))
	sc.eventually("stopped", func() string {
		if st := sc.find(cloud.KindVM).VM.State; st != cloud.VMStopped {
			return string(st)
		}
		return ""
	})
	fatal(t, "start", p.Start(t.Context(), s.Region, vm.ID))
	sc.running(spec)
	fatal(t, "reboot", p.Reboot(t.Context(), s.Region, vm.ID))
	sc.running(spec)
}

func (s *suite) sideBySide(t *testing.T) {
	sc := s.begin(t, nil)
	sc.ensureNetwork()
	var specs []cloud.VMSpec
	var g errgroup.Group
	for i := range 4 {
		spec := sc.vmSpec(i)
		specs = append(specs, spec)
		g.Go(func() error {
			_, err := sc.d.CreateVM(t.Context(), spec)
			return err
		})
	}
	fatal(t, "create four VMs at once", g.Wait())
	sc.running(specs...)
	sc.kinds(sc.full(4))
}
