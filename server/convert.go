package server

import (
	"net/netip"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
)

// The wire types are apart from those of package mcis, so that neither a client
// links the other's dependencies nor a change there alters the API unseen.

func wirePlan(p mcis.Plan) api.Plan {
	out := api.Plan{Name: p.MCIS, Changes: make([]api.Change, 0, len(p.Steps)), CostPerHour: p.CostPerHour, Unpriced: p.Unpriced}
	for _, s := range p.Steps {
		c := api.Change{
			Action: string(s.Action), Kind: s.Kind, Name: s.Name, Group: s.Group, Cloud: s.Cloud, Region: s.Region,
			Spec: s.Machine, Image: s.Image, ImageID: s.ImageID, PrivateIP: wireAddr(s.PrivateIP),
			PublicIP: s.PublicIP, CostPerHour: s.CostPerHour, Egress: s.Egress, Reason: s.Reason,
		}
		if s.CIDR.IsValid() {
			c.CIDR = s.CIDR.String()
		}
		out.Changes = append(out.Changes, c)
	}
	return out
}

func wireMCIS(s mcis.Status) api.MCIS {
	out := api.MCIS{
		Name: s.Name, UID: s.UID, Run: s.Run, Phase: string(s.Phase), Reason: s.Reason,
		Desired: s.Desired, Ready: s.Ready, Since: s.Since, Nodes: make([]api.Node, 0, len(s.Nodes)),
	}
	for _, n := range s.Nodes {
		out.Nodes = append(out.Nodes, api.Node{
			Name: n.Name, Group: n.Group, Cloud: n.Cloud, Region: n.Region, Zone: n.Zone, ID: n.ID,
			IP: wireAddr(n.IP), PublicIP: wireAddr(n.PublicIP), PrivateIP: wireAddr(n.PrivateIP),
			Phase: string(n.Phase), Reason: n.Reason, Console: n.Console, CostPerHour: n.CostPerHour, Labels: n.Labels,
		})
	}
	return out
}

func wireEvent(e mcis.Event) api.Event {
	return api.Event{
		Time: e.Time, MCIS: e.MCIS, Run: e.Run, Phase: string(e.Phase), Node: e.Node, Cloud: e.Cloud, Region: e.Region,
		Step: e.Step, Message: e.Message, Done: e.Gone || e.Step == stepDone, Gone: e.Gone,
	}
}

// wireAddr is empty where there is no address.
func wireAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
