package gcp

import (
	"context"
	"fmt"

	"cloud.google.com/go/compute/apiv1/computepb"
)

// ConsoleOutput implements cloud.Console by the first serial port.
func (d *Driver) ConsoleOutput(ctx context.Context, region, id string) (string, error) {
	var text string
	err := d.machineCall(ctx, "console of", region, id, func(s *session, zone, instance string) error {
		c, err := s.instances()
		if err != nil {
			return err
		}
		out, err := c.GetSerialPortOutput(ctx, &computepb.GetSerialPortOutputInstanceRequest{Project: d.project, Zone: zone, Instance: instance})
		text = out.GetContents()
		return wrap("instances.getSerialPortOutput", err)
	})
	return text, err
}

// Start implements cloud.Power.
func (d *Driver) Start(ctx context.Context, region, id string) error {
	return d.machineCall(ctx, "start", region, id, func(s *session, zone, instance string) error {
		c, err := s.instances()
		if err != nil {
			return err
		}
		_, err = c.Start(ctx, &computepb.StartInstanceRequest{Project: d.project, Zone: zone, Instance: instance})
		return wrap("instances.start", err)
	})
}

// Stop implements cloud.Power.
func (d *Driver) Stop(ctx context.Context, region, id string) error {
	return d.machineCall(ctx, "stop", region, id, func(s *session, zone, instance string) error {
		c, err := s.instances()
		if err != nil {
			return err
		}
		_, err = c.Stop(ctx, &computepb.StopInstanceRequest{Project: d.project, Zone: zone, Instance: instance})
		return wrap("instances.stop", err)
	})
}

// Reboot implements cloud.Power. The machine is reset, as by its button.
func (d *Driver) Reboot(ctx context.Context, region, id string) error {
	return d.machineCall(ctx, "reboot", region, id, func(s *session, zone, instance string) error {
		c, err := s.instances()
		if err != nil {
			return err
		}
		_, err = c.Reset(ctx, &computepb.ResetInstanceRequest{Project: d.project, Zone: zone, Instance: instance})
		return wrap("instances.reset", err)
	})
}

// machineCall makes a call for one machine.
func (d *Driver) machineCall(ctx context.Context, what, region, id string, do func(s *session, zone, instance string) error) error {
	zone, instance, err := parseVMID(id)
	if err == nil {
		err = do(d.session(ctx), zone, instance)
	}
	if err != nil {
		return fmt.Errorf("gcp %s VM %s in %s: %w", what, id, region, err)
	}
	return nil
}
