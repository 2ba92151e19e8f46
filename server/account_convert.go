package server

import (
	"errors"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/account"
)

// cloudFault returns what a cloud refused, if err is that.
func cloudFault(err error) (api.CloudFault, bool) {
	e, ok := errors.AsType[*mcis.CloudError](err)
	if !ok {
		return api.CloudFault{}, false
	}
	f := api.CloudFault{Cloud: e.Cloud, Region: e.Region, Object: e.Object, Message: e.Why(), Hint: account.Hint(e.Err, time.Now())}
	if a, ok := errors.AsType[*cloud.APIError](e.Err); ok && a.Code+a.Message != "" {
		f.Call, f.Code, f.Message, f.RequestID = a.Provider+" "+a.Op, a.Code, a.Message, a.RequestID
	}
	return f, true
}

func wireFaults(list []*mcis.CloudError) []api.CloudFault {
	out := make([]api.CloudFault, 0, len(list))
	for _, e := range list {
		f, _ := cloudFault(e)
		out = append(out, f)
	}
	return out
}

func wireCheck(c account.Check, a api.Cloud) api.CloudCheck {
	out := api.CloudCheck{
		Cloud: a.Name, Provider: a.Provider, Endpoint: a.Endpoint, OK: c.OK(), Region: c.Region,
		Regions: append([]string{}, c.Regions...), Capabilities: c.Capabilities,
		Quotas: make([]api.CloudQuota, 0, len(c.Quotas)), Findings: make([]api.CloudFinding, 0, len(c.Findings)),
	}
	for _, q := range c.Quotas {
		out.Quotas = append(out.Quotas, api.CloudQuota{Name: q.Name, Used: q.Used, Limit: q.Limit})
	}
	for _, f := range c.Findings {
		w := api.CloudFinding{Check: f.Name, Region: f.Region, OK: f.Err == nil, Detail: f.Detail}
		if f.Err != nil {
			fault, ok := cloudFault(f.Err)
			if !ok {
				fault = api.CloudFault{Cloud: a.Name, Region: f.Region, Object: f.Name, Message: f.Err.Error()}
			}
			w.Fault = &fault
		}
		out.Findings = append(out.Findings, w)
	}
	return out
}

func wireRegions(list []cloud.Region, own string) api.CloudRegions {
	out := api.CloudRegions{Regions: make([]api.CloudRegion, 0, len(list))}
	for _, r := range list {
		out.Regions = append(out.Regions, api.CloudRegion{
			Name: r.Name, Zones: append([]string{}, r.Zones...), Default: r.Name == own || own == "" && len(list) == 1,
		})
	}
	return out
}

func wireSpecs(c account.Catalog) api.CloudSpecs {
	out := api.CloudSpecs{Region: c.Region, Specs: make([]api.CloudMachine, 0, len(c.Specs))}
	for _, s := range c.Specs {
		out.Specs = append(out.Specs, api.CloudMachine{Name: s.Name, VCPU: s.VCPU, MemoryMiB: s.MemoryMiB, CostPerHour: c.Price(s.Name)})
	}
	return out
}

func wireImages(c account.Catalog) api.CloudImages {
	out := api.CloudImages{Region: c.Region, Images: make([]api.CloudImage, 0, len(c.Images))}
	for _, m := range c.Images {
		out.Images = append(out.Images, api.CloudImage{ID: m.ID, Name: m.Name, Alias: m.Alias, Created: wireTime(m.Created)})
	}
	return out
}

// wireObject returns an object of the account name that belongs to an MCIS, ""
// for none.
func wireObject(name string, r cloud.Resource, owner string) api.CloudObject {
	out := api.CloudObject{
		Cloud: name, Region: r.Region, Kind: string(r.Kind), ID: r.ID, Name: r.Name,
		MCIS: owner, MCISUID: r.Owner.MCIS, Node: r.Tags[cloud.KeyNode], Labels: r.Labels,
	}
	if owner == "" {
		out.MCIS = api.Orphan
	}
	if vm := r.VM; vm != nil {
		if vm.Node != "" {
			out.Node = vm.Node
		}
		out.State, out.Reason, out.Zone = string(vm.State), vm.Reason, vm.Zone
		out.PublicIP, out.PrivateIP, out.Created = wireAddr(vm.PublicIP), wireAddr(vm.PrivateIP), wireTime(vm.Created)
	}
	return out
}

func wireInventory(name string, inv account.Inventory, owners mcis.Owners) api.CloudInventory {
	out := api.CloudInventory{Regions: inv.Regions, Objects: make([]api.CloudObject, 0, len(inv.Resources)), Failed: wireFaults(inv.Failed)}
	for _, r := range inv.Resources {
		owner, _ := owners.Of(r)
		out.Objects = append(out.Objects, wireObject(name, r, owner))
	}
	return out
}

func wireStep(name string, s account.Step) api.SweepEvent {
	out := api.SweepEvent{Step: s.Verb, Region: s.Region, Message: s.Message}
	if s.Resource != nil {
		o := wireObject(name, *s.Resource, "")
		out.Object = &o
	}
	return out
}

// sweepPart is how many orphans one event holds: clients bound its size.
const sweepPart = 500

// wireSwept returns the result of a sweep in parts.
func wireSwept(name string, s account.Swept, deleted bool) []api.SweepEvent {
	var out []api.SweepEvent
	for part := range slices.Chunk(s.Orphans, sweepPart) {
		r := &api.CloudSweep{Deleted: deleted, Objects: make([]api.CloudObject, 0, len(part)), Failed: []api.CloudFault{}}
		for _, o := range part {
			w := wireObject(name, o.Resource, "")
			w.Outcome, w.Why = o.Outcome, o.Why
			r.Objects = append(r.Objects, w)
		}
		out = append(out, api.SweepEvent{Step: "result", Result: r})
	}
	return append(out, api.SweepEvent{Step: stepDone, Result: &api.CloudSweep{Deleted: deleted, Objects: []api.CloudObject{}, Failed: wireFaults(s.Failed)}})
}

// wireTime is nil where there is no time.
func wireTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
