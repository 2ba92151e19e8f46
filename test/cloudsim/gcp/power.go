package gcp

import (
	"context"
	"net/http"
	"strconv"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// move is the course of every change of a machine's power: when says that it has
// taken place.
func (c *call) move(i *instance, kind string, do func() error, when func() bool) (any, error) {
	if op, err := c.again(); op != nil || err != nil {
		return c.reply(op, err)
	}
	if err := c.ready(&i.header); err != nil {
		return nil, err
	}
	if err := do(); err != nil {
		return nil, err
	}
	op := c.begin(kind, &i.header)
	i.busy = op
	op.poll = func(context.Context) (bool, *apiError) { return when(), nil }
	op.finish = func(context.Context) error { i.busy = nil; return nil }
	return c.reply(op, nil)
}

func startInstance(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	return c.move(i, "start", func() error {
		if i.status != terminated {
			return nil
		}
		i.status = staging
		return c.boot(i)
	}, func() bool { return i.status == running })
}

func stopInstance(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	return c.move(i, "stop", func() error {
		if i.status == terminated {
			return nil
		}
		i.status = stopping
		return c.opts.Fabric.StopVM(c.ctx, i.key())
	}, func() bool { return i.status == terminated })
}

func resetInstance(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	if i.status != running {
		return nil, notReady(c.p.resource(i.path))
	}
	return c.move(i, "reset", func() error { return c.opts.Fabric.RebootVM(c.ctx, i.key()) }, func() bool { return true })
}

func deleteInstance(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	out, err := c.remove(&i.header, func() error {
		if i.protected {
			return fault(http.StatusBadRequest, "invalidResourceUsage", "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'.")
		}
		i.status, i.deleting = stopping, true
		return c.opts.Fabric.DeleteVM(c.ctx, i.key())
	}, func(ctx context.Context) error {
		c.p.instances.Delete(i.path)
		return c.p.unplug(ctx, i)
	})
	if err == nil && i.busy != nil && i.busy.kind == "delete" {
		i.busy.poll = func(context.Context) (bool, *apiError) {
			at := c.opts.Fabric.VMState(i.key())
			return at == fabric.StateTerminated || at == fabric.StateNone, nil
		}
	}
	return out, err
}

// getSerialPort answers with what the machine has printed, from a byte on.
func getSerialPort(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	from := 0
	if s := c.query("start"); s != "" {
		if from, err = strconv.Atoi(s); err != nil {
			return nil, invalid("start", s, "Must be a number.")
		}
	}
	if port := c.query("port"); port != "" && port != "1" {
		return nil, invalid("port", port, "Only port 1 is simulated.")
	}
	all := c.opts.Fabric.Console(i.key())
	from = min(max(from, 0), len(all))
	return struct {
		Kind     string `json:"kind"`
		Contents string `json:"contents"`
		Start    int64  `json:"start,string"`
		Next     int64  `json:"next,string"`
		SelfLink string `json:"selfLink"`
	}{"compute#serialPortOutput", string(all[from:]), int64(from), int64(len(all)), c.p.link(i.path + "/serialPort")}, nil
}
