package aws

import (
	"encoding/base64"
	"slices"
)

// named returns the instances that a call lists: all of them or an error.
func (c *call) named() ([]*instance, error) {
	ids := c.q.list("InstanceId")
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	var rows []*instance
	for _, id := range ids {
		i, err := find(&c.r.instances, "i-", id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(rows, i) {
			rows = append(rows, i)
		}
	}
	return rows, nil
}

type xmlChange struct {
	ID       string   `xml:"instanceId"`
	Current  xmlState `xml:"currentState"`
	Previous xmlState `xml:"previousState"`
}

type xmlChanges struct {
	Instances set[xmlChange] `xml:"instancesSet"`
}

// change moves the named instances: check says whether one may be, and do does
// it. Nothing is done unless all may be.
func (c *call) change(check, do func(*instance) error) (any, error) {
	rows, err := c.named()
	if err != nil {
		return nil, err
	}
	for _, i := range rows {
		if err := check(i); err != nil {
			return nil, err
		}
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	var out xmlChanges
	for _, i := range rows {
		before := i.state
		if err := do(i); err != nil {
			return nil, err
		}
		out.Instances.Items = append(out.Instances.Items, xmlChange{i.id, i.state.xml(), before.xml()})
	}
	return out, nil
}

// wrongState says that an instance cannot be done to what a call wants.
func wrongState(i *instance, verb string) error {
	return fault(400, "IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", i.id, verb)
}

func startInstances(c *call) (any, error) {
	return c.change(func(i *instance) error {
		switch {
		case i.state != stateStopped && i.state != stateRunning && i.state != statePending:
			return wrongState(i, "started")
		case i.state == stateStopped && c.opts.Faults.NoCapacity(Name, c.r.name, i.zone):
			return fault(500, "InsufficientInstanceCapacity", "Insufficient capacity.")
		}
		return nil
	}, func(i *instance) error {
		if i.state != stateStopped {
			return nil
		}
		if err := c.boot(i); err != nil {
			return err
		}
		c.move(i, statePending, stateReason{})
		i.launched = c.now()
		return nil
	})
}

func stopInstances(c *call) (any, error) {
	return c.change(func(i *instance) error {
		switch i.state {
		case stateRunning, stateStopping, stateStopped:
			if i.stopGuard {
				return fault(400, "OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.id)
			}
			return nil
		default:
			return wrongState(i, "stopped")
		}
	}, func(i *instance) error {
		if i.state != stateRunning {
			return nil
		}
		c.move(i, stateStopping, stateReason{"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"})
		return c.opts.Fabric.StopVM(c.ctx, i.id)
	})
}

func rebootInstances(c *call) (any, error) {
	_, err := c.change(func(i *instance) error {
		if i.state != stateRunning {
			return wrongState(i, "rebooted")
		}
		return nil
	}, func(i *instance) error { return c.opts.Fabric.RebootVM(c.ctx, i.id) })
	return done{true}, err
}

func terminateInstances(c *call) (any, error) {
	return c.change(func(i *instance) error {
		if i.protected && i.state != stateTerminated {
			return fault(400, "OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.id)
		}
		return nil
	}, func(i *instance) error {
		if i.state == stateTerminated || i.state == stateShuttingDown {
			return nil
		}
		c.move(i, stateShuttingDown, stateReason{"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"})
		if i.doomed {
			return nil // it never got a machine
		}
		return c.opts.Fabric.DeleteVM(c.ctx, i.id)
	})
}

func getConsoleOutput(c *call) (any, error) {
	i, err := findParam(c, &c.r.instances, "i-", "InstanceId")
	if err != nil {
		return nil, err
	}
	return struct {
		ID     string `xml:"instanceId"`
		Time   string `xml:"timestamp"`
		Output string `xml:"output"`
	}{i.id, stamp(c.now()), base64.StdEncoding.EncodeToString(c.opts.Fabric.Console(i.id))}, nil
}
