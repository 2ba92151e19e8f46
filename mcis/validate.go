package mcis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// Parse reads the documents of a file, checks them against the state of the
// server and returns the MCIS specs in their order. The error is [Faults] with
// everything that is wrong, of the documents themselves and against the state.
func (s *Service) Parse(ctx context.Context, file string, data []byte) ([]Spec, error) {
	specs, err := ParseSpec(file, data)
	var faults Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	for i := range specs {
		more, err := s.check(ctx, &specs[i])
		if err != nil {
			return nil, err
		}
		faults = append(faults, more...)
	}
	if err := faults.sorted(); err != nil {
		return nil, err
	}
	return specs, nil
}

// Validate checks a spec against the state of the server: its clouds exist, its
// prefixes lie in the mesh or outside of it as they should and meet no other
// MCIS's, its node names are nobody else's. The error is [Faults], or the
// store's.
func (s *Service) Validate(ctx context.Context, spec Spec) error {
	faults, err := s.check(ctx, &spec)
	if err != nil {
		return err
	}
	return faults.sorted()
}

// check returns the faults of a spec against the state of the server. A spec
// with faults of its own may be checked too: what is missing is skipped. The
// regions of groups that name none are filled in.
func (s *Service) check(ctx context.Context, spec *Spec) (Faults, error) {
	faults, err := s.checkClouds(ctx, spec)
	if err != nil {
		return nil, err
	}
	more, err := s.fillRegions(ctx, spec)
	if err != nil {
		return nil, err
	}
	faults = append(faults, more...)
	if more, err = s.checkEgress(ctx, spec); err != nil {
		return nil, err
	}
	faults = append(faults, more...)
	if more, err = s.checkKey(ctx, spec); err != nil {
		return nil, err
	}
	faults = append(faults, more...)
	records, err := s.loadAll(ctx)
	if err != nil {
		return nil, err
	}
	faults = append(faults, checkNetwork(spec, s.mesh.CIDR, records)...)
	faults = append(faults, checkSupported(spec)...)
	return append(faults, checkNames(spec, records)...), nil
}

// checkSupported reports what a spec may say and this release does not do: a
// gateway that forwards nothing would be worse than none.
func checkSupported(spec *Spec) Faults {
	var faults Faults
	for i, g := range spec.Groups {
		if len(g.Roles) > 0 {
			faults = append(faults, spec.fault(groupPath(i, "role"), "gateways and relays are not supported yet by this release", "remove role and routes"))
		} else if len(g.Routes) > 0 {
			faults = append(faults, spec.fault(groupPath(i, "routes"), "gateways are not supported yet by this release", "remove routes"))
		}
	}
	return faults
}

// checkClouds reports groups whose cloud was never added.
func (s *Service) checkClouds(ctx context.Context, spec *Spec) (Faults, error) {
	var faults Faults
	for i, g := range spec.Groups {
		if g.Cloud == "" {
			continue
		}
		_, err := s.clouds.Cloud(ctx, g.Cloud)
		if err != nil && !errors.Is(err, ErrNoCloud) {
			return nil, fmt.Errorf("cloud %s: %w", g.Cloud, err)
		}
		if err == nil {
			continue
		}
		names, err := s.clouds.Names(ctx)
		if err != nil {
			return nil, fmt.Errorf("clouds: %w", err)
		}
		fix := "add one with: cbctl cloud add " + g.Cloud + " --provider PROVIDER"
		if len(names) > 0 {
			fix = "use one of " + few(g.Cloud, names, "cbctl cloud list") + ", or add it with: cbctl cloud add " + g.Cloud + " --provider PROVIDER"
		}
		faults = append(faults, spec.fault(groupPath(i, "cloud"), fmt.Sprintf("there is no cloud %q", g.Cloud), fix))
	}
	return faults, nil
}

// checkEgress reports groups whose cloud has no way out to make.
func (s *Service) checkEgress(ctx context.Context, spec *Spec) (Faults, error) {
	nats, err := s.nats(ctx, spec)
	if err != nil {
		return nil, err
	}
	var faults Faults
	for i, g := range spec.Groups {
		if name, ok := nats[g.Cloud]; ok && name == "" && g.Egress == EgressNAT {
			faults = append(faults, spec.fault(groupPath(i, "egress"), fmt.Sprintf("on cloud %s cbnet makes no NAT", g.Cloud),
				"remove egress; a machine that needs the internet has a public address there (publicIp: true)"))
		}
	}
	return faults, nil
}

// checkKey reports clouds that do not take a key of the type of sshKey.
func (s *Service) checkKey(ctx context.Context, spec *Spec) (Faults, error) {
	var faults Faults
	done := make(map[string]bool)
	for _, g := range spec.Groups {
		if cloud.CheckSSHKey(spec.SSHKey) != nil || done[g.Cloud] { // none, or reported elsewhere: it may be a private one
			continue
		}
		done[g.Cloud] = true
		c, err := s.clouds.Cloud(ctx, g.Cloud)
		if errors.Is(err, ErrNoCloud) {
			continue // reported elsewhere
		}
		if err != nil {
			return nil, fmt.Errorf("cloud %s: %w", g.Cloud, err)
		}
		kind, _, _ := strings.Cut(spec.SSHKey, " ")
		if k, ok := cloud.As[cloud.KeyTypes](c.Driver); ok && !slices.Contains(k.SSHKeyTypes(), kind) {
			faults = append(faults, spec.fault("sshKey", fmt.Sprintf("cloud %s takes no key of type %s", g.Cloud, kind),
				"give one of type "+strings.Join(k.SSHKeyTypes(), ", ")))
		}
	}
	return faults, nil
}

// nats returns the name of the way out of each known cloud of which a group
// wants one; it is empty where there is none.
func (s *Service) nats(ctx context.Context, spec *Spec) (map[string]string, error) {
	out := make(map[string]string)
	for _, g := range spec.Groups {
		if _, known := out[g.Cloud]; known || g.Egress != EgressNAT {
			continue
		}
		c, err := s.clouds.Cloud(ctx, g.Cloud)
		if errors.Is(err, ErrNoCloud) {
			continue // reported elsewhere
		}
		if err != nil {
			return nil, fmt.Errorf("cloud %s: %w", g.Cloud, err)
		}
		out[g.Cloud] = ""
		if nat, ok := cloud.As[cloud.NAT](c.Driver); ok {
			out[g.Cloud] = nat.NAT()
		}
	}
	return out, nil
}

// checkNetwork compares the prefixes of a spec with the mesh and with other
// MCIS.
func checkNetwork(spec *Spec, mesh netip.Prefix, records []*record) Faults {
	var faults Faults
	if c := spec.Network.CIDR; c.IsValid() {
		if c.Bits() < mesh.Bits() || !mesh.Contains(c.Addr()) {
			faults = append(faults, spec.fault("network.cidr", fmt.Sprintf("%s is not a part of the mesh's prefix %s", c, mesh),
				"take a slice of it, or leave it out"))
		} else if room, n := hosts(c), spec.size(); n > room {
			faults = append(faults, spec.fault("network.cidr", fmt.Sprintf("%s has room for %d nodes, and %d are wanted", c, room, n), "take a larger slice"))
		}
		for _, r := range records {
			if o := r.Spec.Network.CIDR; r.Name != spec.Name && o.IsValid() && o.Overlaps(c) {
				faults = append(faults, spec.fault("network.cidr", fmt.Sprintf("%s overlaps %s of mcis %s", c, o, r.Name), "take a free slice of "+mesh.String()))
			}
		}
	}
	for i, g := range spec.Groups {
		for j, route := range g.Routes {
			if route.Overlaps(mesh) {
				path := fmt.Sprintf("%s[%d]", groupPath(i, "routes"), j)
				faults = append(faults, spec.fault(path, fmt.Sprintf("%s overlaps the mesh's prefix %s", route, mesh), "a site behind a gateway needs other addresses than the mesh"))
			}
		}
	}
	return faults
}

// checkNames reports nodes that would have the name of another MCIS's node.
func checkNames(spec *Spec, records []*record) Faults {
	taken := make(map[string]string)
	for _, r := range records {
		if r.Name == spec.Name {
			continue
		}
		for _, w := range wantedNodes(r.Spec) {
			taken[w.Name] = r.Name
		}
	}
	var faults Faults
	for i, g := range spec.Groups {
		one := Spec{Name: spec.Name, Groups: []Group{g}}
		for _, w := range wantedNodes(one) {
			if other, ok := taken[w.Name]; ok {
				faults = append(faults, spec.fault(groupPath(i, "name"), fmt.Sprintf("node %s is already one of mcis %s", w.Name, other), "rename the group"))
				break
			}
		}
	}
	return faults
}

// size returns the number of nodes of a spec.
func (s *Spec) size() int {
	n := 0
	for _, g := range s.Groups {
		n += g.Count * len(g.places())
	}
	return n
}

// hosts returns how many nodes a prefix has addresses for.
func hosts(p netip.Prefix) int {
	bits := p.Addr().BitLen() - p.Bits()
	switch {
	case bits >= 24:
		return 1<<24 - 2
	case bits < 2:
		return 0
	}
	return 1<<bits - 2
}
