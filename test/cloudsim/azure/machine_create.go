package azure

import (
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/google/uuid"
	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// maxCustomData is the most that customData may have, in bytes once decoded.
const maxCustomData = 65535

// badParameter is Compute's word for most that is wrong with a machine.
func badParameter(target, format string, args ...any) *apiError {
	e := fault(400, "InvalidParameter", format, args...)
	e.details = []detail{{"InvalidParameter", "target: " + target}}
	return e
}

func (c *call) putMachine(_ context.Context, _, _ string, p armcompute.VirtualMachine, o *armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions) (fake.PollerResponder[armcompute.VirtualMachinesClientCreateOrUpdateResponse], fake.ErrorResponder) {
	type response = armcompute.VirtualMachinesClientCreateOrUpdateResponse
	if old, ok := c.machines.Get(c.path.key()); ok {
		if o != nil && or(o.IfNoneMatch, "") == "*" {
			return refused[response](fault(412, "PreconditionFailed", "The condition set in the request's If-None-Match header is not met: resource %s exists.", old.id()))
		}
		if err := c.changeMachine(old, p); err != nil {
			return refused[response](err)
		}
		return accepted(200, response{VirtualMachine: old.doc(c, false)})
	}
	m, err := c.readMachine(p)
	if err != nil {
		return refused[response](err)
	}
	v, _ := c.nics.Get(m.nic)
	if err := c.overMachineQuota(m); err != nil {
		if c.opts.Reserved > 0 {
			v.reserved, v.until = m.id(), c.now().Add(c.opts.Reserved)
		}
		return refused[response](err)
	}
	c.machines.Put(m.key(), m)
	v.machine = m.key()
	d := &disk{resource: resource{
		path: m.at(compute, "disks", m.name+"_OsDisk_1_"+strings.ReplaceAll(uuid.NewString(), "-", "")), location: m.location, tags: m.tags, state: stateSucceeded, seq: m.seq,
	}}
	m.disk = d.key()
	c.disks.Put(m.disk, d)
	c.start(m, v)
	return accepted(201, response{VirtualMachine: m.doc(c, false)})
}

// overMachineQuota returns an error if one more machine is too many. Azure
// counts vCPUs; here each machine counts as one.
func (c *call) overMachineQuota(m *machine) *apiError {
	limit, ok := c.opts.Faults.Quota(Name, m.location, "vm")
	have := len(c.machines.Where(func(o *machine) bool { return o.location == m.location }))
	if !ok || have < limit {
		return nil
	}
	return fault(409, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved Total Regional Virtual Machines quota. Additional details - Deployment Model: Resource Manager, Location: %s, Current Limit: %d, Current Usage: %d, Additional Required: 1, (Minimum) New Limit Required: %d. Submit a request for Quota increase at https://aka.ms/ProdportalCRP/ ...",
		m.location, limit, have, have+1)
}

// start boots a machine that was accepted, unless it is to fail.
func (c *call) start(m *machine, v *nic) {
	doomed := func(code, text string) {
		m.job = c.later(compute, m.location, func(*call) *apiError {
			if m.state == stateCreating {
				m.state, m.fault = stateFailed, &detail{code, text}
			}
			return &apiError{status: 409, code: code, message: text}
		})
	}
	zone := m.location
	if len(m.zones) > 0 {
		zone += "-" + or(m.zones[0], "")
	}
	switch {
	case c.opts.Faults.NoCapacity(Name, m.location, zone) && len(m.zones) > 0:
		doomed("ZonalAllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance")
		return
	case c.opts.Faults.NoCapacity(Name, m.location, zone):
		doomed("AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance")
		return
	case c.opts.Faults.AsyncFail():
		doomed("OSProvisioningInternalError", "OS Provisioning failed for VM '"+m.name+"' due to an internal error.")
		return
	}
	if err := c.boot(m, v); err != nil {
		doomed("InternalExecutionError", err.Error())
		return
	}
	f := c.opts.Fabric
	m.job = c.begin(compute, m.location, func() bool { return f.VMState(m.guid) != fabric.StatePending }, func(c *call) *apiError {
		if m.state != stateCreating {
			return nil
		}
		if f.VMState(m.guid) != fabric.StateRunning {
			m.state, m.fault = stateFailed, &detail{"OSProvisioningInternalError", "OS Provisioning failed for VM '" + m.name + "' due to an internal error."}
			return &apiError{status: 409, code: m.fault.Code, message: m.fault.Message}
		}
		m.state = stateSucceeded
		return nil
	})
}

// boot starts a machine in the fabric.
func (c *call) boot(m *machine, v *nic) error {
	n, s, ok := c.subnetOf(v.subnet)
	if !ok {
		return fmt.Errorf("subnet %s is gone", v.subnet)
	}
	host := or(m.sent.OSProfile.ComputerName, m.name)
	err := c.opts.Fabric.StartVM(c.ctx, fabric.VM{
		ID: m.guid, Cloud: Name, Hostname: host, NetworkID: n.key(), PrivateIP: v.ip, Subnet: s.cidr, MAC: v.mac,
		Datasource: "Azure", Seed: map[string][]byte{"ovf-env.xml": m.ovf(host)}, Product: "Virtual Machine", Metadata: c.metadata(m.key()),
	})
	m.booted = m.booted || err == nil
	return err
}

// changeMachine handles a PUT on a machine that is there: tags may change, and
// hardly anything else is simulated.
func (c *call) changeMachine(old *machine, p armcompute.VirtualMachine) *apiError {
	switch {
	case old.state == stateDeleting:
		return fault(409, "OperationNotAllowed", "Operation 'createOrUpdate' is not allowed on VM '%s' since the VM is marked for deletion. You can only retry the Delete operation (or wait for an ongoing one to complete).", old.name)
	case old.job != nil && old.job.status == statusRunning:
		return fault(409, "Conflict", "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.")
	}
	if err := checkTags(p.Tags); err != nil {
		return err
	}
	if p.Properties == nil || p.Properties.OSProfile == nil {
		old.tags = p.Tags
		return nil
	}
	for name, pair := range map[string][2]any{
		"osProfile.customData":                     {p.Properties.OSProfile.CustomData, old.sent.OSProfile.CustomData},
		"osProfile.computerName":                   {p.Properties.OSProfile.ComputerName, old.sent.OSProfile.ComputerName},
		"osProfile.adminUsername":                  {p.Properties.OSProfile.AdminUsername, old.sent.OSProfile.AdminUsername},
		"linuxConfiguration.ssh.publicKeys":        {p.Properties.OSProfile.LinuxConfiguration, old.sent.OSProfile.LinuxConfiguration},
		"storageProfile.imageReference":            {imageOf(p.Properties), imageOf(&old.sent)},
		"networkProfile.networkInterfaces":         {nicOf(p.Properties), nicOf(&old.sent)},
		"hardwareProfile.vmSize (of a running VM)": {p.Properties.HardwareProfile, old.sent.HardwareProfile},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			return fault(409, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", name)
		}
	}
	old.tags = p.Tags
	return nil
}

func imageOf(p *armcompute.VirtualMachineProperties) *armcompute.ImageReference {
	if p.StorageProfile == nil {
		return nil
	}
	return p.StorageProfile.ImageReference
}

func nicOf(p *armcompute.VirtualMachineProperties) []*armcompute.NetworkInterfaceReference {
	if p.NetworkProfile == nil {
		return nil
	}
	return p.NetworkProfile.NetworkInterfaces
}

var machineRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?$`)

// readMachine checks a machine that a client sent.
func (c *call) readMachine(p armcompute.VirtualMachine) (*machine, *apiError) {
	if !machineRule.MatchString(c.path.name) {
		return nil, fault(400, "InvalidParameter", "Linux virtual machine name may only contain 1-64 letters, numbers, '.', and '-'.")
	}
	r, err := c.newResource(p.Location, p.Tags, p.Zones, 64)
	if err != nil {
		return nil, err
	}
	r.state = stateCreating
	m := &machine{resource: r, created: c.now().UTC()}
	m.hidden = c.concealed()
	if p.Properties == nil {
		return nil, badParameter("properties", "Required parameter 'properties' is missing (null).")
	}
	m.sent = *p.Properties
	if len(p.Zones) > 1 {
		return nil, badParameter("zones", "The request has several zones; a virtual machine is in one.")
	}
	for _, check := range []func(*machine) *apiError{c.checkSize, c.checkImage, c.checkOS, c.checkNIC} {
		if err := check(m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (c *call) checkSize(m *machine) *apiError {
	want := ""
	if m.sent.HardwareProfile != nil {
		want = string(or(m.sent.HardwareProfile.VMSize, ""))
	}
	if _, ok := sizeOf(want); ok {
		return nil
	}
	return badParameter("vmSize", "The value %s provided for the VM size is not valid. The valid sizes in the current region are: %s. Find out more on the valid VM sizes in each region at https://aka.ms/azure-regionservices.",
		want, strings.Join(sizeNames(), ","))
}

func (c *call) checkImage(m *machine) *apiError {
	s := m.sent.StorageProfile
	if s == nil || s.ImageReference == nil {
		return badParameter("imageReference", "Required parameter 'imageReference' is missing (null).")
	}
	if or(s.ImageReference.ID, "") != "" {
		return fault(404, "ImageNotFound", "The image '%s' was not found.", *s.ImageReference.ID)
	}
	i := s.ImageReference
	exact, ok := versionOf(or(i.Publisher, ""), or(i.Offer, ""), or(i.SKU, ""), or(i.Version, ""))
	if !ok {
		return fault(404, "PlatformImageNotFound", "The platform image '%s:%s:%s:%s' is not available. Verify that all fields in the storage profile are correct. For more details about storage profile information, please refer to https://aka.ms/storageprofile.",
			or(i.Publisher, ""), or(i.Offer, ""), or(i.SKU, ""), or(i.Version, ""))
	}
	m.exact = exact
	if s.OSDisk == nil || or(s.OSDisk.CreateOption, "") != armcompute.DiskCreateOptionTypesFromImage {
		return badParameter("osDisk.createOption", "The value of parameter osDisk.createOption is invalid: want FromImage.")
	}
	m.dropDisk = or(s.OSDisk.DeleteOption, "") == armcompute.DiskDeleteOptionTypesDelete
	return nil
}

// disallowed names of administrators are some of those that Azure refuses.
var disallowed = map[string]bool{"admin": true, "administrator": true, "root": true, "guest": true, "user": true, "test": true, "sys": true, "server": true, "console": true}

var digitsOnly = regexp.MustCompile(`^[0-9]+$`)

func (c *call) checkOS(m *machine) *apiError {
	os := m.sent.OSProfile
	if os == nil {
		return badParameter("osProfile", "Required parameter 'osProfile' is missing (null).")
	}
	if h := or(os.ComputerName, ""); len(h) < 1 || len(h) > 64 || digitsOnly.MatchString(h) {
		return badParameter("computerName", "Linux computer name cannot exceed 64 characters in length, be entirely numeric or be empty.")
	}
	if u := or(os.AdminUsername, ""); u == "" || disallowed[strings.ToLower(u)] {
		return badParameter("adminUsername", "The Admin Username specified is not allowed.")
	}
	data, err := base64.StdEncoding.DecodeString(or(os.CustomData, ""))
	if err != nil || len(data) > maxCustomData {
		return badParameter("customData", "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.")
	}
	l := os.LinuxConfiguration
	if l == nil || !or(l.DisablePasswordAuthentication, false) {
		if or(os.AdminPassword, "") == "" {
			return badParameter("adminPassword", "Authentication using either SSH or by user name and password must be enabled in Linux profile.")
		}
		return nil
	}
	if l.SSH == nil || len(l.SSH.PublicKeys) == 0 {
		return badParameter("linuxConfiguration.ssh.publicKeys", "Authentication using either SSH or by user name and password must be enabled in Linux profile.")
	}
	for _, k := range l.SSH.PublicKeys {
		if k == nil || or(k.Path, "") != "/home/"+*os.AdminUsername+"/.ssh/authorized_keys" {
			return badParameter("linuxConfiguration.ssh.publicKeys.path", "Destination path for SSH public keys is currently limited to its default value /home/%s/.ssh/authorized_keys due to a known issue in Linux provisioning agent.", *os.AdminUsername)
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(or(k.KeyData, "")))
		if err != nil || key.Type() != ssh.KeyAlgoRSA && key.Type() != ssh.KeyAlgoED25519 {
			return badParameter("linuxConfiguration.ssh.publicKeys.keyData", "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.")
		}
	}
	return nil
}

func (c *call) checkNIC(m *machine) *apiError {
	refs := nicOf(&m.sent)
	if len(refs) == 0 || refs[0] == nil {
		return badParameter("networkProfile", "Virtual Machine must have at least one network interface.")
	}
	if len(refs) > 1 || len(m.sent.NetworkProfile.NetworkInterfaceConfigurations) > 0 {
		return notSimulated("machines with several interfaces, or with such as are made with them")
	}
	v, ok := c.nics.Get(strings.ToLower(or(refs[0].ID, "")))
	switch {
	case !ok || v.location != m.location:
		return badReference(or(refs[0].ID, ""), m.id())
	case v.state == stateDeleting:
		return notReady(v.id(), m.id(), v.state)
	case v.machine != "":
		return fault(400, "NicInUse", "Network Interface %s is used by existing resource %s. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", v.id(), v.machine)
	case v.reserved != "" && v.reserved != m.id() && c.now().Before(v.until):
		return nicReserved(v)
	}
	m.nic = v.key()
	m.dropNIC = refs[0].Properties != nil && or(refs[0].Properties.DeleteOption, "") == armcompute.DeleteOptionsDelete
	return nil
}

// concealed returns what tells whether a new machine is not found by its id yet.
func (c *call) concealed() func() bool {
	made, o, now := c.now(), c.opts, c.now
	return func() bool { return now().Sub(made) < max(o.Hidden, o.Faults.Hidden()) }
}
