package azure

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/cbnet-io/cbnet/cloud"
)

// CreateVM implements cloud.Driver: public address, interface, machine. All have
// a name made of the token, and the machine's PUT refuses to write over one that
// is there.
func (d *Driver) CreateVM(ctx context.Context, spec cloud.VMSpec) (cloud.VM, error) {
	if err := spec.Validate(MaxUserData); err != nil {
		return cloud.VM{}, err
	}
	region := d.in(spec.Region)
	fail := func(err error) (cloud.VM, error) {
		return cloud.VM{}, fmt.Errorf("azure VM %s in %s: %w", spec.Name, region, d.explain(ctx, region, err))
	}
	c := creation{d: d, spec: spec, region: region}
	subnet, err := d.parseID(typeSubnet, spec.Network.SubnetID)
	if err != nil {
		return fail(err)
	}
	c.at = place{subnet.group, machineName(spec)}
	if _, err := d.parseID(typeSecurity, spec.Network.SecurityGroup); err != nil {
		return fail(err)
	}
	if err := checkLabels(spec.Labels); err != nil {
		return fail(err)
	}
	if c.image, err = imageReference(spec.Image); err != nil {
		return fail(err)
	}
	if c.key = spec.Network.Key; c.key == "" {
		if c.key, err = d.noKey(); err != nil {
			return fail(err)
		}
	}
	vm, err := c.run(ctx)
	if err != nil {
		return fail(err)
	}
	return vm, nil
}

// creation is one CreateVM under way.
type creation struct {
	d      *Driver
	spec   cloud.VMSpec
	region string
	at     place
	image  *armcompute.ImageReference
	key    string
}

func (c *creation) run(ctx context.Context) (cloud.VM, error) {
	if c.spec.PublicIP {
		if err := c.putAddress(ctx); err != nil {
			return cloud.VM{}, err
		}
	}
	if err := c.putInterface(ctx); err != nil {
		return cloud.VM{}, err
	}
	_, err := c.d.api.machines.BeginCreateOrUpdate(ctx, c.at.group, c.at.name, c.machine(), &armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions{
		IfNoneMatch: to.Ptr("*"),
	})
	if err = wrap("PUT virtualMachines", err); err == nil {
		return cloud.VM{
			ID: c.d.id(typeMachine, c.at), Name: c.spec.Name, Node: c.spec.Node, Token: c.spec.Token,
			State: cloud.VMPending, PrivateIP: c.spec.PrivateIP, Zone: c.spec.Zone,
		}, nil
	}
	if cloud.Retryable(err) {
		return cloud.VM{}, err
	}
	// Refused: because it is there, or for good. Then leave nothing behind.
	vm, found := c.adopt(ctx)
	switch {
	case !errors.Is(found, cloud.ErrNotFound):
		return vm, found
	case hasCode(err, "PreconditionFailed"):
		return cloud.VM{}, fmt.Errorf("%w: made before and not visible yet: %w", cloud.ErrUnavailable, err)
	}
	return cloud.VM{}, errors.Join(err, c.remove(ctx))
}

// tags returns the mark; machines have more.
func (c *creation) tags() map[string]*string { return tagsOf(c.spec.Owner.Tags()) }

// zones returns where to be, nothing for anywhere in the region.
func (c *creation) zones() []*string {
	if c.spec.Zone == "" {
		return nil
	}
	return []*string{&c.spec.Zone}
}

// putAddress makes the public address and waits until an interface can have it.
func (c *creation) putAddress(ctx context.Context) error {
	p, err := c.d.api.addresses.BeginCreateOrUpdate(ctx, c.at.group, c.at.name, armnetwork.PublicIPAddress{
		Location: &c.region, Tags: c.tags(), Zones: c.zones(),
		SKU: &armnetwork.PublicIPAddressSKU{Name: to.Ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{
			PublicIPAllocationMethod: to.Ptr(armnetwork.IPAllocationMethodStatic),
			PublicIPAddressVersion:   to.Ptr(armnetwork.IPVersionIPv4),
		},
	}, nil)
	return settle(ctx, c.d, "PUT publicIPAddresses", p, err)
}

func (c *creation) putInterface(ctx context.Context) error {
	address := c.spec.PrivateIP.String()
	ip := &armnetwork.InterfaceIPConfigurationPropertiesFormat{
		Primary:                   to.Ptr(true),
		PrivateIPAddress:          &address,
		PrivateIPAllocationMethod: to.Ptr(armnetwork.IPAllocationMethodStatic),
		PrivateIPAddressVersion:   to.Ptr(armnetwork.IPVersionIPv4),
		Subnet:                    &armnetwork.Subnet{ID: &c.spec.Network.SubnetID},
	}
	if c.spec.PublicIP {
		ip.PublicIPAddress = &armnetwork.PublicIPAddress{
			ID:         to.Ptr(c.d.id(typeAddress, c.at)),
			Properties: &armnetwork.PublicIPAddressPropertiesFormat{DeleteOption: to.Ptr(armnetwork.DeleteOptionsDelete)},
		}
	}
	p, err := c.d.api.interfaces.BeginCreateOrUpdate(ctx, c.at.group, c.at.name, armnetwork.Interface{
		Location: &c.region, Tags: c.tags(),
		Properties: &armnetwork.InterfacePropertiesFormat{
			EnableIPForwarding:   &c.spec.Forwards,
			NetworkSecurityGroup: &armnetwork.SecurityGroup{ID: &c.spec.Network.SecurityGroup},
			IPConfigurations:     []*armnetwork.InterfaceIPConfiguration{{Name: to.Ptr("primary"), Properties: ip}},
		},
	}, nil)
	err = settle(ctx, c.d, "PUT networkInterfaces", p, err)
	if hasCode(err, "PrivateIPAddressIsAllocated") {
		return c.evict(ctx, err)
	}
	return err
}

// evict deals with the interface that has the planned address. One of ours
// without a machine is what a machine before this one, or a create that was
// given up, has left: then it is deleted, and the address is free in a moment.
// So it is if nobody has it any more.
func (c *creation) evict(ctx context.Context, cause error) error {
	list, err := all(ctx, "GET networkInterfaces", c.d.api.interfaces.NewListAllPager(nil),
		func(p armnetwork.InterfacesClientListAllResponse) []*armnetwork.Interface { return p.Value })
	if err != nil {
		return err
	}
	for _, i := range list {
		n := readInterface(i)
		if n.private != c.spec.PrivateIP || !strings.EqualFold(n.subnet, c.spec.Network.SubnetID) {
			continue
		}
		at, err := c.d.parseID(typeInterface, val(i.ID))
		if err != nil || n.machine != "" || cloud.OwnerOf(n.tags) != c.spec.Owner {
			return cause
		}
		if n.state != stateDeleting {
			p, err := c.d.api.interfaces.BeginDelete(ctx, at.group, at.name, nil)
			if err := begun("DELETE networkInterfaces", p, err); err != nil && !errors.Is(err, cloud.ErrInUse) {
				return err
			}
		}
	}
	return fmt.Errorf("%w: who has the address is about to go, or gone: %w", cloud.ErrUnavailable, cause)
}

// machine describes the virtual machine.
func (c *creation) machine() armcompute.VirtualMachine {
	return armcompute.VirtualMachine{
		Location: &c.region, Zones: c.zones(),
		Tags: tagsOf(encodeLabels(c.spec.Labels), c.spec.Owner.Tags(), map[string]string{cloud.KeyNode: c.spec.Node, cloud.KeyToken: c.spec.Token}),
		Properties: &armcompute.VirtualMachineProperties{
			HardwareProfile: &armcompute.HardwareProfile{VMSize: to.Ptr(armcompute.VirtualMachineSizeTypes(c.spec.Spec))},
			StorageProfile: &armcompute.StorageProfile{
				ImageReference: c.image,
				OSDisk: &armcompute.OSDisk{
					CreateOption: to.Ptr(armcompute.DiskCreateOptionTypesFromImage),
					DeleteOption: to.Ptr(armcompute.DiskDeleteOptionTypesDelete),
					ManagedDisk:  &armcompute.ManagedDiskParameters{StorageAccountType: to.Ptr(armcompute.StorageAccountTypesStandardSSDLRS)},
				},
			},
			OSProfile: &armcompute.OSProfile{
				ComputerName:  &c.spec.Name,
				AdminUsername: to.Ptr(user),
				CustomData:    to.Ptr(base64.StdEncoding.EncodeToString(c.spec.UserData)),
				LinuxConfiguration: &armcompute.LinuxConfiguration{
					DisablePasswordAuthentication: to.Ptr(true),
					SSH: &armcompute.SSHConfiguration{PublicKeys: []*armcompute.SSHPublicKey{{
						Path: to.Ptr("/home/" + user + "/.ssh/authorized_keys"), KeyData: &c.key,
					}}},
				},
			},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{
				ID: to.Ptr(c.d.id(typeInterface, c.at)),
				Properties: &armcompute.NetworkInterfaceReferenceProperties{
					Primary: to.Ptr(true), DeleteOption: to.Ptr(armcompute.DeleteOptionsDelete),
				},
			}}},
			DiagnosticsProfile: &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: to.Ptr(true)}},
		},
	}
}

// adopt returns the machine of the token, an error that wraps cloud.ErrNotFound
// if there is none, and one that wraps cloud.ErrConflict if it was made by
// another request.
func (c *creation) adopt(ctx context.Context) (cloud.VM, error) {
	have, err := c.d.api.machines.Get(ctx, c.at.group, c.at.name, &armcompute.VirtualMachinesClientGetOptions{
		Expand: to.Ptr(armcompute.InstanceViewTypesInstanceView),
	})
	if err != nil {
		return cloud.VM{}, wrap("GET virtualMachines", err)
	}
	if err := ours(c.spec.Owner, c.at.name, have.Tags); err != nil {
		return cloud.VM{}, err
	}
	p := have.Properties
	if p != nil && p.HardwareProfile != nil && string(val(p.HardwareProfile.VMSize)) != c.spec.Spec {
		return cloud.VM{}, fmt.Errorf("%w: machine %s of this token is a %s, want a %s", cloud.ErrConflict, c.at.name, val(p.HardwareProfile.VMSize), c.spec.Spec)
	}
	var view *armcompute.VirtualMachineInstanceView
	if p != nil {
		view = p.InstanceView
	}
	vm := c.d.read(&have.VirtualMachine, view)
	vm.PrivateIP = c.spec.PrivateIP
	return vm, nil
}

// remove deletes the interface and the address that a refused machine was to
// have, one after the other, and waits until they are gone: the next try will
// make them again. What it cannot delete, List shows.
func (c *creation) remove(ctx context.Context) error {
	p, err := c.d.api.interfaces.BeginDelete(ctx, c.at.group, c.at.name, nil)
	if err := gone(settle(ctx, c.d, "DELETE networkInterfaces", p, err)); err != nil || !c.spec.PublicIP {
		return err
	}
	a, err := c.d.api.addresses.BeginDelete(ctx, c.at.group, c.at.name, nil)
	return gone(settle(ctx, c.d, "DELETE publicIPAddresses", a, err))
}

func addr(s *string) netip.Addr {
	a, err := netip.ParseAddr(val(s))
	if err != nil {
		return netip.Addr{}
	}
	return a
}
