package azure

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/cbnet-io/cbnet/cloud"
)

// stateDeleting is what ARM calls the state of what is on its way out.
const stateDeleting = "Deleting"

// read translates Azure's view of a machine; view tells whether it runs, and may
// be nil. Addresses are those of its interface.
func (d *Driver) read(m *armcompute.VirtualMachine, view *armcompute.VirtualMachineInstanceView) cloud.VM {
	tags := tagMap(m.Tags)
	vm := cloud.VM{
		ID: d.canonical(typeMachine, val(m.ID)), Name: val(m.Name),
		Node: tags[cloud.KeyNode], Token: tags[cloud.KeyToken],
	}
	if len(m.Zones) > 0 {
		vm.Zone = val(m.Zones[0])
	}
	var provisioning string
	if p := m.Properties; p != nil {
		provisioning = val(p.ProvisioningState)
		vm.Created = val(p.TimeCreated)
		if p.OSProfile != nil && val(p.OSProfile.ComputerName) != "" {
			vm.Name = *p.OSProfile.ComputerName
		}
	}
	var statuses []*armcompute.InstanceViewStatus
	if view != nil {
		statuses = view.Statuses
	}
	vm.State, vm.Reason = state(provisioning, statuses)
	return vm
}

// state maps the provisioning state, of the last operation on the machine, and
// the power state that is among the statuses. A failed operation on a machine
// that runs is no failed machine; one between two states is pending.
func state(provisioning string, statuses []*armcompute.InstanceViewStatus) (cloud.VMState, string) {
	power, reason := "", "provisioning failed"
	for _, s := range statuses {
		if s == nil {
			continue
		}
		if p, ok := strings.CutPrefix(val(s.Code), "PowerState/"); ok {
			power = p
		}
		if f, ok := cutFold(val(s.Code), "ProvisioningState/failed"); ok {
			reason = strings.TrimPrefix(strings.TrimPrefix(f, "/")+": "+val(s.Message), ": ")
		}
	}
	switch {
	case provisioning == stateDeleting:
		return cloud.VMDeleting, ""
	case power == "running":
		return cloud.VMRunning, ""
	case provisioning == "Failed":
		return cloud.VMFailed, reason
	case power == "stopped", power == "deallocated":
		return cloud.VMStopped, ""
	}
	return cloud.VMPending, ""
}

// cutFold is strings.CutPrefix without regard to case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
