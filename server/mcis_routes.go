package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/pki"
)

type fileInput struct{ Body api.SpecFile }

type watchInput struct {
	NameInput
	After string `header:"Last-Event-ID" doc:"number of the last event the client has seen"`
}

func (s *Server) mcisRoutes() {
	huma.Register(s.api, operation(http.MethodPost, "/v1/plan", "plan", "Say what an apply would do"), s.plan)
	huma.Register(s.api, operation(http.MethodPost, "/v1/mcis", "apply", "Make what a file says"), s.apply)
	huma.Register(s.api, operation(http.MethodGet, "/v1/mcis", "list-mcis", "List every MCIS"), s.listMCIS)
	huma.Register(s.api, operation(http.MethodGet, "/v1/mcis/{name}", "mcis-status", "Status of an MCIS"), s.statusMCIS)
	huma.Register(s.api, operation(http.MethodDelete, "/v1/mcis/{name}", "delete-mcis", "Delete an MCIS and all it made"), s.deleteMCIS)
	op := operation(http.MethodGet, "/v1/mcis/{name}/events", "watch-mcis", "Watch an MCIS; resume with Last-Event-ID")
	huma.Register(s.api, streams[api.Event](s.api, op), s.watchMCIS)
}

func (s *Server) parse(ctx context.Context, in *fileInput) ([]mcis.Spec, error) {
	file := in.Body.File
	if file == "" {
		file = "-"
	}
	return s.mcis.Parse(ctx, file, []byte(in.Body.YAML))
}

func (s *Server) plan(ctx context.Context, in *fileInput) (*output[api.PlanList], error) {
	specs, err := s.parse(ctx, in)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	out := api.PlanList{Plans: make([]api.Plan, 0, len(specs))}
	for _, spec := range specs {
		p, err := s.mcis.Plan(ctx, spec)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		out.Plans = append(out.Plans, wirePlan(p))
	}
	return &output[api.PlanList]{out}, nil
}

// apply checks every document of the file before it starts any.
func (s *Server) apply(ctx context.Context, in *fileInput) (*output[api.RunList], error) {
	specs, err := s.parse(ctx, in)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	for _, spec := range specs {
		st, err := s.mcis.Status(ctx, spec.Name)
		if err == nil && st.Phase == mcis.PhaseDeleting {
			return nil, s.problem(ctx, fmt.Errorf("mcis %s %w; apply again when it is gone", spec.Name, mcis.ErrDeleting))
		}
		if err != nil && !errors.Is(err, mcis.ErrNotFound) {
			return nil, s.problem(ctx, err)
		}
	}
	after := s.history.now()
	out := api.RunList{Runs: make([]api.Run, 0, len(specs))}
	for _, spec := range specs {
		st, err := s.mcis.Apply(ctx, spec)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		s.pki.Audit(ctx, pki.Entry{Action: "apply", Object: spec.Name, Remote: remoteAddr(ctx), Outcome: pki.Done, Detail: fmt.Sprintf("run %d", st.Run)})
		out.Runs = append(out.Runs, api.Run{Name: spec.Name, Run: st.Run, After: after})
	}
	return &output[api.RunList]{out}, nil
}

func (s *Server) listMCIS(ctx context.Context, _ *noInput) (*output[api.MCISList], error) {
	list, err := s.mcis.List(ctx)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	out := api.MCISList{MCIS: make([]api.MCIS, 0, len(list))}
	for _, st := range list {
		out.MCIS = append(out.MCIS, wireMCIS(st))
	}
	return &output[api.MCISList]{out}, nil
}

func (s *Server) statusMCIS(ctx context.Context, in *NameInput) (*output[api.MCIS], error) {
	st, err := s.mcis.Status(ctx, in.Name)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &output[api.MCIS]{wireMCIS(st)}, nil
}

func (s *Server) deleteMCIS(ctx context.Context, in *NameInput) (*output[api.Run], error) {
	after := s.history.now()
	found, err := s.mcis.Delete(ctx, in.Name)
	if err == nil && !found {
		err = fmt.Errorf("mcis %s: %w", in.Name, mcis.ErrNotFound)
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	s.pki.Audit(ctx, pki.Entry{Action: "delete", Object: in.Name, Remote: remoteAddr(ctx), Outcome: pki.Done})
	run := api.Run{Name: in.Name, After: after}
	st, err := s.mcis.Status(ctx, in.Name)
	if err != nil && !errors.Is(err, mcis.ErrNotFound) {
		return nil, s.problem(ctx, err)
	}
	run.Run = st.Run // 0 when it is gone already: any event of it will do
	return &output[api.Run]{run}, nil
}

func (s *Server) watchMCIS(ctx context.Context, in *watchInput) (*huma.StreamResponse, error) {
	var after uint64
	if in.After != "" {
		var err error
		if after, err = strconv.ParseUint(in.After, 10, 64); err != nil {
			return nil, huma.Error422UnprocessableEntity("Last-Event-ID: want the number of an event")
		}
	}
	if _, err := s.mcis.Status(ctx, in.Name); err != nil {
		missed, _ := s.history.since(in.Name, after)
		if !errors.Is(err, mcis.ErrNotFound) || len(missed) == 0 {
			return nil, s.problem(ctx, err)
		}
	}
	return s.stream(func(ctx context.Context, out *eventWriter) error {
		return s.history.follow(ctx, watch{
			name: in.Name, after: after,
			state: func(ctx context.Context) (api.Event, error) { return s.state(ctx, in.Name) },
			send:  func(e api.Event) error { return out.send(e.Number, e) },
			idle:  out.comment,
		})
	}), nil
}

// state says where an MCIS stands.
func (s *Server) state(ctx context.Context, name string) (api.Event, error) {
	e := api.Event{Time: time.Now().UTC(), MCIS: name, Step: stepState}
	st, err := s.mcis.Status(ctx, name)
	if errors.Is(err, mcis.ErrNotFound) {
		e.Message, e.Done, e.Gone = "gone", true, true
		return e, nil
	}
	if err != nil {
		return e, err
	}
	e.Run, e.Phase, e.Done = st.Run, string(st.Phase), st.Phase.Settled()
	e.Message = fmt.Sprintf("%d of %d nodes ready", st.Ready, st.Desired)
	return e, nil
}
