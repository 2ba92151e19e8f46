package azure

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// switchable finds the machine that the request names, if it can be switched.
func (c *call) switchable(verb string) (*machine, *apiError) {
	m, err := c.ownMachine()
	switch {
	case err != nil:
		return nil, err
	case m.state == stateDeleting:
		return nil, fault(409, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s' since the VM is marked for deletion. You can only retry the Delete operation (or wait for an ongoing one to complete).", verb, m.name)
	case !m.booted:
		return nil, fault(409, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s' since the VM is not provisioned.", verb, m.name)
	case m.job != nil && m.job.status == statusRunning:
		return nil, fault(409, "Conflict", "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.")
	}
	return m, nil
}

// turn lets a machine change its power state until the fabric says it has.
func (c *call) turn(m *machine, want fabric.State) {
	f := c.opts.Fabric
	m.state = stateUpdating
	m.job = c.begin(compute, m.location, func() bool {
		s := f.VMState(m.guid)
		return s == want || s == fabric.StateStopped || s == fabric.StateTerminated
	}, func(*call) *apiError {
		if m.state == stateUpdating {
			m.state = stateSucceeded
		}
		return nil
	})
}

func (c *call) startMachine(context.Context, string, string, *armcompute.VirtualMachinesClientBeginStartOptions) (fake.PollerResponder[armcompute.VirtualMachinesClientStartResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientStartResponse
	m, err := c.switchable("start")
	if err != nil {
		return refused[response](err)
	}
	if c.opts.Fabric.VMState(m.guid) == fabric.StateStopped {
		if c.opts.Faults.NoCapacity(Name, m.location) {
			return refused[response](fault(409, "AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance"))
		}
		v, _ := c.nics.Get(m.nic)
		if err := c.boot(m, v); err != nil {
			return refused[response](fault(500, "InternalServerError", "%s", err))
		}
		m.off = ""
	}
	c.turn(m, fabric.StateRunning)
	return accepted(202, response{})
}

// halt switches a machine off; how tells whether it keeps its place.
func (c *call) halt(verb, how string) *apiError {
	m, err := c.switchable(verb)
	if err != nil {
		return err
	}
	if err := c.opts.Fabric.StopVM(c.ctx, m.guid); err != nil {
		return fault(409, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s': %s", verb, m.name, err)
	}
	m.off = how
	c.turn(m, fabric.StateStopped)
	return nil
}

func (c *call) deallocateMachine(context.Context, string, string, *armcompute.VirtualMachinesClientBeginDeallocateOptions) (fake.PollerResponder[armcompute.VirtualMachinesClientDeallocateResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientDeallocateResponse
	if err := c.halt("deallocate", "deallocated"); err != nil {
		return refused[response](err)
	}
	return accepted(202, response{})
}

func (c *call) powerOffMachine(context.Context, string, string, *armcompute.VirtualMachinesClientBeginPowerOffOptions) (fake.PollerResponder[armcompute.VirtualMachinesClientPowerOffResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientPowerOffResponse
	if err := c.halt("powerOff", "stopped"); err != nil {
		return refused[response](err)
	}
	return accepted(202, response{})
}

func (c *call) restartMachine(context.Context, string, string, *armcompute.VirtualMachinesClientBeginRestartOptions) (fake.PollerResponder[armcompute.VirtualMachinesClientRestartResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientRestartResponse
	m, err := c.switchable("restart")
	if err != nil {
		return refused[response](err)
	}
	if err := c.opts.Fabric.RebootVM(c.ctx, m.guid); err != nil {
		return refused[response](fault(409, "OperationNotAllowed", "Operation 'restart' is not allowed on VM '%s': %s", m.name, err))
	}
	c.turn(m, fabric.StateRunning)
	return accepted(202, response{})
}

// sas is what lets who has it read a machine's console.
func (c *Cloud) sas(m *machine) string {
	sum := hmac.New(sha256.New, c.key)
	sum.Write([]byte(m.guid))
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// showBlob answers with a machine's console.
func (c *Cloud) showBlob(w http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	var found bool
	for _, m := range c.machines.All() {
		if m.guid == req.PathValue("vm") {
			found = subtle.ConstantTimeCompare([]byte(c.sas(m)), []byte(req.PathValue("sas"))) == 1
		}
	}
	c.mu.Unlock()
	if !found {
		w.Header().Set("X-Ms-Error-Code", "AuthenticationFailed")
		http.Error(w, "Server failed to authenticate the request.", http.StatusForbidden)
		return
	}
	text := c.opts.Fabric.Console(req.PathValue("vm"))
	if len(text) == 0 {
		w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
		http.Error(w, "The specified blob does not exist.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(text) // the client may be gone
}
