package azure

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// machine is a virtual machine. Its machine in the fabric has its vmId as its
// id.
type machine struct {
	resource
	sent     armcompute.VirtualMachineProperties // as the client wrote it
	nic      string                              // key
	dropNIC  bool                                // the interface goes with the machine
	disk     string                              // key
	dropDisk bool
	exact    string // version of the image
	created  time.Time
	fault    *detail // why it failed
	off      string  // "stopped" or "deallocated" when it is switched off
	booted   bool    // the fabric knows it
	job      *operation
}

// disk is the disk of a machine's system.
type disk struct{ resource }

// shownID is the id as Compute writes it: with the group in capitals.
func (m *machine) shownID() string {
	p := m.path
	p.group = strings.ToUpper(p.group)
	return p.id()
}

// power is the machine's power state.
func (m *machine) power(c *call) string {
	if m.fault != nil && !m.booted {
		return ""
	}
	switch c.opts.Fabric.VMState(m.guid) {
	case fabric.StatePending:
		return "starting"
	case fabric.StateRunning, fabric.StateRebooting:
		return "running"
	case fabric.StateStopping:
		if m.off == "deallocated" {
			return "deallocating"
		}
		return "stopping"
	case fabric.StateStopped:
		if m.off == "" { // by itself
			return "stopped"
		}
		return m.off
	}
	return ""
}

// view shows how a machine is.
func (m *machine) view(c *call) *armcompute.VirtualMachineInstanceView {
	level := armcompute.StatusLevelTypesInfo
	s := &armcompute.InstanceViewStatus{Code: ptr("ProvisioningState/" + strings.ToLower(m.state)), Level: &level, DisplayStatus: ptr("Provisioning " + strings.ToLower(m.state)), Time: ptr(c.now())}
	if m.fault != nil {
		level = armcompute.StatusLevelTypesError
		s.Code, s.Message = ptr("ProvisioningState/failed/"+m.fault.Code), ptr(m.fault.Message)
	}
	v := &armcompute.VirtualMachineInstanceView{Statuses: []*armcompute.InstanceViewStatus{s}, HyperVGeneration: ptr(armcompute.HyperVGenerationTypeV2)}
	if p := m.power(c); p != "" {
		v.Statuses = append(v.Statuses, &armcompute.InstanceViewStatus{Code: ptr("PowerState/" + p), Level: ptr(armcompute.StatusLevelTypesInfo), DisplayStatus: ptr("VM " + p)})
	}
	return v
}

// doc shows a machine; customData is never shown.
func (m *machine) doc(c *call, view bool) armcompute.VirtualMachine {
	p := m.sent
	if p.OSProfile != nil {
		os := *p.OSProfile
		os.CustomData, os.AdminPassword = nil, nil
		os.AllowExtensionOperations, os.RequireGuestProvisionSignal = ptr(true), ptr(true)
		p.OSProfile = &os
	}
	if p.StorageProfile != nil {
		storage := *p.StorageProfile
		if storage.ImageReference != nil {
			image := *storage.ImageReference
			image.ExactVersion = ptr(m.exact)
			storage.ImageReference = &image
		}
		if d, ok := c.disks.Get(m.disk); ok && storage.OSDisk != nil {
			os := *storage.OSDisk
			os.Name, os.OSType = ptr(d.name), ptr(armcompute.OperatingSystemTypesLinux)
			os.ManagedDisk = &armcompute.ManagedDiskParameters{ID: ptr(d.id())}
			storage.OSDisk = &os
		}
		p.StorageProfile = &storage
	}
	p.ProvisioningState, p.VMID, p.TimeCreated = ptr(m.state), ptr(m.guid), ptr(m.created)
	p.UserData = nil
	if view {
		p.InstanceView = m.view(c)
	}
	return armcompute.VirtualMachine{
		ID: ptr(m.shownID()), Name: ptr(m.name), Type: ptr(compute + "/virtualMachines"), Location: ptr(m.location), Zones: m.zones, Tags: maps.Clone(m.tags),
		Etag: m.etag(), Properties: &p,
	}
}

// ownMachine finds the machine that the request names.
func (c *call) ownMachine() (*machine, *apiError) {
	m, ok := c.machines.Get(c.path.key())
	if !ok || c.req.Method == http.MethodGet && m.concealed() {
		return nil, notFound(c.path)
	}
	return m, nil
}

func (c *call) getMachine(_ context.Context, _, _ string, o *armcompute.VirtualMachinesClientGetOptions) (fake.Responder[armcompute.VirtualMachinesClientGetResponse], fake.ErrorResponder) {
	m, err := c.ownMachine()
	if err != nil {
		return denied[armcompute.VirtualMachinesClientGetResponse](err)
	}
	view := o != nil && or(o.Expand, "") == armcompute.InstanceViewTypesInstanceView
	return done(200, armcompute.VirtualMachinesClientGetResponse{VirtualMachine: m.doc(c, view)})
}

func (c *call) viewMachine(context.Context, string, string, *armcompute.VirtualMachinesClientInstanceViewOptions) (fake.Responder[armcompute.VirtualMachinesClientInstanceViewResponse], fake.ErrorResponder) {
	m, err := c.ownMachine()
	if err != nil {
		return denied[armcompute.VirtualMachinesClientInstanceViewResponse](err)
	}
	return done(200, armcompute.VirtualMachinesClientInstanceViewResponse{VirtualMachineInstanceView: *m.view(c)})
}

func (c *call) pageMachines(keep func(*machine) bool) ([]*armcompute.VirtualMachine, *string) {
	return page(c, c.machines.Where(keep), func(m *machine) *armcompute.VirtualMachine { return ptr(m.doc(c, false)) })
}

func (c *call) listMachines(string, *armcompute.VirtualMachinesClientListOptions) fake.PagerResponder[armcompute.VirtualMachinesClientListResponse] {
	var body armcompute.VirtualMachinesClientListResponse
	body.Value, body.NextLink = c.pageMachines(func(m *machine) bool { return m.groupID() == c.path.groupID() })
	return pager(body)
}

func (c *call) listMachinesIn(location string, _ *armcompute.VirtualMachinesClientListByLocationOptions) fake.PagerResponder[armcompute.VirtualMachinesClientListByLocationResponse] {
	r := c.regionOf(location)
	var body armcompute.VirtualMachinesClientListByLocationResponse
	body.Value, body.NextLink = c.pageMachines(func(m *machine) bool { return r != nil && m.location == r.name })
	return pager(body)
}

// listAllMachines lists the machines, or with statusOnly how they are.
func (c *call) listAllMachines(o *armcompute.VirtualMachinesClientListAllOptions) fake.PagerResponder[armcompute.VirtualMachinesClientListAllResponse] {
	var body armcompute.VirtualMachinesClientListAllResponse
	if o == nil || !strings.EqualFold(or(o.StatusOnly, ""), "true") {
		body.Value, body.NextLink = c.pageMachines(func(*machine) bool { return true })
		return pager(body)
	}
	body.Value, body.NextLink = page(c, c.machines.All(), func(m *machine) *armcompute.VirtualMachine {
		return &armcompute.VirtualMachine{
			ID: ptr(m.shownID()), Name: ptr(m.name), Type: ptr(compute + "/virtualMachines"), Location: ptr(m.location),
			Properties: &armcompute.VirtualMachineProperties{VMID: ptr(m.guid), ProvisioningState: ptr(m.state), InstanceView: m.view(c)},
		}
	})
	return pager(body)
}

func (c *call) deleteMachine(context.Context, string, string, *armcompute.VirtualMachinesClientBeginDeleteOptions) (fake.PollerResponder[armcompute.VirtualMachinesClientDeleteResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientDeleteResponse
	m, ok := c.machines.Get(c.path.key())
	if !ok {
		return accepted(204, response{})
	}
	if m.concealed() {
		return refused[response](notFound(c.path))
	}
	c.beginMachineEnd(m)
	return accepted(202, response{})
}

// beginMachineEnd begins the deletion of a machine.
func (c *call) beginMachineEnd(m *machine) {
	if m.state == stateDeleting {
		return
	}
	m.state = stateDeleting
	gone := func() bool { return true }
	if m.booted {
		// It may be gone or on its way down already.
		_ = c.opts.Fabric.DeleteVM(c.ctx, m.guid)
		f := c.opts.Fabric
		gone = func() bool { s := f.VMState(m.guid); return s == fabric.StateTerminated || s == fabric.StateNone }
	}
	m.job = c.begin(compute, m.location, gone, func(c *call) *apiError { return c.endMachine(m) })
}

// endMachine forgets a machine; what goes with it follows.
func (c *call) endMachine(m *machine) *apiError {
	c.machines.Delete(m.key())
	if d, ok := c.disks.Get(m.disk); ok && m.dropDisk {
		c.later(compute, m.location, func(c *call) *apiError {
			c.disks.Delete(d.key())
			return nil
		})
	}
	v, ok := c.nics.Get(m.nic)
	if !ok {
		return nil
	}
	v.machine = ""
	if !m.dropNIC {
		return nil
	}
	if a, ok := c.addresses.Get(v.address); ok && v.dropIP {
		v.address = ""
		if err := c.remap(v); err != nil {
			return err
		}
		c.endAddress(a)
	}
	c.endNIC(v)
	return nil
}

// bootDiagnostics tells where the console is: a blob that everyone may read who
// has its address.
func (c *call) bootDiagnostics(context.Context, string, string, *armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataOptions) (fake.Responder[armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse
	m, err := c.ownMachine()
	if err != nil {
		return denied[response](err)
	}
	if d := m.sent.DiagnosticsProfile; d == nil || d.BootDiagnostics == nil || !or(d.BootDiagnostics.Enabled, false) {
		return denied[response](fault(409, "OperationNotAllowed", "Boot diagnostics is not enabled for VM '%s'.", m.name))
	}
	uri := fmt.Sprintf("%s/blob/%s/%s", c.opts.URL, c.sas(m), m.guid)
	return done(200, response{RetrieveBootDiagnosticsDataResult: armcompute.RetrieveBootDiagnosticsDataResult{SerialConsoleLogBlobURI: &uri}})
}
