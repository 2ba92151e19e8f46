package api

import (
	"context"
	"net/http"
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
