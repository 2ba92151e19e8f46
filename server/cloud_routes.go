package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/server/pki"
)

type addCloudInput struct {
	NameInput
	Body api.CloudSpec
}

func (s *Server) cloudRoutes() {
	huma.Register(s.api, operation(http.MethodPut, "/v1/clouds/{name}", "add-cloud", "Add an account of a cloud, or replace it"), s.addCloud)
	huma.Register(s.api, operation(http.MethodGet, "/v1/clouds", "list-clouds", "List the accounts"), s.listClouds)
}

func (s *Server) addCloud(ctx context.Context, in *addCloudInput) (*output[api.Cloud], error) {
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

func (s *Server) listClouds(ctx context.Context, _ *noInput) (*output[api.CloudList], error) {
	list, err := s.clouds.List(ctx)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &output[api.CloudList]{api.CloudList{Clouds: list}}, nil
}
