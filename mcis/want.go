package mcis

import (
	"net/netip"
	"slices"
)

// wantedNode is one node of a spec with everything that decides about its
// machine.
type wantedNode struct {
	Name     string            `json:"name"`
	Group    string            `json:"group"`
	Cloud    string            `json:"cloud"`
	Region   string            `json:"region"`
	Machine  Machine           `json:"spec,omitzero"`
	Image    string            `json:"image"`
	PublicIP bool              `json:"publicIp"`
	Roles    []string          `json:"roles,omitempty"`
	Routes   []netip.Prefix    `json:"routes,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`

	// What planning decided, and what stays while the machine lives.
	PrivateIP   netip.Addr `json:"privateIp,omitzero"`
	MachineName string     `json:"machineName,omitempty"` // the cloud's own
	ImageID     string     `json:"imageId,omitempty"`
}

func (w *wantedNode) place() place { return place{w.Cloud, w.Region} }

// difference returns the first field in which a machine for w would differ from
// the one for old, or "".
func (w *wantedNode) difference(old *wantedNode) string {
	switch {
	case w.Cloud != old.Cloud:
		return "cloud"
	case w.Region != old.Region:
		return "region"
	case w.Machine != old.Machine:
		return "spec"
	case w.Image != old.Image:
		return "image"
	case w.PublicIP != old.PublicIP:
		return "publicIp"
	case !slices.Equal(w.Roles, old.Roles):
		return "role"
	case !slices.Equal(w.Routes, old.Routes):
		return "routes"
	}
	return ""
}

// wantsNAT reports whether a group wants the cloud's NAT in a place.
func (s *Spec) wantsNAT(p place) bool {
	return slices.ContainsFunc(s.Groups, func(g Group) bool {
		return g.Egress == EgressNAT && g.Count > 0 && slices.Contains(g.places(), p)
	})
}

// places returns the regions of a group.
func (g *Group) places() []place {
	if g.Regions == nil {
		return []place{{g.Cloud, g.Region}}
	}
	out := make([]place, len(g.Regions))
	for i, r := range g.Regions {
		out[i] = place{g.Cloud, r}
	}
	return out
}

// wantedNodes returns the nodes of a spec whose regions are filled in, in the
// order of the spec.
func wantedNodes(spec Spec) []wantedNode {
	var out []wantedNode
	for _, g := range spec.Groups {
		image := g.Image
		if image == "" {
			image = DefaultImage
		}
		for _, p := range g.places() {
			part := ""
			if g.Regions != nil {
				part = p.Region
			}
			for n := range g.Count {
				out = append(out, wantedNode{
					Name: nodeName(spec.Name, g.Name, part, n+1), Group: g.Name,
					Cloud: p.Cloud, Region: p.Region, Machine: g.Machine, Image: image,
					PublicIP: g.PublicIP, Roles: g.Roles, Routes: g.Routes, Labels: g.Labels,
				})
			}
		}
	}
	return out
}
