package gcp

import (
	"context"
	"fmt"
	"net/http"

	compute "cloud.google.com/go/compute/apiv1"
	"google.golang.org/api/option"

	"github.com/cbnet-io/cbnet/cloud"
)

// session makes the requests of one call of the driver.
type session struct {
	*Driver
	ctx  context.Context
	opts []option.ClientOption
}

// session begins a call. The SDK's clients live as long as it, because their
// lists do not carry the caller's context: the transport does.
func (d *Driver) session(ctx context.Context) *session {
	hc := &http.Client{Transport: bound{ctx, bearer{d.creds, strict{d.next}}}}
	return &session{Driver: d, ctx: ctx, opts: []option.ClientOption{option.WithHTTPClient(hc), option.WithEndpoint(d.endpoint)}}
}

// bound ends requests with a context.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Done() == nil {
		req = req.WithContext(b.ctx)
	}
	return b.next.RoundTrip(req)
}

// client returns a client of the SDK whose retries and time limits are taken
// away. It fails only if the environment asks the SDK for what it cannot do.
func client[C, O any](s *session, create func(context.Context, ...option.ClientOption) (C, error), options func(C) *O) (C, error) {
	c, err := create(s.ctx, s.opts...)
	if err != nil {
		return c, fmt.Errorf("gcp client: %w: %w", cloud.ErrInvalid, err)
	}
	var none O
	*options(c) = none
	return c, nil
}

func (s *session) instances() (*compute.InstancesClient, error) {
	return client(s, compute.NewInstancesRESTClient, func(c *compute.InstancesClient) *compute.InstancesCallOptions { return c.CallOptions })
}

func (s *session) networks() (*compute.NetworksClient, error) {
	return client(s, compute.NewNetworksRESTClient, func(c *compute.NetworksClient) *compute.NetworksCallOptions { return c.CallOptions })
}

func (s *session) subnetworks() (*compute.SubnetworksClient, error) {
	return client(s, compute.NewSubnetworksRESTClient, func(c *compute.SubnetworksClient) *compute.SubnetworksCallOptions { return c.CallOptions })
}

func (s *session) firewalls() (*compute.FirewallsClient, error) {
	return client(s, compute.NewFirewallsRESTClient, func(c *compute.FirewallsClient) *compute.FirewallsCallOptions { return c.CallOptions })
}

func (s *session) routers() (*compute.RoutersClient, error) {
	return client(s, compute.NewRoutersRESTClient, func(c *compute.RoutersClient) *compute.RoutersCallOptions { return c.CallOptions })
}

func (s *session) regions() (*compute.RegionsClient, error) {
	return client(s, compute.NewRegionsRESTClient, func(c *compute.RegionsClient) *compute.RegionsCallOptions { return c.CallOptions })
}

func (s *session) projects() (*compute.ProjectsClient, error) {
	return client(s, compute.NewProjectsRESTClient, func(c *compute.ProjectsClient) *compute.ProjectsCallOptions { return c.CallOptions })
}

func (s *session) machineTypes() (*compute.MachineTypesClient, error) {
	return client(s, compute.NewMachineTypesRESTClient, func(c *compute.MachineTypesClient) *compute.MachineTypesCallOptions { return c.CallOptions })
}

func (s *session) images() (*compute.ImagesClient, error) {
	return client(s, compute.NewImagesRESTClient, func(c *compute.ImagesClient) *compute.ImagesCallOptions { return c.CallOptions })
}

func (s *session) globalOperations() (*compute.GlobalOperationsClient, error) {
	return client(s, compute.NewGlobalOperationsRESTClient, func(c *compute.GlobalOperationsClient) *compute.GlobalOperationsCallOptions { return c.CallOptions })
}

func (s *session) regionOperations() (*compute.RegionOperationsClient, error) {
	return client(s, compute.NewRegionOperationsRESTClient, func(c *compute.RegionOperationsClient) *compute.RegionOperationsCallOptions { return c.CallOptions })
}

func (s *session) zoneOperations() (*compute.ZoneOperationsClient, error) {
	return client(s, compute.NewZoneOperationsRESTClient, func(c *compute.ZoneOperationsClient) *compute.ZoneOperationsCallOptions { return c.CallOptions })
}
