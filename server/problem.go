package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/account"
	"github.com/cbnet-io/cbnet/server/pki"
)

// writeProblem answers outside of huma.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(api.Problem{Title: http.StatusText(status), Status: status, Detail: detail})
}

// problem turns an error of a part into an answer. What is not known to be the
// client's doing is logged, and the client is told where to look.
func (s *Server) problem(ctx context.Context, err error) error {
	if faults, ok := errors.AsType[mcis.Faults](err); ok {
		return huma.Error422UnprocessableEntity("the spec has faults", faultDetails(faults)...)
	}
	if _, ok := errors.AsType[accountError](err); ok {
		return huma.Error422UnprocessableEntity(err.Error())
	}
	if f, ok := cloudFault(err); ok && ctx.Err() == nil {
		s.log.Warn("cloud refuses", "err", err, "request", requestID(ctx))
		return huma.NewError(http.StatusBadGateway, f.Error())
	}
	switch {
	case errors.Is(err, mcis.ErrNotFound), errors.Is(err, errNoSuchCloud):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, mcis.ErrNoCloud), errors.Is(err, pki.ErrRequest), errors.Is(err, account.ErrRegion):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, mcis.ErrDeleting), errors.Is(err, errInUse):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, pki.ErrRefused):
		return huma.Error403Forbidden(err.Error())
	case ctx.Err() != nil:
		return huma.NewError(http.StatusServiceUnavailable, "the request was given up")
	}
	s.log.Error("request failed", "err", err, "request", requestID(ctx))
	return huma.Error500InternalServerError("internal error; see the server's log for request " + requestID(ctx))
}

// faultDetails gives every fault its place.
func faultDetails(faults mcis.Faults) []error {
	out := make([]error, 0, len(faults))
	for _, f := range faults {
		location := f.File
		if f.Line > 0 {
			location = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		f.File, f.Line = "", 0
		out = append(out, &huma.ErrorDetail{Location: location, Message: f.String()})
	}
	return out
}

// withoutValues keeps huma from sending back what was wrong with a request: it
// may be a secret.
func withoutValues(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	for _, e := range m.Errors {
		e.Value = nil
	}
	return m, nil
}
