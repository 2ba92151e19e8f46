package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/server/account"
	"github.com/cbnet-io/cbnet/server/pki"
)

// errNoSuchCloud: the account that a request is about does not exist.
var errNoSuchCloud = errors.New("not found")

// regionInput is the input of questions about a region of an account.
type regionInput struct {
	NameInput
	Region string `query:"region" maxLength:"64" doc:"empty: the account's own one, or all for an inventory"`
}

type sweepInput struct {
	NameInput
	Body api.SweepRequest
}

func (s *Server) accountRoutes() {
	get := func(what, summary string) huma.Operation {
		return operation(http.MethodGet, "/v1/clouds/{name}/"+what, "cloud-"+what, summary)
	}
	huma.Register(s.api, get("check", "Try whether an account works"), s.checkCloud)
	huma.Register(s.api, get("regions", "List the regions of an account"), s.cloudRegions)
	huma.Register(s.api, get("specs", "List the machine types of a region"), s.cloudSpecs)
	huma.Register(s.api, get("images", "List the images of a region"), s.cloudImages)
	huma.Register(s.api, get("inventory", "List what an account holds of the mesh"), s.cloudInventory)
	op := operation(http.MethodPost, "/v1/clouds/{name}/sweep", "cloud-sweep", "List, or delete, what bears the mesh's mark and belongs to no MCIS")
	huma.Register(s.api, streams[api.SweepEvent](s.api, op), s.sweepCloud)
}

// account returns an account as it is stored, and its driver. The error wraps
// errNoSuchCloud and tells the names that are near.
func (s *Server) account(ctx context.Context, name string) (api.Cloud, account.Account, error) {
	list, err := s.clouds.List(ctx)
	if err != nil {
		return api.Cloud{}, account.Account{}, err
	}
	i := slices.IndexFunc(list, func(c api.Cloud) bool { return c.Name == name })
	if i < 0 {
		return api.Cloud{}, account.Account{}, unknownCloud(name, list)
	}
	c, err := s.clouds.Cloud(ctx, name)
	if err != nil {
		return api.Cloud{}, account.Account{}, err
	}
	return list[i], account.Account{Name: name, Driver: c.Driver, Region: c.Region, Mesh: s.pki.UID()}, nil
}

func unknownCloud(name string, known []api.Cloud) error {
	names := make([]string, len(known))
	for i, c := range known {
		names[i] = c.Name
	}
	if len(names) == 0 {
		return fmt.Errorf("cloud %.60q: %w: none was added; add it with: cbctl cloud add", name, errNoSuchCloud)
	}
	return fmt.Errorf("cloud %.60q: %w; near: %s; see cbctl cloud list", name, errNoSuchCloud, strings.Join(cloud.Nearest(name, names, 5), ", "))
}

// ofAccount answers a question about an account within cloudTimeout.
func ofAccount[T any](ctx context.Context, s *Server, name string, answer func(context.Context, api.Cloud, account.Account) (T, error)) (*output[T], error) {
	callCtx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	c, a, err := s.account(callCtx, name)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	out, err := answer(callCtx, c, a)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &output[T]{out}, nil
}

func (s *Server) checkCloud(ctx context.Context, in *regionInput) (*output[api.CloudCheck], error) {
	return ofAccount(ctx, s, in.Name, func(ctx context.Context, c api.Cloud, a account.Account) (api.CloudCheck, error) {
		check, err := a.Check(ctx, in.Region)
		return wireCheck(check, c), err
	})
}

func (s *Server) cloudRegions(ctx context.Context, in *NameInput) (*output[api.CloudRegions], error) {
	return ofAccount(ctx, s, in.Name, func(ctx context.Context, _ api.Cloud, a account.Account) (api.CloudRegions, error) {
		list, err := a.Regions(ctx)
		return wireRegions(list, a.Region), err
	})
}

func (s *Server) cloudSpecs(ctx context.Context, in *regionInput) (*output[api.CloudSpecs], error) {
	return ofAccount(ctx, s, in.Name, func(ctx context.Context, _ api.Cloud, a account.Account) (api.CloudSpecs, error) {
		c, err := a.Specs(ctx, in.Region)
		return wireSpecs(c), err
	})
}

func (s *Server) cloudImages(ctx context.Context, in *regionInput) (*output[api.CloudImages], error) {
	return ofAccount(ctx, s, in.Name, func(ctx context.Context, _ api.Cloud, a account.Account) (api.CloudImages, error) {
		c, err := a.Images(ctx, in.Region)
		return wireImages(c), err
	})
}

func (s *Server) cloudInventory(ctx context.Context, in *regionInput) (*output[api.CloudInventory], error) {
	return ofAccount(ctx, s, in.Name, func(ctx context.Context, _ api.Cloud, a account.Account) (api.CloudInventory, error) {
		inv, err := a.Inventory(ctx, in.Region)
		if err != nil {
			return api.CloudInventory{}, err
		}
		owners, err := s.mcis.Owners(ctx) // after the lists: see there
		return wireInventory(a.Name, inv, owners), err
	})
}

// sweepCloud sweeps for as long as the client listens.
func (s *Server) sweepCloud(ctx context.Context, in *sweepInput) (*huma.StreamResponse, error) {
	_, a, err := s.account(ctx, in.Name)
	if err == nil && in.Body.Region != "" {
		err = s.hasRegion(ctx, a, in.Body.Region)
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	sweep := account.Sweep{
		Owners: s.mcis.Owners, Region: in.Body.Region, DryRun: !in.Body.Delete,
		Grace: sweepGrace, Timeout: time.Duration(in.Body.TimeoutSeconds) * time.Second,
	}
	if g := in.Body.GraceSeconds; g != nil {
		sweep.Grace = time.Duration(*g) * time.Second
	}
	remote := remoteAddr(ctx)
	return s.stream(func(ctx context.Context, out *eventWriter) error { return s.sweep(ctx, a, sweep, remote, out) }), nil
}

// hasRegion refuses a region that the account does not have.
func (s *Server) hasRegion(ctx context.Context, a account.Account, region string) error {
	ctx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	regions, err := a.Regions(ctx)
	if err == nil {
		_, err = a.Choose(region, regions)
	}
	return err
}

// sweep sweeps and tells a client of every step. Its error is the stream's.
func (s *Server) sweep(ctx context.Context, a account.Account, sweep account.Sweep, remote string, out *eventWriter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := make(chan error, 1)
	go func() { alive <- keepStream(ctx, out) }()
	var lost error
	sweep.Report = func(step account.Step) {
		if err := out.send(0, wireStep(a.Name, step)); err != nil && lost == nil {
			lost = err
			cancel() // the client is gone
		}
	}
	audit := func(detail string) {
		if !sweep.DryRun {
			s.pki.Audit(context.WithoutCancel(ctx), pki.Entry{Action: "cloud sweep", Object: a.Name, Remote: remote, Outcome: pki.Done, Detail: detail})
		}
	}
	audit("begins")
	swept, err := a.Sweep(ctx, sweep)
	audit(sweptDetail(swept, err))
	cancel()
	if err := errors.Join(<-alive, lost); err != nil {
		return err
	}
	if err != nil {
		return out.send(0, api.SweepEvent{Step: stepDone, Error: s.told(err)})
	}
	for _, e := range wireSwept(a.Name, swept, !sweep.DryRun) {
		if err := out.send(0, e); err != nil {
			return err
		}
	}
	return nil
}

// told says what a client may know of the error of a sweep.
func (s *Server) told(err error) string {
	if f, ok := cloudFault(err); ok {
		return f.Error()
	}
	s.log.Error("sweep is given up", "err", err)
	return "the sweep is given up; see the server's log"
}

// sweptDetail says in a line what a sweep came to.
func sweptDetail(swept account.Swept, err error) string {
	n := make(map[string]int)
	for _, o := range swept.Orphans {
		n[o.Outcome]++
	}
	text := fmt.Sprintf("%d gone, %d left, %d regions did not answer", n[account.Gone], n[account.Left], len(swept.Failed))
	if err != nil {
		text += "; given up"
	}
	return text
}
