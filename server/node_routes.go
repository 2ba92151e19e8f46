package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/server/pki"
)

type enrollInput struct{ Body api.EnrollRequest }

type renewInput struct{ Body api.RenewRequest }

func (s *Server) nodeRoutes() {
	enroll := operation(http.MethodPost, "/v1/enroll", "enroll", "Swap a token for a certificate; may be repeated with the same key")
	enroll.Security = nil
	huma.Register(s.api, enroll, s.enroll)
	renew := operation(http.MethodPost, "/v1/renew", "renew", "Renew a certificate; may be repeated")
	renew.Security = nil
	huma.Register(s.api, renew, s.renew)
}

func (s *Server) enroll(ctx context.Context, in *enrollInput) (*output[api.EnrollResponse], error) {
	if in.Body.Format != identity.Format {
		return nil, badFormat(in.Body.Format)
	}
	got, err := s.pki.Enroll(ctx, in.Body.Token, in.Body.CSR, remoteAddr(ctx))
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &output[api.EnrollResponse]{wireIssued(got)}, nil
}

func (s *Server) renew(ctx context.Context, in *renewInput) (*output[api.EnrollResponse], error) {
	if in.Body.Format != identity.Format {
		return nil, badFormat(in.Body.Format)
	}
	got, err := s.pki.Renew(ctx, in.Body.Certificate, in.Body.CSR, remoteAddr(ctx))
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &output[api.EnrollResponse]{wireIssued(got)}, nil
}

func badFormat(n int) error {
	return huma.Error422UnprocessableEntity("format: not known to this server", &huma.ErrorDetail{Location: "body.format", Message: "want 1", Value: n})
}

func wireIssued(i pki.Issued) api.EnrollResponse {
	out := api.EnrollResponse{Format: identity.Format, Certificate: i.Certificate.Raw, Introducers: i.Introducers, Revocations: i.Revocations}
	for _, ca := range i.CAs {
		out.CAs = append(out.CAs, ca.Raw)
	}
	return out
}
