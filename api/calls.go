package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Version asks for the versions of the server and its nodes.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, request{method: http.MethodGet, path: []string{"version"}}, &v)
	return v, err
}

// AddCloud adds an account under a name, or replaces what the name held.
func (c *Client) AddCloud(ctx context.Context, name string, spec CloudSpec) (Cloud, error) {
	var out Cloud
	err := c.do(ctx, request{method: http.MethodPut, path: []string{"clouds", name}, body: spec}, &out)
	return out, err
}

// Clouds lists the accounts.
func (c *Client) Clouds(ctx context.Context) (CloudList, error) {
	var out CloudList
	err := c.do(ctx, request{method: http.MethodGet, path: []string{"clouds"}}, &out)
	return out, err
}

// CheckCloud tries whether an account works, in a region, "" for its own one.
func (c *Client) CheckCloud(ctx context.Context, name, region string) (CloudCheck, error) {
	var out CloudCheck
	err := c.do(ctx, ofCloud(name, "check", region), &out)
	return out, err
}

// CloudRegions lists the regions of an account.
func (c *Client) CloudRegions(ctx context.Context, name string) (CloudRegions, error) {
	var out CloudRegions
	err := c.do(ctx, ofCloud(name, "regions", ""), &out)
	return out, err
}

// CloudSpecs lists the machine types of a region, "" for the account's own one.
func (c *Client) CloudSpecs(ctx context.Context, name, region string) (CloudSpecs, error) {
	var out CloudSpecs
	err := c.do(ctx, ofCloud(name, "specs", region), &out)
	return out, err
}

// CloudImages lists the images of a region, "" for the account's own one.
func (c *Client) CloudImages(ctx context.Context, name, region string) (CloudImages, error) {
	var out CloudImages
	err := c.do(ctx, ofCloud(name, "images", region), &out)
	return out, err
}

// CloudInventory lists what an account holds of the mesh, in a region, "" for
// all. Regions that did not answer are in the answer and no error.
func (c *Client) CloudInventory(ctx context.Context, name, region string) (CloudInventory, error) {
	var out CloudInventory
	err := c.do(ctx, ofCloud(name, "inventory", region), &out)
	return out, err
}

// ofCloud is a question about an account.
func ofCloud(name, what, region string) request {
	r := request{method: http.MethodGet, path: []string{"clouds", name, what}}
	if region != "" {
		r.query = url.Values{"region": {region}}
	}
	return r
}

// SweepCloud deletes, or lists, what bears the mesh's mark in an account and
// belongs to no MCIS, and calls f for every step. The sweep ends with the
// connection; another one goes on with what is left.
func (c *Client) SweepCloud(ctx context.Context, name string, req SweepRequest, f func(SweepEvent) error) (CloudSweep, error) {
	r := request{method: http.MethodPost, path: []string{"clouds", name, "sweep"}, body: req, accept: "text/event-stream"}
	result := CloudSweep{Objects: []CloudObject{}, Failed: []CloudFault{}}
	done := false
	err := c.stream(ctx, r, func() {}, func(data []byte) error {
		var e SweepEvent
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		switch {
		case e.Error != "":
			return errors.New(e.Error)
		case e.Result == nil:
			return f(e)
		}
		result.Deleted = e.Result.Deleted
		result.Objects = append(result.Objects, e.Result.Objects...)
		result.Failed = append(result.Failed, e.Result.Failed...)
		if done = e.Step == "done"; done {
			return io.EOF
		}
		return nil
	})
	switch {
	case done:
		return result, nil
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return CloudSweep{}, err
}

// Plan says what an apply of the file would do.
func (c *Client) Plan(ctx context.Context, file SpecFile) (PlanList, error) {
	var out PlanList
	err := c.do(ctx, request{method: http.MethodPost, path: []string{"plan"}, body: file}, &out)
	return out, err
}

// Apply starts to make what the file says, and returns as soon as the server
// has written it down. The same file again attaches to the run in progress.
func (c *Client) Apply(ctx context.Context, file SpecFile) (RunList, error) {
	var out RunList
	err := c.do(ctx, request{method: http.MethodPost, path: []string{"mcis"}, body: file}, &out)
	return out, err
}

// ListMCIS lists every MCIS with its nodes.
func (c *Client) ListMCIS(ctx context.Context) (MCISList, error) {
	var out MCISList
	err := c.do(ctx, request{method: http.MethodGet, path: []string{"mcis"}}, &out)
	return out, err
}

// MCIS returns the status of one MCIS; a *Problem of status 404 if there is none.
func (c *Client) MCIS(ctx context.Context, name string) (MCIS, error) {
	var out MCIS
	err := c.do(ctx, request{method: http.MethodGet, path: []string{"mcis", name}}, &out)
	return out, err
}

// DeleteMCIS starts to delete an MCIS; a *Problem of status 404 if there is none.
func (c *Client) DeleteMCIS(ctx context.Context, name string) (Run, error) {
	var out Run
	err := c.do(ctx, request{method: http.MethodDelete, path: []string{"mcis", name}}, &out)
	return out, err
}

// Enroll swaps a token for a certificate. It may be repeated with the same key.
func (c *Client) Enroll(ctx context.Context, r EnrollRequest) (EnrollResponse, error) {
	var out EnrollResponse
	err := c.do(ctx, request{method: http.MethodPost, path: []string{"enroll"}, body: r}, &out)
	return out, err
}

// Renew returns a new certificate for the key of an unexpired one.
func (c *Client) Renew(ctx context.Context, r RenewRequest) (EnrollResponse, error) {
	var out EnrollResponse
	err := c.do(ctx, request{method: http.MethodPost, path: []string{"renew"}, body: r}, &out)
	return out, err
}
