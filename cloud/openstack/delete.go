package openstack

import (
	"context"
	"errors"
	"fmt"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"github.com/cbnet-io/cbnet/cloud"
)

// Delete implements cloud.Driver.
func (d *Driver) Delete(ctx context.Context, res cloud.Resource) error {
	if res.ID == "" {
		return fmt.Errorf("delete %s: %w: no id", res.Kind, cloud.ErrInvalid)
	}
	r, err := d.in(ctx, res.Region)
	if err != nil {
		return fmt.Errorf("delete %s %s in %s: %w", res.Kind, res.ID, res.Region, err)
	}
	err = deletion{r: r, res: res}.run(ctx)
	if gone(err) == nil {
		return nil
	}
	if errors.Is(err, cloud.ErrOwner) {
		return err
	}
	return fmt.Errorf("delete %s %s in %s: %w", res.Kind, res.ID, res.Region, err)
}

// deletion is one Delete under way. Its steps return nil or a not-found error
// when there is nothing (left) to delete.
type deletion struct {
	r   services
	res cloud.Resource
}

func (x deletion) run(ctx context.Context) error {
	switch x.res.Kind {
	case cloud.KindVM:
		return x.vm(ctx)
	case cloud.KindPublicIP:
		return x.floatingIP(ctx)
	case cloud.KindPort:
		return x.port(ctx)
	case cloud.KindRouter:
		return x.router(ctx)
	case cloud.KindKey:
		return x.key(ctx)
	case cloud.KindSecurityGroup:
		return x.group(ctx)
	case cloud.KindSubnet:
		return x.subnet(ctx)
	case cloud.KindNetwork:
		return x.network(ctx)
	}
	return fmt.Errorf("%w: this driver makes no such thing", cloud.ErrInvalid)
}

func (x deletion) check(description string) error {
	return cloud.CheckOwner(x.res, cloud.ParseDescription(description))
}

// vm deletes the floating IPs on the server's ports, the server, and the
// ports, which Nova leaves alone because it did not make them. What a crash in
// between leaves is listed as a port or public address without a machine.
func (x deletion) vm(ctx context.Context) error {
	s, err := servers.Get(ctx, x.r.compute, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /servers/ID", err)
	}
	if err := cloud.CheckOwner(x.res, s.Metadata); err != nil {
		return err
	}
	list, err := x.ports(ctx, *s)
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := x.floatingIPs(ctx, p.ID); err != nil {
			return err
		}
	}
	if !ended(*s) && s.TaskState != "deleting" {
		if err := gone(wrap("DELETE /servers/ID", servers.Delete(ctx, x.r.compute, s.ID).ExtractErr())); err != nil {
			return err
		}
	}
	for _, p := range list {
		if err := gone(wrap("DELETE /ports/ID", ports.Delete(ctx, x.r.network, p.ID).ExtractErr())); err != nil {
			return err
		}
	}
	return nil
}

// ports returns the server's ports that are ours: those bound to it and, if no
// other server has its name, the one of that name that is bound to nothing yet.
func (x deletion) ports(ctx context.Context, s servers.Server) ([]ports.Port, error) {
	bound, err := all(ctx, "GET /ports", ports.List(x.r.network, ports.ListOpts{DeviceID: s.ID}), ports.ExtractPorts)
	if err != nil {
		return nil, err
	}
	var own []ports.Port
	for _, p := range bound {
		if p.DeviceID == s.ID && x.ours(p) {
			own = append(own, p)
		}
	}
	if len(own) > 0 {
		return own, nil
	}
	named, err := all(ctx, "GET /ports", ports.List(x.r.network, ports.ListOpts{Name: s.Name, Description: x.res.Owner.Description()}), ports.ExtractPorts)
	if err != nil {
		return nil, err
	}
	for _, p := range named {
		if p.DeviceID == "" && p.Name == s.Name && x.ours(p) {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		return nil, nil
	}
	// A create that failed for want of the port unbinds it, also from the
	// server that runs on it: then it is that one's.
	namesakes, err := serversNamed(ctx, x.r, s.Name)
	for _, n := range namesakes {
		if n.ID != s.ID && !ended(n) {
			return nil, nil
		}
	}
	return own, err
}

func (x deletion) ours(p ports.Port) bool {
	return cloud.OwnerOf(cloud.ParseDescription(p.Description)) == x.res.Owner
}

// floatingIPs deletes the floating IPs of ours on a port.
func (x deletion) floatingIPs(ctx context.Context, port string) error {
	list, err := all(ctx, "GET /floatingips", floatingips.List(x.r.network, floatingips.ListOpts{PortID: port}), floatingips.ExtractFloatingIPs)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.PortID != port || cloud.OwnerOf(cloud.ParseDescription(f.Description)) != x.res.Owner {
			continue
		}
		if err := gone(wrap("DELETE /floatingips/ID", floatingips.Delete(ctx, x.r.network, f.ID).ExtractErr())); err != nil {
			return err
		}
	}
	return nil
}

func (x deletion) floatingIP(ctx context.Context) error {
	f, err := floatingips.Get(ctx, x.r.network, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /floatingips/ID", err)
	}
	if err := x.check(f.Description); err != nil {
		return err
	}
	return wrap("DELETE /floatingips/ID", floatingips.Delete(ctx, x.r.network, x.res.ID).ExtractErr())
}

// port deletes a port without a machine.
func (x deletion) port(ctx context.Context) error {
	p, err := ports.Get(ctx, x.r.network, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /ports/ID", err)
	}
	if err := x.check(p.Description); err != nil {
		return err
	}
	if p.DeviceID != "" {
		s, err := servers.Get(ctx, x.r.compute, p.DeviceID).Extract()
		if err = wrap("GET /servers/ID", err); err == nil && !ended(*s) {
			return fmt.Errorf("%w: server %s is on it", cloud.ErrInUse, s.ID)
		}
		if gone(err) != nil {
			return err
		}
	}
	if err := x.floatingIPs(ctx, x.res.ID); err != nil {
		return err
	}
	return wrap("DELETE /ports/ID", ports.Delete(ctx, x.r.network, x.res.ID).ExtractErr())
}

func (x deletion) router(ctx context.Context) error {
	v, err := routers.Get(ctx, x.r.network, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /routers/ID", err)
	}
	if err := x.check(v.Description); err != nil {
		return err
	}
	list, err := all(ctx, "GET /ports", ports.List(x.r.network, ports.ListOpts{DeviceID: v.ID}), ports.ExtractPorts)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.DeviceID != v.ID || p.DeviceOwner == "network:router_gateway" {
			continue
		}
		_, err := routers.RemoveInterface(ctx, x.r.network, v.ID, routers.RemoveInterfaceOpts{PortID: p.ID}).Extract()
		if err := gone(wrap("PUT /routers/ID/remove_router_interface", err)); err != nil {
			return err
		}
	}
	return wrap("DELETE /routers/ID", routers.Delete(ctx, x.r.network, v.ID).ExtractErr())
}

func (x deletion) group(ctx context.Context) error {
	v, err := groups.Get(ctx, x.r.network, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /security-groups/ID", err)
	}
	if err := x.check(v.Description); err != nil {
		return err
	}
	return wrap("DELETE /security-groups/ID", groups.Delete(ctx, x.r.network, v.ID).ExtractErr())
}

func (x deletion) subnet(ctx context.Context) error {
	v, err := subnets.Get(ctx, x.r.network, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /subnets/ID", err)
	}
	if err := x.check(v.Description); err != nil {
		return err
	}
	return wrap("DELETE /subnets/ID", subnets.Delete(ctx, x.r.network, v.ID).ExtractErr())
}

func (x deletion) network(ctx context.Context) error {
	v, err := networks.Get(ctx, x.r.network, x.res.ID).Extract()
	if err != nil {
		return wrap("GET /networks/ID", err)
	}
	if err := x.check(v.Description); err != nil {
		return err
	}
	return wrap("DELETE /networks/ID", networks.Delete(ctx, x.r.network, v.ID).ExtractErr())
}
