package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/internal/version"
	"github.com/cbnet-io/cbnet/node/remote"
)

func (s *Server) versionRoutes() {
	huma.Register(s.api, operation(http.MethodGet, "/v1/version", "version", "Versions of the server and its nodes"), s.version)
}

func (s *Server) version(ctx context.Context, _ *noInput) (*output[api.Version], error) {
	peers := s.members.Peers()
	out := api.Version{Server: version.Version, Mesh: s.pki.Mesh().Name, Nodes: make([]api.NodeVersion, len(peers))}
	var g errgroup.Group
	g.SetLimit(execParallel)
	for i, p := range peers {
		g.Go(func() error {
			out.Nodes[i] = s.nodeVersion(ctx, p)
			return nil
		})
	}
	return &output[api.Version]{out}, g.Wait()
}

func (s *Server) nodeVersion(ctx context.Context, p Peer) api.NodeVersion {
	v := api.NodeVersion{Name: p.Name}
	if !p.Up {
		v.Error = "not reachable now"
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	got, err := s.remote.Version(ctx, remote.At(p.Name, p.IP))
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Version = got.Version
	return v
}
