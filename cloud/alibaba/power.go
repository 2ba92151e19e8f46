package alibaba

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
)

// Start implements cloud.Power.
func (d *Driver) Start(ctx context.Context, region, id string) error {
	req := ecs.CreateStartInstanceRequest()
	req.InstanceId = id
	return power("start", region, id, d.call(ctx, region, req, ecs.CreateStartInstanceResponse()))
}

// Stop implements cloud.Power. The machine keeps its address, its place and its
// price.
func (d *Driver) Stop(ctx context.Context, region, id string) error {
	req := ecs.CreateStopInstanceRequest()
	req.InstanceId, req.StoppedMode = id, "KeepCharging"
	return power("stop", region, id, d.call(ctx, region, req, ecs.CreateStopInstanceResponse()))
}

// Reboot implements cloud.Power.
func (d *Driver) Reboot(ctx context.Context, region, id string) error {
	req := ecs.CreateRebootInstanceRequest()
	req.InstanceId = id
	return power("reboot", region, id, d.call(ctx, region, req, ecs.CreateRebootInstanceResponse()))
}

func power(what, region, id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s VM %s in %s: %w", Provider, what, id, region, err)
}

// ConsoleOutput implements cloud.Console.
func (d *Driver) ConsoleOutput(ctx context.Context, region, id string) (string, error) {
	req, resp := ecs.CreateGetInstanceConsoleOutputRequest(), ecs.CreateGetInstanceConsoleOutputResponse()
	req.InstanceId = id
	if err := d.call(ctx, region, req, resp); err != nil {
		return "", power("console of", region, id, err)
	}
	text, err := base64.StdEncoding.DecodeString(resp.ConsoleOutput)
	if err != nil {
		return "", power("console of", region, id, err)
	}
	return string(text), nil
}
