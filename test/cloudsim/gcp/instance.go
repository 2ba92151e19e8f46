package gcp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// status is where an instance is in its life.
//
//	PROVISIONING --> RUNNING --> STOPPING --> TERMINATED --> STAGING --> RUNNING
//	      |             |           |             |
//	      v             +-----------+-------------+--> STOPPING --> (gone)
//	   (gone)
type status string

// The states of an instance.
const (
	provisioning status = "PROVISIONING"
	staging      status = "STAGING"
	running      status = "RUNNING"
	stopping     status = "STOPPING"
	terminated   status = "TERMINATED"
)

// instance is a virtual machine with its one disk and its one interface.
type instance struct {
	header
	zone, region string
	description  string
	machine      machineType
	image        image
	labels       map[string]string
	metadata     []metadataItem
	tags         []string
	canForward   bool
	protected    bool // against deletion

	subnet *subnetwork
	ip     netip.Addr
	access *accessConfig // nil: no public address
	public netip.Addr    // while the machine is on
	rules  []fabric.Rule // in force
	ruled  bool

	diskName, diskType, deviceName string
	diskLabels                     map[string]string
	// more are fields that are kept as they came.
	more map[string]json.RawMessage

	status           status
	deleting         bool
	started, stopped time.Time
	doom             *apiError // why it is going to fail, nil if it is not
}

type metadataItem struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type metadataDoc struct {
	Kind        string         `json:"kind"`
	Fingerprint string         `json:"fingerprint"`
	Items       []metadataItem `json:"items,omitempty"`
}

type accessConfig struct {
	Kind string `json:"kind,omitempty"`
	Type string `json:"type,omitempty"`
	Name string `json:"name,omitempty"`
	IP   string `json:"natIP,omitempty"`
	Tier string `json:"networkTier,omitempty"`
}

// doomDelay is how long an instance that is going to fail looks fine.
const doomDelay = 300 * time.Millisecond

// key is what the instance is called outside and on the fabric: its zone and
// its id, as a name can be used again.
func (i *instance) key() string { return i.zone + "/" + utoa(i.id) }

// settleMachines takes over how far the machines have come.
func (p *project) settleMachines(ctx context.Context) {
	for _, i := range p.instances.All() {
		at := p.opts.Fabric.VMState(i.key())
		switch {
		case (i.status == provisioning || i.status == staging) && at == fabric.StateRunning:
			i.status = running
		case i.status == running && at == fabric.StateStopped, i.status == stopping && !i.deleting && at == fabric.StateStopped:
			i.status, i.stopped = terminated, p.now()
			if err := p.releasePublic(ctx, i); err != nil {
				p.opts.Log.Error("address not released", "vm", i.key(), "err", err)
			}
		}
	}
}

// hidden reports whether an instance is too young to be found.
func (p *project) hidden(i *instance) bool {
	return p.now().Sub(i.created) < max(p.opts.Hidden, p.opts.Faults.Hidden())
}

// instancePath is the path of the instance that a call names, by name or id.
func (c *call) instancePath() string {
	name := c.path("instance")
	for _, i := range c.p.instances.All() {
		if i.zone == c.path("zone") && utoa(i.id) == name {
			return i.path
		}
	}
	return c.scope() + "/instances/" + name
}

// instance finds the instance that a call names.
func (c *call) instance() (*instance, error) {
	return find(c, &c.p.instances, c.instancePath())
}

func getInstance(c *call) (any, error) {
	i, err := c.instance()
	if err == nil && c.p.hidden(i) {
		err = notFound(c.p.resource(c.instancePath()))
	}
	if err != nil {
		return nil, err
	}
	return c.p.instanceDoc(i), nil
}

func listInstances(c *call) (any, error) {
	rows := c.p.instances.Where(func(i *instance) bool { return i.zone == c.path("zone") })
	return listOf(c, "compute#instanceList", c.scope()+"/instances", rows, c.p.instanceDoc)
}

func aggregateInstances(c *call) (any, error) {
	return aggregate(c, "compute#instanceAggregatedList", "instances", "instances", c.p.instances.All(),
		func(i *instance) string { return scopeOf(i.path) }, c.p.instanceDoc)
}

type instanceDoc struct {
	Kind         string            `json:"kind"`
	ID           uint64            `json:"id,string"`
	Created      string            `json:"creationTimestamp"`
	Name         string            `json:"name"`
	Description  string            `json:"description,omitempty"`
	Status       status            `json:"status"`
	Zone         string            `json:"zone"`
	MachineType  string            `json:"machineType"`
	CPUPlatform  string            `json:"cpuPlatform"`
	CanForward   bool              `json:"canIpForward"`
	Interfaces   []interfaceDoc    `json:"networkInterfaces"`
	Disks        []diskDoc         `json:"disks"`
	Metadata     metadataDoc       `json:"metadata"`
	Tags         tagsDoc           `json:"tags"`
	Labels       map[string]string `json:"labels,omitempty"`
	LabelPrint   string            `json:"labelFingerprint"`
	Fingerprint  string            `json:"fingerprint"`
	Protected    bool              `json:"deletionProtection"`
	Restricted   bool              `json:"startRestricted"`
	LastStart    string            `json:"lastStartTimestamp,omitempty"`
	LastStop     string            `json:"lastStopTimestamp,omitempty"`
	Scheduling   json.RawMessage   `json:"scheduling,omitempty"`
	Accounts     json.RawMessage   `json:"serviceAccounts,omitempty"`
	Shielded     json.RawMessage   `json:"shieldedInstanceConfig,omitempty"`
	Reservation  json.RawMessage   `json:"reservationAffinity,omitempty"`
	Confidential json.RawMessage   `json:"confidentialInstanceConfig,omitempty"`
	SelfLink     string            `json:"selfLink"`
}

type tagsDoc struct {
	Items       []string `json:"items,omitempty"`
	Fingerprint string   `json:"fingerprint"`
}

type interfaceDoc struct {
	Kind        string         `json:"kind"`
	Name        string         `json:"name"`
	Network     string         `json:"network"`
	Subnetwork  string         `json:"subnetwork"`
	IP          string         `json:"networkIP"`
	Fingerprint string         `json:"fingerprint"`
	Stack       string         `json:"stackType"`
	Access      []accessConfig `json:"accessConfigs,omitempty"`
}

type diskDoc struct {
	Kind         string `json:"kind"`
	Type         string `json:"type"`
	Mode         string `json:"mode"`
	Source       string `json:"source"`
	DeviceName   string `json:"deviceName"`
	Index        int    `json:"index"`
	Boot         bool   `json:"boot"`
	AutoDelete   bool   `json:"autoDelete"`
	Interface    string `json:"interface"`
	Size         int64  `json:"diskSizeGb,string"`
	Architecture string `json:"architecture"`
}

func (p *project) instanceDoc(i *instance) instanceDoc {
	scope := "zones/" + i.zone
	nic := interfaceDoc{
		Kind: "compute#networkInterface", Name: "nic0", Network: p.link(i.subnet.network.path), Subnetwork: p.link(i.subnet.path),
		IP: i.ip.String(), Fingerprint: fingerprint(i.path, "nic0"), Stack: "IPV4_ONLY",
	}
	if i.access != nil {
		a := *i.access
		if i.public.IsValid() {
			a.IP = i.public.String()
		}
		nic.Access = []accessConfig{a}
	}
	return instanceDoc{
		Kind: "compute#instance", ID: i.id, Created: stamp(i.created), Name: i.name, Description: i.description, Status: i.status,
		Zone: p.link(scope), MachineType: p.link(scope + "/machineTypes/" + i.machine.name), CPUPlatform: "Intel Broadwell", CanForward: i.canForward,
		Interfaces: []interfaceDoc{nic},
		Disks: []diskDoc{{
			Kind: "compute#attachedDisk", Type: "PERSISTENT", Mode: "READ_WRITE", Source: p.link(scope + "/disks/" + i.diskName), DeviceName: i.deviceName,
			Boot: true, AutoDelete: true, Interface: "SCSI", Size: diskGB, Architecture: i.image.arch,
		}},
		Metadata: metadataDoc{Kind: "compute#metadata", Fingerprint: fingerprint(i.metadata), Items: i.metadata},
		Tags:     tagsDoc{i.tags, fingerprint(i.tags)}, Labels: i.labels, LabelPrint: fingerprint(i.labels), Fingerprint: fingerprint(i.path, i.status),
		Protected: i.protected, LastStart: stamp(i.started), LastStop: stamp(i.stopped),
		Scheduling: i.more["scheduling"], Accounts: i.more["serviceAccounts"], Shielded: i.more["shieldedInstanceConfig"],
		Reservation: i.more["reservationAffinity"], Confidential: i.more["confidentialInstanceConfig"], SelfLink: p.link(i.path),
	}
}

// fingerprint returns what changes when any of the values does.
func fingerprint(values ...any) string {
	sum := sha256.Sum256(fmt.Append(nil, values...))
	return base64.URLEncoding.EncodeToString(sum[:8])
}
