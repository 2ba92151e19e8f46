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
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/node/remote"
	"github.com/cbnet-io/cbnet/server/pki"
)

type execInput struct {
	NameInput
	Body api.ExecRequest
}

func (s *Server) execRoutes() {
	op := operation(http.MethodPost, "/v1/mcis/{name}/exec", "exec", "Run a command on nodes of an MCIS")
	huma.Register(s.api, streams[api.ExecOutput](s.api, op), s.exec)
}

func (s *Server) exec(ctx context.Context, in *execInput) (*huma.StreamResponse, error) {
	st, err := s.mcis.Status(ctx, in.Name)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	nodes, err := selectNodes(st, in.Body)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	s.pki.Audit(ctx, pki.Entry{
		Action: "exec", Object: in.Name, Node: strings.Join(names, ","), Remote: remoteAddr(ctx), Outcome: pki.Done,
		Detail: in.Body.Command[0], // not the arguments: they may hold secrets
	})
	return s.stream(func(ctx context.Context, out *eventWriter) error {
		return s.execAll(ctx, nodes, in.Body.Command, out)
	}), nil
}

// selectNodes returns the nodes that a request names.
func selectNodes(st mcis.Status, req api.ExecRequest) ([]mcis.NodeStatus, error) {
	var out []mcis.NodeStatus
	missing := slices.Clone(req.Nodes)
	for _, n := range st.Nodes {
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == n.Name })
		if req.Group != "" && n.Group != req.Group {
			continue
		}
		if len(req.Nodes) > 0 && !slices.Contains(req.Nodes, n.Name) {
			continue
		}
		out = append(out, n)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("mcis %s has no node %s", st.Name, strings.Join(missing, ", "))
	}
	if len(out) == 0 && req.Group != "" {
		return nil, fmt.Errorf("mcis %s has no such nodes in group %s", st.Name, req.Group)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("mcis %s has no nodes", st.Name)
	}
	return out, nil
}

// execAll runs the command everywhere and ends with an event without a node.
func (s *Server) execAll(ctx context.Context, nodes []mcis.NodeStatus, command []string, out *eventWriter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var alive, all errgroup.Group
	alive.Go(func() error { return keepStream(ctx, out) })
	all.SetLimit(execParallel)
	for _, n := range nodes {
		all.Go(func() error {
			err := s.execOn(ctx, n, command, out)
			if err != nil {
				cancel() // the client is gone: end the others too
			}
			return err
		})
	}
	err := all.Wait()
	cancel()
	if err := errors.Join(err, alive.Wait()); err != nil {
		return err
	}
	return out.send(0, api.ExecOutput{})
}

// keepStream sends a comment now and then until ctx ends.
func keepStream(ctx context.Context, out *eventWriter) error {
	t := time.NewTicker(keepAlive)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := out.comment(); err != nil {
				return err
			}
		}
	}
}

// execOn runs the command on one node. Its error is the stream's, not the
// command's: that goes to the client.
func (s *Server) execOn(ctx context.Context, n mcis.NodeStatus, command []string, out *eventWriter) error {
	ip, ok := s.members.Joined(n.Name)
	if !ok {
		return out.send(0, api.ExecOutput{Node: n.Name, Error: "the node is not in the mesh now"})
	}
	write := func(stream func([]byte) api.ExecOutput) writerFunc {
		return func(p []byte) (int, error) { return len(p), out.send(0, stream(p)) }
	}
	code, err := s.remote.Exec(ctx, remote.At(n.Name, ip), remote.Command{
		Args:   command,
		Stdout: write(func(p []byte) api.ExecOutput { return api.ExecOutput{Node: n.Name, Stdout: p} }),
		Stderr: write(func(p []byte) api.ExecOutput { return api.ExecOutput{Node: n.Name, Stderr: p} }),
	})
	if err != nil {
		return out.send(0, api.ExecOutput{Node: n.Name, Error: err.Error()})
	}
	return out.send(0, api.ExecOutput{Node: n.Name, Exit: &code})
}

// writerFunc is a function that is an io.Writer.
type writerFunc func(p []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
