package aws

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// state is where an instance is in its life.
//
//	pending --> running --> stopping --> stopped --> pending
//	   |           |                        |
//	   |           +----> shutting-down <---+
//	   v                        |
//	terminated <----------------+
type state string

// The states of an instance, with EC2's codes.
const (
	statePending      state = "pending"
	stateRunning      state = "running"
	stateShuttingDown state = "shutting-down"
	stateTerminated   state = "terminated"
	stateStopping     state = "stopping"
	stateStopped      state = "stopped"
)

// code returns EC2's number of a state.
func (s state) code() int {
	return map[state]int{
		statePending: 0, stateRunning: 16, stateShuttingDown: 32, stateTerminated: 48, stateStopping: 64, stateStopped: 80,
	}[s]
}

// xml prints a state.
func (s state) xml() xmlState { return xmlState{s.code(), string(s)} }

type xmlState struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

// instance is a virtual machine.
type instance struct {
	id          string
	reservation string
	token       string // client token
	index       int    // in its reservation
	image       image
	machine     machine
	key         string // name of the key pair, "" for none
	userData    string // base64, as it came
	zone        string
	eni         string // id, "" once terminated
	volume      string
	tokens      string // metadata: required or optional
	hops        int    // metadata: hop limit
	imds        string // metadata: enabled or disabled
	tagsInside  bool   // metadata: instance tags are shown
	shutdown    string // what a shutdown from inside does: stop or terminate
	protected   bool   // termination is disabled
	stopGuard   bool   // stopping is disabled
	public      bool   // gets a public address of Amazon's at each start
	doomed      bool   // its launch is going to fail
	launched    time.Time

	state   state
	changed time.Time // of the state
	reason  stateReason
}

// stateReason says why an instance is in its state.
type stateReason struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

// doomDelay is how long a launch that is going to fail looks fine.
const doomDelay = 500 * time.Millisecond

// settleLocked takes over how far the machines have come since the last call,
// and lets go of what terminated ones held.
func (c *Cloud) settleLocked(ctx context.Context) {
	for _, r := range c.regions {
		cl := &call{Cloud: c, ctx: ctx, r: r}
		for _, i := range r.instances.All() {
			if i.state == stateTerminated {
				continue
			}
			if err := cl.settle(i); err != nil {
				c.opts.Log.Error("instance not settled", "region", r.name, "vm", i.id, "err", err)
			}
		}
	}
	c.expireLocked()
}

// settle takes over how far one machine has come.
func (c *call) settle(i *instance) error {
	at := c.opts.Fabric.VMState(i.id)
	switch i.state {
	case statePending:
		switch {
		case i.doomed && c.now().Sub(i.launched) >= doomDelay:
			return c.terminated(i, stateReason{"Server.InternalError", "Server.InternalError: Internal error on launch"})
		case at == fabric.StateRunning:
			c.move(i, stateRunning, stateReason{})
		case at == fabric.StateStopped: // its host could not start it
			c.move(i, stateStopped, stateReason{"Server.InternalError", "Server.InternalError"})
		}
	case stateRunning:
		if at != fabric.StateStopped {
			break
		}
		why := stateReason{"Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown"}
		if i.shutdown == "terminate" {
			c.move(i, stateShuttingDown, why)
			return c.opts.Fabric.DeleteVM(c.ctx, i.id)
		}
		return c.stopped(i, why)
	case stateStopping:
		if at == fabric.StateStopped {
			return c.stopped(i, i.reason)
		}
	case stateShuttingDown:
		if at == fabric.StateTerminated || at == fabric.StateNone {
			return c.terminated(i, i.reason)
		}
	}
	return nil
}

// move puts an instance into a state.
func (c *call) move(i *instance, s state, why stateReason) {
	i.state, i.reason, i.changed = s, why, c.now()
}

// stopped completes a stop: Amazon's own public address goes back.
func (c *call) stopped(i *instance, why stateReason) error {
	c.move(i, stateStopped, why)
	if e, ok := c.r.enis.Get(i.eni); ok && e.allocation == "" {
		return c.takePublic(e)
	}
	return nil
}

// terminated completes a termination: the interface goes, unless it is kept.
func (c *call) terminated(i *instance, why stateReason) error {
	c.move(i, stateTerminated, why)
	e, ok := c.r.enis.Get(i.eni)
	i.eni = ""
	c.r.forget(i.volume)
	if !ok {
		return nil
	}
	if a, ok := c.r.addresses.Get(e.allocation); ok {
		a.eni = ""
	}
	if e.keep {
		return c.detachENI(e)
	}
	return c.dropENI(e)
}

// boot starts the machine of an instance, with a fresh public address if it is
// to have one of Amazon's.
func (c *call) boot(i *instance) error {
	e, _ := c.r.enis.Get(i.eni)
	s, _ := c.r.subnets.Get(e.subnet)
	if i.public && !e.public.IsValid() {
		if err := c.givePublic(e); err != nil {
			return err
		}
	}
	if err := c.enforce(e.vpc); err != nil {
		return err
	}
	if i.doomed {
		return nil
	}
	host, _, _ := strings.Cut(c.r.dnsName(e.ip), ".")
	return c.opts.Fabric.StartVM(c.ctx, fabric.VM{
		ID: i.id, Cloud: Name, Hostname: host, NetworkID: e.vpc, PrivateIP: e.ip, Subnet: s.cidr, MAC: e.mac,
		Datasource: "Ec2", Metadata: c.metadata(c.r, i.id),
	})
}

func describeInstances(c *call) (any, error) {
	rows, err := c.instances()
	if err != nil {
		return nil, err
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Reservations set[xmlReservation] `xml:"reservationSet"`
		Next         string              `xml:"nextToken,omitempty"`
	}{c.r.xmlReservations(rows), next}, err
}

// instances returns the instances that a describe call asks for. Those that
// were launched a moment ago may not be known by their ids yet.
func (c *call) instances() ([]*instance, error) {
	for _, id := range c.q.list("InstanceId") {
		if i, ok := c.r.instances.Get(id); ok && c.now().Sub(i.launched) < max(c.opts.Hidden, c.opts.Faults.Hidden()) {
			return nil, notFound("i-", id)
		}
	}
	return selected(c, &c.r.instances, selection[*instance]{
		param: "InstanceId", prefix: "i-",
		id: func(i *instance) string { return i.id }, attrs: c.r.instanceAttrs,
	})
}

// instanceAttrs are the filters of DescribeInstances.
func (r *region) instanceAttrs(i *instance, f string) ([]string, bool) {
	table := map[string][]string{
		"instance-id": {i.id}, "client-token": {i.token}, "reservation-id": {i.reservation}, "owner-id": {account},
		"image-id": {i.image.id}, "instance-type": {i.machine.name}, "architecture": {i.machine.arch}, "key-name": {i.key},
		"availability-zone": {i.zone}, "instance-state-name": {string(i.state)}, "instance-state-code": {itoa(i.state.code())},
		"launch-time": {stamp(i.launched)}, "launch-index": {itoa(i.index)}, "root-device-type": {"ebs"},
		"tenancy": {"default"}, "virtualization-type": {"hvm"}, "hypervisor": {"xen"}, "monitoring-state": {"disabled"},
		"metadata-options.http-tokens": {i.tokens}, "state-reason-code": {i.reason.Code}, "vpc-id": nil, "subnet-id": nil,
		"private-ip-address": nil, "private-dns-name": nil, "ip-address": nil, "dns-name": nil, "source-dest-check": nil,
		"instance.group-id": nil, "group-id": nil, "instance.group-name": nil, "group-name": nil,
		"network-interface.network-interface-id": nil, "network-interface.subnet-id": nil, "network-interface.vpc-id": nil,
		"network-interface.group-id": nil, "network-interface.addresses.private-ip-address": nil,
	}
	if e, ok := r.enis.Get(i.eni); ok {
		names := make([]string, 0, len(e.groups))
		for _, g := range r.xmlGroupNames(e.groups).Items {
			names = append(names, g.Name)
		}
		ip := []string{e.ip.String()}
		table["vpc-id"], table["network-interface.vpc-id"] = []string{e.vpc}, []string{e.vpc}
		table["subnet-id"], table["network-interface.subnet-id"] = []string{e.subnet}, []string{e.subnet}
		table["private-ip-address"], table["network-interface.addresses.private-ip-address"] = ip, ip
		table["private-dns-name"], table["source-dest-check"] = []string{r.dnsName(e.ip)}, []string{yesNo(!e.noCheck)}
		table["instance.group-id"], table["group-id"], table["network-interface.group-id"] = e.groups, e.groups, e.groups
		table["instance.group-name"], table["group-name"] = names, names
		table["network-interface.network-interface-id"] = []string{e.id}
		if e.public.IsValid() {
			table["ip-address"], table["dns-name"] = []string{e.public.String()}, []string{r.publicName(e.vpc, e.public)}
		}
	}
	return fields(table)(f)
}

type xmlStatus struct {
	ID     string           `xml:"instanceId"`
	Zone   string           `xml:"availabilityZone"`
	Events set[string]      `xml:"eventsSet"`
	State  xmlState         `xml:"instanceState"`
	System xmlStatusSummary `xml:"systemStatus"`
	Guest  xmlStatusSummary `xml:"instanceStatus"`
}

type xmlStatusSummary struct {
	Status  string               `xml:"status"`
	Details set[xmlStatusDetail] `xml:"details"`
}

type xmlStatusDetail struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

func describeInstanceStatus(c *call) (any, error) {
	all, err := c.q.boolean("IncludeAllInstances", false)
	if err != nil {
		return nil, err
	}
	rows, err := c.instances()
	if err != nil {
		return nil, err
	}
	if !all {
		rows = slices.DeleteFunc(rows, func(i *instance) bool { return i.state != stateRunning })
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Statuses set[xmlStatus] `xml:"instanceStatusSet"`
		Next     string         `xml:"nextToken,omitempty"`
	}{setOf(rows, func(i *instance) xmlStatus {
		sum := xmlStatusSummary{Status: "not-applicable"}
		if i.state == stateRunning {
			sum = xmlStatusSummary{"ok", set[xmlStatusDetail]{[]xmlStatusDetail{{"reachability", "passed"}}}}
		}
		return xmlStatus{ID: i.id, Zone: i.zone, State: i.state.xml(), System: sum, Guest: sum}
	}), next}, err
}

// privateIP returns the address of an instance, zero once it is terminated.
func (r *region) privateIP(i *instance) netip.Addr {
	if e, ok := r.enis.Get(i.eni); ok {
		return e.ip
	}
	return netip.Addr{}
}
