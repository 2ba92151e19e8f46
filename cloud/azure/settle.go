package azure

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// settle asks until an operation is done, as the SDK's PollUntilDone does, but
// at the driver's pace and without the last GET, which tells nothing new. op
// names the call that began it.
func settle[T any](ctx context.Context, d *Driver, op string, p *runtime.Poller[T], err error) error {
	if err != nil {
		return wrap(op, err)
	}
	if p.Done() {
		return nil // at once, with success: a failure would have been an error
	}
	for {
		if err := d.pause(ctx); err != nil {
			return wrap(op, err)
		}
		resp, err := p.Poll(ctx)
		if err != nil {
			return wrap(op, err)
		}
		if !p.Done() {
			continue
		}
		var answer struct {
			Status string `json:"status"`
		}
		body, err := runtime.Payload(resp)
		if err == nil && json.Unmarshal(body, &answer) == nil && strings.EqualFold(answer.Status, "Succeeded") {
			return nil
		}
		_, err = p.Result(ctx) // the failure, or what another kind of poller has
		return wrap(op, err)
	}
}

// pause waits until the next question is due.
func (d *Driver) pause(ctx context.Context) error {
	t := time.NewTimer(d.poll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begun is for operations that nobody waits for.
func begun[T any](op string, _ *runtime.Poller[T], err error) error { return wrap(op, err) }
