package mcis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Plan returns what an apply of spec would do now, and changes nothing. The
// error is [Faults] when the spec is wrong against the server or the clouds.
func (s *Service) Plan(ctx context.Context, spec Spec) (Plan, error) {
	faults, err := s.check(ctx, &spec)
	if err != nil {
		return Plan{}, err
	}
	if err := faults.sorted(); err != nil {
		return Plan{}, err
	}
	r, err := s.load(ctx, spec.Name)
	if errors.Is(err, ErrNotFound) {
		r, err = &record{Name: spec.Name}, nil
	}
	if err != nil {
		return Plan{}, err
	}
	if r.Phase == PhaseDeleting {
		return Plan{}, fmt.Errorf("mcis %s %w", spec.Name, ErrDeleting)
	}
	nodes, err := s.loadNodes(ctx, spec.Name)
	if err != nil {
		return Plan{}, err
	}
	r.Spec = spec
	p, err := s.plan(ctx, r, nodes)
	return p.plan, err
}

// plan gathers what planning needs and plans.
func (s *Service) plan(ctx context.Context, r *record, nodes map[string]*nodeRecord) (planned, error) {
	in := planInput{record: r, nodes: nodes, mesh: s.mesh.CIDR, joined: func(node string) bool {
		_, ok := s.members.Joined(node)
		return ok
	}}
	others, err := s.loadAll(ctx)
	if err != nil {
		return planned{}, err
	}
	for _, o := range others {
		if o.Name != r.Name {
			in.taken = append(in.taken, o.prefixes()...)
		}
	}
	places := make(map[place]bool)
	for _, w := range wantedNodes(r.Spec) {
		if action, _ := in.action(&w); action != ActionKeep {
			places[w.place()] = true
		}
	}
	var faults Faults
	in.offers, faults, err = s.offers(ctx, &r.Spec, places)
	if err != nil {
		return planned{}, err
	}
	if err := faults.sorted(); err != nil {
		return planned{}, err
	}
	if in.nats, err = s.nats(ctx, &r.Spec); err != nil {
		return planned{}, err
	}
	out, faults := in.plan()
	return out, faults.sorted()
}

// prefixes returns what an MCIS occupies beside its slice of the mesh.
func (r *record) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, g := range r.Spec.Groups {
		out = append(out, g.Routes...)
	}
	for _, p := range r.Regions {
		out = append(out, p.CIDR)
	}
	return out
}

// planInput is everything that a plan depends on.
type planInput struct {
	record *record                // with the wanted spec, whose regions are filled in
	nodes  map[string]*nodeRecord // as they are
	mesh   netip.Prefix
	taken  []netip.Prefix // by other MCIS
	offers map[place]offer
	nats   map[string]string // name of a cloud's way out
	joined func(node string) bool
}

// planned is a plan and the records that carry it out.
type planned struct {
	plan    Plan
	regions []regionRecord
	nodes   []*nodeRecord // that are new or changed
}

// action says what becomes of a wanted node, and why if it is replaced.
func (in *planInput) action(w *wantedNode) (Action, string) {
	old, ok := in.nodes[w.Name]
	if !ok {
		return ActionCreate, ""
	}
	if field := w.difference(&old.Want); field != "" {
		return ActionReplace, field + " changed"
	}
	switch {
	case old.Phase == NodeDeleting:
		return ActionReplace, "it was being removed"
	case old.Phase == NodeFailed && !in.joined(w.Name):
		return ActionReplace, "it failed: " + old.Reason
	}
	return ActionKeep, ""
}

// plan is a pure function of its input.
func (in *planInput) plan() (planned, Faults) {
	out := planned{plan: Plan{MCIS: in.record.Name}}
	faults := in.planRegions(&out)
	if len(faults) > 0 {
		return out, faults
	}
	cidr := make(map[place]netip.Prefix)
	for _, r := range out.regions {
		cidr[r.place()] = r.CIDR
	}
	taken := make(map[place]map[netip.Addr]bool)
	for p := range cidr {
		taken[p] = make(map[netip.Addr]bool)
	}
	for _, n := range in.nodes {
		if t := taken[n.Want.place()]; t != nil {
			t[n.Want.PrivateIP] = true
		}
	}
	wanted := make(map[string]bool)
	group := groupIndex(in.record.Spec)
	for _, w := range wantedNodes(in.record.Spec) {
		wanted[w.Name] = true
		f, ok := in.planNode(&out, w, group[w.Group], cidr[w.place()], taken[w.place()])
		if !ok {
			faults = append(faults, f)
		}
	}
	for name, n := range in.nodes {
		if wanted[name] {
			continue
		}
		gone := *n
		gone.Phase, gone.Reason = NodeDeleting, "no longer wanted"
		out.nodes = append(out.nodes, &gone)
		out.plan.Steps = append(out.plan.Steps, Step{
			Action: ActionDelete, Kind: "vm", Cloud: n.Want.Cloud, Region: n.Want.Region, Name: name,
			Group: n.Want.Group, Machine: n.Want.MachineName, PrivateIP: n.Want.PrivateIP, Reason: gone.Reason,
		})
	}
	out.sort()
	return out, faults
}

// planNode adds the step and the record of one wanted node.
func (in *planInput) planNode(out *planned, w wantedNode, group int, cidr netip.Prefix, taken map[netip.Addr]bool) (Fault, bool) {
	action, reason := in.action(&w)
	old := in.nodes[w.Name]
	n := &nodeRecord{Format: recordFormat, Want: w, Generation: in.record.Past + 1, Phase: NodePlanned}
	if action == ActionKeep {
		if !maps.Equal(w.Labels, old.Want.Labels) {
			reason = "new labels are cbnet's alone until the machine is made anew"
		}
		kept := *old
		n = &kept
		n.Want.Labels, n.Want.Group = w.Labels, w.Group
		if n.Phase == NodeFailed {
			n.Phase, n.Reason, n.Console = NodeJoining, "", "" // it came after all
		}
	} else {
		if f, ok := in.offers[w.place()].resolve(&in.record.Spec, group, &n.Want); !ok {
			return f, false
		}
		var ok bool
		if n.Want.PrivateIP, ok = freeAddr(cidr, taken); !ok {
			return in.record.Spec.fault(groupPath(group, "count"), fmt.Sprintf("subnet %s of %s is full", cidr, w.place()), "want fewer nodes there"), false
		}
		taken[n.Want.PrivateIP] = true
		n.CostPerHour = in.offers[w.place()].price(w.Region, n.Want.MachineName)
		if old != nil {
			n.Generation = old.Generation + 1
		}
	}
	out.nodes = append(out.nodes, n)
	out.plan.Steps = append(out.plan.Steps, Step{
		Action: action, Kind: "vm", Cloud: w.Cloud, Region: w.Region, Name: w.Name, Group: w.Group,
		Machine: n.Want.MachineName, Image: w.Image, ImageID: n.Want.ImageID, PrivateIP: n.Want.PrivateIP,
		PublicIP: w.PublicIP, CostPerHour: n.CostPerHour, Reason: reason,
	})
	if n.CostPerHour != nil {
		out.plan.CostPerHour += *n.CostPerHour
	} else {
		out.plan.Unpriced++
	}
	return Fault{}, true
}

// groupIndex returns the position of each group in the spec.
func groupIndex(spec Spec) map[string]int {
	out := make(map[string]int)
	for i, g := range spec.Groups {
		out[g.Name] = i
	}
	return out
}

// sort orders steps by cloud, region, network first, then by name.
func (p *planned) sort() {
	slices.SortStableFunc(p.plan.Steps, func(a, b Step) int {
		return cmp.Or(strings.Compare(a.Cloud, b.Cloud), strings.Compare(a.Region, b.Region),
			strings.Compare(a.Kind, b.Kind), cmp.Compare(len(a.Name), len(b.Name)), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(p.nodes, func(a, b *nodeRecord) int { return strings.Compare(a.Want.Name, b.Want.Name) })
}
