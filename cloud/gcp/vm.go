package gcp

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

// CreateVM implements cloud.Driver. The name, in the zone that spec or its token
// names, is the natural key; the request id tells the cloud what is a repeat.
func (d *Driver) CreateVM(ctx context.Context, spec cloud.VMSpec) (cloud.VM, error) {
	if err := spec.Validate(MaxUserData); err != nil {
		return cloud.VM{}, err
	}
	s := d.session(ctx)
	vm, err := s.createVM(spec)
	if err != nil {
		return cloud.VM{}, fmt.Errorf("gcp VM %s in %s: %w", spec.Name, spec.Region, s.explain(spec.Region, err))
	}
	return vm, nil
}

func (s *session) createVM(spec cloud.VMSpec) (cloud.VM, error) {
	zone, err := s.zoneFor(spec)
	if err != nil {
		return cloud.VM{}, err
	}
	vm, err := s.findVM(zone, spec)
	if !errors.Is(err, cloud.ErrNotFound) {
		return vm, err
	}
	c, err := s.instances()
	if err != nil {
		return cloud.VM{}, err
	}
	op, err := c.Insert(s.ctx, &computepb.InsertInstanceRequest{
		Project: s.project, Zone: zone, RequestId: proto.String(requestID(spec.Owner, spec.Token)), InstanceResource: s.instance(zone, spec),
	})
	if err = wrap("instances.insert", err); taken(err) {
		if vm, again := s.findVM(zone, spec); !errors.Is(again, cloud.ErrNotFound) {
			return vm, again
		}
		return cloud.VM{}, fmt.Errorf("%w: made before and not visible yet: %w", cloud.ErrUnavailable, err)
	}
	if errors.Is(err, cloud.ErrNotFound) {
		return cloud.VM{}, s.missing(spec, err)
	}
	if err != nil {
		return cloud.VM{}, notYet(err)
	}
	return s.begun(zone, spec, op.Proto())
}

// begun returns the machine that an insertion makes, from its operation: a new
// one, or that of an earlier call with the same request id.
func (s *session) begun(zone string, spec cloud.VMSpec, op *computepb.Operation) (cloud.VM, error) {
	if op.GetTargetId() == 0 {
		return cloud.VM{}, fmt.Errorf("%w: the answer to instances.insert names nothing", cloud.ErrUnavailable)
	}
	vm := cloud.VM{
		ID: vmID(zone, op.GetTargetId()), Name: spec.Name, Node: spec.Node, Token: spec.Token, State: cloud.VMPending,
		PrivateIP: spec.PrivateIP, Zone: zone, Created: instant(op.GetInsertTime()),
	}
	if op.GetStatus() != computepb.Operation_DONE {
		return vm, nil
	}
	if err := failure("instances.insert", op); err != nil {
		vm.State, vm.Reason = cloud.VMFailed, reason(op)
		return vm, nil
	}
	// It was there and is not shown, or is not shown yet.
	found, err := s.findVM(zone, spec)
	if errors.Is(err, cloud.ErrNotFound) {
		vm.State = cloud.VMDeleting
		return vm, nil
	}
	return found, err
}

// reason is what an operation says about its failure.
func reason(op *computepb.Operation) string {
	if list := op.GetError().GetErrors(); len(list) > 0 {
		return list[0].GetCode() + ": " + list[0].GetMessage()
	}
	return op.GetHttpErrorMessage()
}

// findVM looks for the machine of a spec by its name.
func (s *session) findVM(zone string, spec cloud.VMSpec) (cloud.VM, error) {
	c, err := s.instances()
	if err != nil {
		return cloud.VM{}, err
	}
	have, err := c.Get(s.ctx, &computepb.GetInstanceRequest{Project: s.project, Zone: zone, Instance: encodeName(spec.Name)})
	if err != nil {
		return cloud.VM{}, wrap("instances.get", err)
	}
	tags := cloud.ParseDescription(have.GetDescription())
	if cloud.OwnerOf(tags) != spec.Owner || tags[cloud.KeyToken] != spec.Token {
		return cloud.VM{}, fmt.Errorf("%w: %s has the name and is not of this token", cloud.ErrConflict, vmID(zone, have.GetId()))
	}
	vm := machine(have)
	if have.GetStatus() == "STOPPING" {
		ending, err := s.beingDeleted(zone, have.GetId())
		if err != nil {
			return cloud.VM{}, err
		}
		if ending {
			vm.State = cloud.VMDeleting
		}
	}
	return vm, nil
}

// missing says what of a refused creation does not exist: the image is the only
// thing that does not come with time.
func (s *session) missing(spec cloud.VMSpec, refused error) error {
	project, name, ok := imageRef(spec.Image)
	if !ok {
		return refused
	}
	c, err := s.images()
	if err != nil {
		return err
	}
	_, err = c.Get(s.ctx, &computepb.GetImageRequest{Project: project, Image: name})
	if err = wrap("images.get", err); errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("image %q: %w: %w", spec.Image, cloud.ErrInvalid, err)
	}
	return refused
}

//go:embed startup.sh
var startupScript string

// instance is the machine that a spec asks for. It has no service account.
func (s *session) instance(zone string, spec cloud.VMSpec) *computepb.Instance {
	marks := labels(spec)
	nic := &computepb.NetworkInterface{
		Subnetwork: proto.String("projects/" + s.project + "/regions/" + spec.Region + "/subnetworks/" + spec.Network.SubnetID),
		NetworkIP:  proto.String(spec.PrivateIP.String()),
	}
	if spec.PublicIP {
		nic.AccessConfigs = []*computepb.AccessConfig{{Type: proto.String("ONE_TO_ONE_NAT"), Name: proto.String("External NAT")}}
	}
	return &computepb.Instance{
		Name:         proto.String(encodeName(spec.Name)),
		Description:  proto.String(vmDescription(spec)),
		Labels:       marks,
		MachineType:  proto.String("zones/" + zone + "/machineTypes/" + spec.Spec),
		CanIpForward: proto.Bool(spec.Forwards),
		Disks: []*computepb.AttachedDisk{{
			Boot: proto.Bool(true), AutoDelete: proto.Bool(true),
			InitializeParams: &computepb.AttachedDiskInitializeParams{
				SourceImage: proto.String(spec.Image), DiskType: proto.String("zones/" + zone + "/diskTypes/" + diskType(spec.Spec)), Labels: marks,
			},
		}},
		NetworkInterfaces: []*computepb.NetworkInterface{nic},
		Metadata:          &computepb.Metadata{Items: metadata(spec)},
	}
}

// diskType returns the kind of disk that a machine type boots from. The newer
// families take Hyperdisk alone
// (docs.cloud.google.com/compute/docs/disks/hyperdisks).
func diskType(spec string) string {
	family, _, _ := strings.Cut(spec, "-")
	switch family {
	case "a4", "a4x", "c4", "c4a", "c4d", "h4d", "m4", "n4", "n4a", "n4d", "x4":
		return "hyperdisk-balanced"
	}
	return "pd-balanced"
}

// metadata are the values that a machine reads about itself.
func metadata(spec cloud.VMSpec) []*computepb.Items {
	var items []*computepb.Items
	add := func(key, value string) {
		items = append(items, &computepb.Items{Key: proto.String(key), Value: proto.String(value)})
	}
	if len(spec.UserData) > 0 {
		if utf8.Valid(spec.UserData) {
			add("user-data", string(spec.UserData))
		} else {
			add("user-data", base64.StdEncoding.EncodeToString(spec.UserData))
			add("user-data-encoding", "base64")
		}
		add("startup-script", startupScript)
	}
	add("block-project-ssh-keys", "TRUE") // the project's keys are none of this machine's
	if spec.Network.Key != "" {
		add("ssh-keys", user(spec.Image)+":"+spec.Network.Key)
		add("enable-oslogin", "FALSE") // else the key would not count
	}
	return items
}

// user is the usual user of an image: "debian", "ubuntu". Google's guest agent
// makes it on images that lack it.
func user(image string) string {
	name, _, _ := strings.Cut(last(image), "-")
	if name == "debian" || name == "ubuntu" {
		return name
	}
	return "cbnet"
}

// machine translates Compute Engine's view of an instance.
func machine(i *computepb.Instance) cloud.VM {
	tags := cloud.ParseDescription(i.GetDescription())
	vm := cloud.VM{
		ID:      vmID(last(i.GetZone()), i.GetId()),
		Name:    decodeName(i.GetName()),
		Node:    cloud.DecodeLabel(tags[cloud.KeyNode]),
		Token:   tags[cloud.KeyToken],
		State:   state(i.GetStatus()),
		Zone:    last(i.GetZone()),
		Created: instant(i.GetCreationTimestamp()),
	}
	for _, nic := range i.GetNetworkInterfaces() {
		vm.PrivateIP = cmp.Or(vm.PrivateIP, addr(nic.GetNetworkIP()))
		for _, a := range nic.GetAccessConfigs() {
			vm.PublicIP = cmp.Or(vm.PublicIP, addr(a.GetNatIP()))
		}
	}
	return vm
}

// state maps an instance's status. One that is being deleted is STOPPING too:
// only its operation tells.
func state(status string) cloud.VMState {
	switch status {
	case "RUNNING", "REPAIRING":
		return cloud.VMRunning
	case "STOPPING", "PENDING_STOP", "STOPPED", "TERMINATED", "SUSPENDING", "SUSPENDED":
		return cloud.VMStopped
	case "DEPROVISIONING":
		return cloud.VMDeleting
	}
	return cloud.VMPending
}

func addr(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// instant reads a time, zero if there is none.
func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
