package openstack

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/cbnet-io/cbnet/cloud"
)

// CreateVM implements cloud.Driver: port, server, floating IP.
func (d *Driver) CreateVM(ctx context.Context, spec cloud.VMSpec) (cloud.VM, error) {
	if err := spec.Validate(MaxUserData); err != nil {
		return cloud.VM{}, err
	}
	fail := func(err error) (cloud.VM, error) {
		return cloud.VM{}, fmt.Errorf("VM %s in %s: %w", spec.Name, spec.Region, err)
	}
	r, err := d.in(ctx, spec.Region)
	if err != nil {
		return fail(err)
	}
	c := creation{d: d, r: r, spec: spec, mark: spec.Owner.Description()}
	server, found, err := c.findServer(ctx)
	if err != nil {
		return fail(err)
	}
	if !found {
		if server, err = c.create(ctx); err != nil {
			return fail(err)
		}
	}
	vm := machine(server)
	vm.PrivateIP = spec.PrivateIP
	if spec.PublicIP && vm.State != cloud.VMDeleting && vm.State != cloud.VMFailed {
		if vm.PublicIP, err = c.ensureFloatingIP(ctx); err != nil {
			return fail(err)
		}
	}
	return vm, nil
}

// creation is one CreateVM under way.
type creation struct {
	d    *Driver
	r    services
	spec cloud.VMSpec
	mark string // description of port and floating IP
	port string // set when this call made the port
}

// findServer looks for the server of the token. If creates that raced left
// several, it returns the one that got the port and deletes those that failed.
func (c *creation) findServer(ctx context.Context) (servers.Server, bool, error) {
	list, err := serversNamed(ctx, c.r, c.spec.Name)
	if err != nil {
		return servers.Server{}, false, err
	}
	own := slices.DeleteFunc(list, func(s servers.Server) bool {
		return s.Metadata[cloud.KeyToken] != c.spec.Token || cloud.OwnerOf(s.Metadata) != c.spec.Owner
	})
	if len(own) == 0 {
		return servers.Server{}, false, nil
	}
	failed := func(s servers.Server) int {
		if s.Status == "ERROR" {
			return 1
		}
		return 0
	}
	slices.SortFunc(own, func(a, b servers.Server) int {
		return cmp.Or(cmp.Compare(failed(a), failed(b)), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	for _, s := range own[1:] {
		if failed(s) == 0 {
			continue // still in doubt: it will fail by itself
		}
		err := wrap("DELETE /servers/ID", servers.Delete(ctx, c.r.compute, s.ID).ExtractErr())
		if err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return servers.Server{}, false, err
		}
	}
	return own[0], true, nil
}

// serversNamed lists the servers of exactly this name.
func serversNamed(ctx context.Context, r services, name string) ([]servers.Server, error) {
	list, err := all(ctx, "GET /servers/detail",
		servers.List(r.compute, servers.ListOpts{Name: "^" + regexp.QuoteMeta(name) + "$"}), servers.ExtractServers)
	return slices.DeleteFunc(list, func(s servers.Server) bool { return s.Name != name }), err
}

// create makes the port and the server on it.
func (c *creation) create(ctx context.Context) (servers.Server, error) {
	flavor, err := c.d.flavor(ctx, c.r, c.spec.Spec)
	if err != nil {
		return servers.Server{}, err
	}
	if err := c.fence(ctx); err != nil {
		return servers.Server{}, err
	}
	if err := c.createPort(ctx); err != nil {
		return servers.Server{}, err
	}
	meta := metadata(c.spec.Labels)
	maps.Copy(meta, c.spec.Owner.Tags())
	maps.Copy(meta, map[string]string{cloud.KeyNode: c.spec.Node, cloud.KeyToken: c.spec.Token})
	var opts servers.CreateOptsBuilder = servers.CreateOpts{
		Name: c.spec.Name, ImageRef: c.spec.Image, FlavorRef: flavor,
		AvailabilityZone: c.spec.Zone,
		Networks:         []servers.Network{{Port: c.port}},
		Metadata:         meta,
		// Encoded here: gophercloud would leave alone what looks encoded.
		UserData: []byte(base64.StdEncoding.EncodeToString(c.spec.UserData)),
	}
	if c.spec.Network.Key != "" {
		opts = keypairs.CreateOptsExt{CreateOptsBuilder: opts, KeyName: c.spec.Network.Key}
	}
	made, err := servers.Create(ctx, c.r.compute, opts, nil).Extract()
	if err = wrap("POST /servers", err); err == nil {
		// The answer to a create has little more than the id.
		made.Name, made.Metadata = c.spec.Name, meta
		return *made, nil
	}
	switch {
	case cloud.Retryable(err):
		return servers.Server{}, err
	case errors.Is(err, cloud.ErrAuth):
		err = c.quota(ctx, err)
	case errors.Is(err, cloud.ErrInUse):
		// The port is taken: a create of an earlier try has arrived.
		return servers.Server{}, fmt.Errorf("%w: %w", cloud.ErrUnavailable, err)
	case errors.Is(err, cloud.ErrNotFound), errors.Is(err, cloud.ErrInvalid):
		c.d.forget()
	}
	// Nova refused: leave nothing behind.
	return servers.Server{}, errors.Join(err, gone(wrap("DELETE /ports/ID", ports.Delete(ctx, c.r.network, c.port).ExtractErr())))
}

// fence deletes the port that an earlier try left without a server. If that
// try's server create is still on its way it will find no port and fail.
func (c *creation) fence(ctx context.Context) error {
	list, err := c.ports(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.DeviceID != "" {
			s, err := servers.Get(ctx, c.r.compute, p.DeviceID).Extract()
			if err = wrap("GET /servers/ID", err); err == nil && !ended(*s) {
				return fmt.Errorf("%w: port %s of this name is in use by server %s (%s)", cloud.ErrConflict, p.ID, s.ID, s.Status)
			}
			if gone(err) != nil {
				return err
			}
		}
		own := deletion{r: c.r, res: cloud.Resource{Kind: cloud.KindPort, ID: p.ID, Owner: c.spec.Owner}}
		if err := own.floatingIPs(ctx, p.ID); err != nil {
			return err
		}
		if err := gone(wrap("DELETE /ports/ID", ports.Delete(ctx, c.r.network, p.ID).ExtractErr())); err != nil {
			return err
		}
	}
	return nil
}

// ports lists the ports of the VM's name.
func (c *creation) ports(ctx context.Context) ([]ports.Port, error) {
	list, err := all(ctx, "GET /ports", ports.List(c.r.network, ports.ListOpts{
		Name: c.spec.Name, NetworkID: c.spec.Network.ID, Description: c.mark,
	}), ports.ExtractPorts)
	return slices.DeleteFunc(list, func(p ports.Port) bool {
		return p.Name != c.spec.Name || p.Description != c.mark || p.NetworkID != c.spec.Network.ID
	}), err
}

func (c *creation) createPort(ctx context.Context) error {
	opts := ports.CreateOpts{
		NetworkID: c.spec.Network.ID, Name: c.spec.Name, Description: c.mark,
		FixedIPs:       []ports.IP{{SubnetID: c.spec.Network.SubnetID, IPAddress: c.spec.PrivateIP.String()}},
		SecurityGroups: &[]string{c.spec.Network.SecurityGroup},
	}
	if c.spec.Forwards {
		opts.AllowedAddressPairs = []ports.AddressPair{{IPAddress: anywhere}}
	}
	made, err := ports.Create(ctx, c.r.network, opts).Extract()
	if err != nil {
		return wrap("POST /ports", err)
	}
	c.port = made.ID
	return nil
}

// quota finds out whether Nova's 403 means the quota, for which it has no code
// of its own, by asking for the limits.
func (c *creation) quota(ctx context.Context, refused error) error {
	l, err := limits.Get(ctx, c.r.compute, limits.GetOpts{}).Extract()
	if err != nil {
		return refused
	}
	list, err := allFlavors(ctx, c.r)
	if err != nil {
		return refused
	}
	over := func(used, more, most int) bool { return most >= 0 && used+more > most }
	for _, f := range list {
		a := l.Absolute
		if f.Name == c.spec.Spec && (over(a.TotalInstancesUsed, 1, a.MaxTotalInstances) ||
			over(a.TotalCoresUsed, f.VCPUs, a.MaxTotalCores) || over(a.TotalRAMUsed, f.RAM, a.MaxTotalRAMSize)) {
			var e *cloud.APIError
			if errors.As(refused, &e) {
				e.Class = cloud.ErrQuota
			}
		}
	}
	return refused
}

// ensureFloatingIP returns the floating IP on the VM's port and makes it if it
// is missing. A port takes one only.
func (c *creation) ensureFloatingIP(ctx context.Context) (netip.Addr, error) {
	fresh := c.port != ""
	if !fresh {
		list, err := c.ports(ctx)
		if err != nil {
			return netip.Addr{}, err
		}
		if len(list) == 0 {
			return netip.Addr{}, fmt.Errorf("%w: its port has vanished", cloud.ErrConflict)
		}
		c.port = list[0].ID
		if ip, err := c.floatingIP(ctx); err != nil || ip.IsValid() {
			return ip, err
		}
	}
	out, err := c.d.externalNetwork(ctx, c.r)
	if err != nil {
		return netip.Addr{}, err
	}
	made, err := floatingips.Create(ctx, c.r.network, floatingips.CreateOpts{
		FloatingNetworkID: out, PortID: c.port, Description: c.mark,
	}).Extract()
	if err = wrap("POST /floatingips", err); err != nil {
		if hasCode(err, "FloatingIPPortAlreadyAssociated") {
			return c.floatingIP(ctx)
		}
		return netip.Addr{}, err
	}
	return addr(made.FloatingIP), nil
}

// floatingIP returns the floating IP on the port, zero if there is none.
func (c *creation) floatingIP(ctx context.Context) (netip.Addr, error) {
	list, err := all(ctx, "GET /floatingips", floatingips.List(c.r.network, floatingips.ListOpts{PortID: c.port}), floatingips.ExtractFloatingIPs)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, f := range list {
		if f.PortID == c.port {
			return addr(f.FloatingIP), nil
		}
	}
	return netip.Addr{}, nil
}

// gone drops not-found errors: what was to be deleted does not exist.
func gone(err error) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}

func addr(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// machine translates Nova's view of a server. Addresses are Neutron's to tell.
func machine(s servers.Server) cloud.VM {
	vm := cloud.VM{
		ID: s.ID, Name: s.Name,
		Node: s.Metadata[cloud.KeyNode], Token: s.Metadata[cloud.KeyToken],
		Zone: s.AvailabilityZone, Created: s.Created,
	}
	vm.State, vm.Reason = state(s)
	return vm
}

// state maps Nova's status.
func state(s servers.Server) (cloud.VMState, string) {
	if s.TaskState == "deleting" || s.TaskState == "soft-deleting" || ended(s) {
		return cloud.VMDeleting, ""
	}
	switch s.Status {
	case "ACTIVE", "REBOOT", "HARD_REBOOT", "PASSWORD", "MIGRATING", "VERIFY_RESIZE":
		return cloud.VMRunning, ""
	case "SHUTOFF", "SUSPENDED", "PAUSED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE":
		return cloud.VMStopped, ""
	case "ERROR":
		return cloud.VMFailed, cmp.Or(s.Fault.Message, "Nova gives no reason")
	default: // BUILD and what newer releases may add
		return cloud.VMPending, ""
	}
}

// ended reports whether Nova keeps the server only for its records.
func ended(s servers.Server) bool { return s.Status == "DELETED" || s.Status == "SOFT_DELETED" }
