package openstack

import (
	"context"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// status is where a server is in its life, in Nova's words.
//
//	BUILD --> ACTIVE <--> SHUTOFF
//	  |         |  ^         |
//	  |         v  |         |
//	  |        REBOOT        |
//	  +--> ERROR             |
//	  all of them: --> gone <+
type status string

// The states of a server.
const (
	statusBuild   status = "BUILD"
	statusActive  status = "ACTIVE"
	statusReboot  status = "REBOOT"
	statusShutoff status = "SHUTOFF"
	statusError   status = "ERROR"
)

// server is a virtual machine.
type server struct {
	id          string
	name        string
	description *string
	image       image
	flavor      flavor
	key         string
	metadata    map[string]string
	tags        []string
	userData    string // base64, as it came
	groups      []string
	wants       []nicWish // until the ports are bound
	ports       []string  // bound
	drive       string    // config_drive as it came: "" or True
	created     time.Time
	updated     time.Time
	launched    time.Time // zero until it was first active

	status status
	task   string // task state, "" for none
	fault  *serverFault
	doomed *serverFault // what it is going to fail of
	booted bool         // the fabric has a machine for it
}

// nicWish is a port that a server is to have.
type nicWish struct {
	port    string // of the client's
	network string // or of one that Nova makes
	fixed   string
}

// serverFault says why a server is in ERROR.
type serverFault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Created string `json:"created"`
	Details string `json:"details,omitempty"`
}

// noHost is the fault of a server that no host has room for.
func noHost() *serverFault {
	return &serverFault{Code: 500, Message: "No valid host was found. There are not enough hosts available."}
}

// settleLocked takes over how far the machines have come since the last call,
// and lets go of what deleted ones held.
func (c *Cloud) settleLocked(ctx context.Context) {
	cl := &call{Cloud: c, ctx: ctx}
	for _, s := range c.servers.All() {
		if err := cl.settle(s); err != nil {
			c.opts.Log.Error("server not settled", "vm", s.id, "err", err)
		}
	}
}

// settle takes over how far one machine has come.
func (c *call) settle(s *server) error {
	if !s.booted {
		return nil
	}
	at := c.opts.Fabric.VMState(s.id)
	switch {
	case s.task == "deleting":
		if at == fabric.StateTerminated || at == fabric.StateNone {
			return c.gone(s)
		}
	case s.task == "powering-off":
		if at == fabric.StateStopped {
			c.move(s, statusShutoff, "")
		}
	case at == fabric.StateRunning && s.status != statusActive:
		if s.launched.IsZero() {
			s.launched = c.now()
		}
		c.move(s, statusActive, "")
	case at == fabric.StateStopped && (s.status == statusActive || s.status == statusReboot):
		c.move(s, statusShutoff, "") // it powered itself off
	case at == fabric.StateStopped && s.status == statusBuild:
		c.fail(s, &serverFault{Code: 500, Message: "Build of instance " + s.id + " aborted: the guest did not start"})
	}
	return nil
}

// move puts a server into a state.
func (c *call) move(s *server, st status, task string) {
	s.status, s.task, s.updated = st, task, c.now()
}

// fail puts a server into ERROR.
func (c *call) fail(s *server, why *serverFault) {
	why.Created = stamp(c.now())
	s.fault = why
	c.move(s, statusError, "")
}

// gone removes a server whose machine is no more. Ports that Nova made go with
// it, ports of the client's are free again.
func (c *call) gone(s *server) error {
	c.servers.Delete(s.id)
	for _, id := range s.ports {
		p, ok := c.ports.Get(id)
		if !ok || p.device != s.id {
			continue
		}
		if p.byNova {
			if err := c.dropPort(p); err != nil {
				return err
			}
			continue
		}
		p.device, p.owner = "", ""
		c.touch(&p.base)
	}
	return nil
}

// build schedules a server: its ports are bound and its machine is started. It
// runs a moment after the server was accepted, and here is where the real Nova
// notices that a port has been taken meanwhile.
func (c *call) build(s *server) {
	if s.status != statusBuild || s.task == "deleting" {
		return
	}
	if s.doomed != nil {
		c.fail(s, s.doomed)
		return
	}
	if err := c.bind(s); err != nil {
		message := err.Error()
		c.fail(s, &serverFault{Code: 500, Message: "Build of instance " + s.id + " aborted: " + message, Details: message})
		return
	}
	if err := c.boot(s); err != nil {
		c.fail(s, &serverFault{Code: 500, Message: err.Error()})
	}
}

// bind gives a server its ports.
func (c *call) bind(s *server) error {
	for _, w := range s.wants {
		p, err := c.portFor(w)
		if err != nil {
			return err
		}
		p.device, p.owner = s.id, ownerCompute
		if p.byNova {
			p.groups = s.groups
		}
		c.touch(&p.base)
		s.ports = append(s.ports, p.id)
	}
	return c.enforce()
}

// portFor returns the port that a server is to have.
func (c *call) portFor(w nicWish) (*port, error) {
	if w.port != "" {
		p, ok := c.ports.Get(w.port)
		if !ok {
			return nil, fault(404, "Port %s could not be found.", w.port)
		}
		if p.device != "" {
			return nil, fault(409, "Port %s is still in use.", p.id)
		}
		return p, nil
	}
	body := portBody{Network: &w.network}
	if w.fixed != "" {
		body.Fixed = &[]fixedIP{{Address: w.fixed}}
	}
	p, err := c.newPort(body)
	if err != nil {
		return nil, err
	}
	p.byNova, p.implicit = true, true
	return p, nil
}

// boot starts a server's machine.
func (c *call) boot(s *server) error {
	if len(s.ports) == 0 {
		return fault(500, "servers without a port are not simulated")
	}
	p, ok := c.ports.Get(s.ports[0])
	if !ok || !p.ip.IsValid() {
		return fault(500, "Port %s has no address", s.ports[0])
	}
	sub, _ := c.subnets.Get(p.subnet)
	err := c.opts.Fabric.StartVM(c.ctx, fabric.VM{
		ID: s.id, Cloud: Name, Hostname: hostname(s.name), NetworkID: p.subnet, PrivateIP: p.ip, Subnet: sub.cidr, MAC: p.mac,
		Datasource: "OpenStack", Metadata: c.metadata(s.id),
	})
	s.booted = s.booted || err == nil
	return err
}

// groupNames returns the names of a server's security groups.
func (c *Cloud) groupNames(s *server) []map[string]string {
	var names []string
	for _, id := range s.ports {
		p, ok := c.ports.Get(id)
		if !ok {
			continue
		}
		for _, gid := range p.groups {
			if g, ok := c.groups.Get(gid); ok && !slices.Contains(names, g.name) {
				names = append(names, g.name)
			}
		}
	}
	out := []map[string]string{}
	for _, n := range names {
		out = append(out, map[string]string{"name": n})
	}
	return out
}
