package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/pki"
)

// errInUse: an account has to stay what it is.
var errInUse = errors.New("in use")

type addCloudInput struct {
	NameInput
	Body api.CloudSpec
}

func (s *Server) cloudRoutes() {
	huma.Register(s.api, operation(http.MethodPut, "/v1/clouds/{name}", "add-cloud", "Add an account of a cloud, or replace it"), s.addCloud)
	huma.Register(s.api, operation(http.MethodGet, "/v1/clouds", "list-clouds", "List the accounts"), s.listClouds)
}

func (s *Server) addCloud(ctx context.Context, in *addCloudInput) (*output[api.Cloud], error) {
	if err := s.keepsItsMachines(ctx, in.Name, in.Body); err != nil {
		return nil, s.problem(ctx, err)
	}
	c, err := s.clouds.Add(ctx, Account{
		Name: in.Name, Provider: in.Body.Provider, Region: in.Body.Region,
		Endpoint: in.Body.Endpoint, Credentials: []byte(in.Body.Credentials),
	})
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	s.pki.Audit(ctx, pki.Entry{Action: "cloud add", Object: in.Name, Remote: remoteAddr(ctx), Outcome: pki.Done})
	return &output[api.Cloud]{c}, nil
}

// keepsItsMachines refuses (errInUse) to point an account that machines were
// made on at another cloud: their delete would look for them there, find
// nothing and take them for gone. New credentials are no other cloud.
func (s *Server) keepsItsMachines(ctx context.Context, name string, spec api.CloudSpec) error {
	known, err := s.clouds.List(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(known, func(c api.Cloud) bool { return c.Name == name })
	if i < 0 || known[i].Provider == spec.Provider && known[i].Endpoint == spec.Endpoint {
		return nil
	}
	all, err := s.mcis.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if slices.ContainsFunc(m.Nodes, func(n mcis.NodeStatus) bool { return n.Cloud == name }) {
			return fmt.Errorf("%w: mcis %s has nodes on cloud %s: delete it first, or add the other account under another name", errInUse, m.Name, name)
		}
	}
	return nil
}

func (s *Server) listClouds(ctx context.Context, _ *noInput) (*output[api.CloudList], error) {
	list, err := s.clouds.List(ctx)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &output[api.CloudList]{api.CloudList{Clouds: list}}, nil
}
