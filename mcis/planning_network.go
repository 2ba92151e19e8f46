package mcis

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// planRegions gives each wanted place a subnet. Places that are no longer
// wanted stay until they are empty.
func (in *planInput) planRegions(out *planned) Faults {
	r := in.record
	out.regions = slices.Clone(r.Regions)
	avoid := append([]netip.Prefix{in.mesh}, in.taken...)
	avoid = append(avoid, r.prefixes()...)
	wanted := make(map[place]bool)
	for i, g := range r.Spec.Groups {
		for _, p := range g.places() {
			if g.Count == 0 || wanted[p] {
				continue
			}
			wanted[p] = true
			if slices.ContainsFunc(r.Regions, func(x regionRecord) bool { return x.place() == p }) {
				continue
			}
			cidr, ok := subnetFor(r.Name+"/"+p.String(), avoid)
			if !ok {
				return Faults{r.Spec.fault(groupPath(i, "region"), fmt.Sprintf("no private subnet is free for %s", p), "delete another MCIS, or narrow the routes")}
			}
			avoid = append(avoid, cidr)
			x := regionRecord{Cloud: p.Cloud, Region: p.Region, CIDR: cidr, NAT: r.Spec.wantsNAT(p), SSHKey: r.Spec.SSHKey}
			out.regions = append(out.regions, x)
			in.network(out, x, ActionCreate, "")
		}
	}
	for i, x := range r.Regions {
		if !wanted[x.place()] {
			in.network(out, x, ActionDelete, "")
			continue
		}
		if x.SSHKey != "" && x.SSHKey != r.Spec.SSHKey && in.inhabited(x.place()) {
			return Faults{r.Spec.fault("sshKey", fmt.Sprintf("the machines of mcis %s in %s were made with another key", r.Name, x.place()),
				"leave it as it was, or delete the mcis first; more keys are put on machines by cbctl mcis exec")}
		}
		x, action, why := in.change(x)
		out.regions[i] = x
		in.network(out, x, action, why)
	}
	return nil
}

// change returns the record of a place that stays, with what is wanted of its
// network now, and what that means.
func (in *planInput) change(x regionRecord) (regionRecord, Action, string) {
	spec := &in.record.Spec
	var added, stays []string
	switch nat := spec.wantsNAT(x.place()); {
	case nat && !x.NAT:
		added = append(added, "the way out is added")
	case !nat && x.NAT:
		stays = append(stays, "its way out stays until the network goes")
	}
	if spec.SSHKey != x.SSHKey {
		added = append(added, "machines made from now on have the SSH key")
	}
	x.NAT, x.SSHKey = spec.wantsNAT(x.place()), spec.SSHKey
	if len(added) > 0 {
		return x, ActionChange, strings.Join(append(added, stays...), "; ")
	}
	return x, ActionKeep, strings.Join(stays, "; ")
}

// inhabited reports whether a place has machines.
func (in *planInput) inhabited(p place) bool {
	for _, n := range in.nodes {
		if n.ID != "" && n.Want.place() == p {
			return true
		}
	}
	return false
}

// network adds the step for the network of a place.
func (in *planInput) network(out *planned, x regionRecord, action Action, reason string) {
	r := in.record
	name := r.Name // the first apply draws the uid that completes it
	if r.UID != "" {
		name = networkName(r.UID, r.Name, x.place())
	}
	step := Step{Action: action, Kind: "network", Cloud: x.Cloud, Region: x.Region, Name: name, CIDR: x.CIDR, Reason: reason}
	if x.NAT {
		step.Egress = in.nats[x.Cloud]
	}
	out.plan.Steps = append(out.plan.Steps, step)
}
