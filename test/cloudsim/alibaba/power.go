package alibaba

import (
	"encoding/base64"
)

// wrongState says that an instance is not in a state for what a call wants.
func wrongState(i *instance) error {
	if i.state == statePending {
		return fault(403, "IncorrectInstanceStatus.Initializing", "The specified instance status does not support this operation.")
	}
	return fault(403, "IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
}

// change moves the instance that a request names, if it is in one of the states.
func (c *call) change(do func(*instance) error, from ...state) (obj, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	for _, s := range from {
		if i.state == s && !i.doomed && !i.releasing {
			return obj{}, do(i)
		}
	}
	return nil, wrongState(i)
}

func startInstance(c *call) (obj, error) {
	return c.change(func(i *instance) error {
		if c.opts.Faults.NoCapacity(Name, c.r.region, i.zone) {
			return fault(403, "OperationDenied.NoStock", "The resource is out of stock in the specified zone.")
		}
		if err := c.boot(i); err != nil {
			return err
		}
		i.state = stateStarting
		return nil
	}, stateStopped)
}

func stopInstance(c *call) (obj, error) {
	return c.change(func(i *instance) error {
		i.state = stateStopping
		return c.opts.Fabric.StopVM(c.ctx, i.id)
	}, stateRunning)
}

func rebootInstance(c *call) (obj, error) {
	return c.change(func(i *instance) error {
		i.state = stateStarting
		return c.opts.Fabric.RebootVM(c.ctx, i.id)
	}, stateRunning)
}

// deleteInstance releases an instance: a stopped one, with force also one that
// runs, but none that is still being made. Asking again is no error.
func deleteInstance(c *call) (obj, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	force, err := c.q.boolean("Force", false)
	switch {
	case err != nil:
		return nil, err
	case i.releasing:
		return obj{}, nil
	case i.doomed:
		if _, failed := c.r.events.Get(i.id); !failed {
			return nil, wrongState(i)
		}
		i.releasing = true
		return obj{}, c.settleDoomed(i)
	case i.state == statePending, i.state != stateStopped && !force:
		return nil, wrongState(i)
	}
	i.releasing = true
	if i.state != stateStopped {
		i.state = stateStopping
	}
	return obj{}, c.opts.Fabric.DeleteVM(c.ctx, i.id)
}

func getInstanceConsoleOutput(c *call) (obj, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	return obj{
		"InstanceId": i.id, "LastUpdateTime": second(c.now()),
		"ConsoleOutput": base64.StdEncoding.EncodeToString(c.opts.Fabric.Console(i.id)),
	}, nil
}
