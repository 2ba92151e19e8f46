package azure

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/cbnet-io/cbnet/cloud"
)

// Start implements cloud.Power.
func (d *Driver) Start(ctx context.Context, region, id string) error {
	return d.power(region, id, "start", func(at place) error {
		_, err := d.api.machines.BeginStart(ctx, at.group, at.name, nil)
		return err
	})
}

// Stop implements cloud.Power. The machine is deallocated, since one that is
// only switched off is still paid for; it keeps its addresses and its disk.
func (d *Driver) Stop(ctx context.Context, region, id string) error {
	return d.power(region, id, "deallocate", func(at place) error {
		_, err := d.api.machines.BeginDeallocate(ctx, at.group, at.name, nil)
		return err
	})
}

// Reboot implements cloud.Power.
func (d *Driver) Reboot(ctx context.Context, region, id string) error {
	return d.power(region, id, "restart", func(at place) error {
		_, err := d.api.machines.BeginRestart(ctx, at.group, at.name, nil)
		return err
	})
}

func (d *Driver) power(region, id, verb string, begin func(place) error) error {
	at, err := d.parseID(typeMachine, id)
	if err == nil {
		err = wrap("POST "+verb, begin(at))
	}
	if err != nil {
		return fmt.Errorf("azure %s VM %s in %s: %w", verb, id, d.in(region), err)
	}
	return nil
}

// maxConsole bounds what is read of a console, in bytes; its end is returned.
const (
	maxConsole  = 8 << 20
	keepConsole = 64 << 10
)

// ConsoleOutput implements cloud.Console. The text is in a blob, and who has its
// address may read it: that never gets into an error.
func (d *Driver) ConsoleOutput(ctx context.Context, region, id string) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("azure console of VM %s in %s: %w", id, d.in(region), err)
	}
	at, err := d.parseID(typeMachine, id)
	if err != nil {
		return fail(err)
	}
	data, err := d.api.machines.RetrieveBootDiagnosticsData(ctx, at.group, at.name, nil)
	if err != nil {
		return fail(wrap("POST retrieveBootDiagnosticsData", err))
	}
	blob, err := url.Parse(val(data.SerialConsoleLogBlobURI))
	if err != nil || blob.Host == "" || blob.Scheme != "https" && !d.plain {
		return "", nil // nothing has been printed yet
	}
	text, err := d.blob(ctx, blob.String())
	if err != nil {
		return fail(err)
	}
	return text, nil
}

// blob reads the end of a blob, "" of one that is not there yet.
func (d *Driver) blob(ctx context.Context, address string) (string, error) {
	e := &cloud.APIError{Provider: Provider, Op: "GET blob", Class: cloud.ErrUnavailable}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", e
	}
	resp, err := d.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("%w: %w", e, ctx.Err())
		}
		return "", e
	}
	defer resp.Body.Close()
	switch e.Status = resp.StatusCode; {
	case e.Status == http.StatusNotFound:
		return "", nil
	case e.Status != http.StatusOK:
		e.Code, e.Class = resp.Header.Get("X-Ms-Error-Code"), classify("", e.Status)
		return "", e
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxConsole))
	if err != nil {
		return "", fmt.Errorf("%w: %w", e, err)
	}
	return string(text[max(0, len(text)-keepConsole):]), nil
}
