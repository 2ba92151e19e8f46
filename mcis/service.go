package mcis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/store/kv"
)

// Service applies, watches and deletes MCIS. Make it with [New] and let it work
// with [Service.Run].
type Service struct {
	store    Store
	clouds   Clouds
	enroller Enroller
	members  Members
	mesh     Mesh
	daemon   Daemon
	opt      Options
	log      *slog.Logger

	hub    hub
	joined broadcast // woken when the mesh changes

	mu      sync.Mutex
	workers map[string]*worker  // guarded by mu: of each MCIS with an open run, while Run runs
	pending map[string]struct{} // guarded by mu: wanted and not yet seen by Run
	wake    chan struct{}       // one deep: pending is not empty
}

// New returns a service. It touches nothing.
func New(d Deps) (*Service, error) {
	switch {
	case d.Store == nil || d.Clouds == nil || d.Enroller == nil || d.Members == nil:
		return nil, errors.New("mcis: store, clouds, enroller and members are needed")
	case d.Mesh.UID == "" || !d.Mesh.CIDR.IsValid():
		return nil, errors.New("mcis: the mesh has no uid or no prefix")
	case d.Daemon.URL == "" || len(d.Daemon.SHA256) != 64:
		return nil, errors.New("mcis: the daemon's URL and SHA-256 are needed")
	}
	log := d.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d.Daemon.Interface = cmp.Or(d.Daemon.Interface, "cbn0")
	d.Daemon.Port = cmp.Or(d.Daemon.Port, 51820)
	return &Service{
		store: d.Store, clouds: d.Clouds, enroller: d.Enroller, members: d.Members,
		mesh: d.Mesh, daemon: d.Daemon, opt: d.Options.withDefaults(), log: log,
		workers: make(map[string]*worker),
		pending: make(map[string]struct{}),
		wake:    make(chan struct{}, 1),
	}, nil
}

// Apply records spec as what is wanted and has Run see to it. It returns at
// once: follow with [Service.Watch] or [Service.Status] until the phase is
// settled. The same spec while its run is under way attaches to that run; a
// changed spec supersedes it. The error is [Faults] when the spec is wrong
// against the state of the server and wraps [ErrDeleting] while a delete is
// under way.
func (s *Service) Apply(ctx context.Context, spec Spec) (Status, error) {
	faults, err := s.check(ctx, &spec)
	if err != nil {
		return Status{}, err
	}
	if err := faults.sorted(); err != nil {
		return Status{}, err
	}
	for {
		kick, err := s.want(ctx, spec)
		if errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrExists) {
			continue // another call was faster: look again
		}
		if err != nil {
			return Status{}, err
		}
		st, err := s.Status(ctx, spec.Name) // as accepted, unless an older run takes it up already
		if kick {
			s.kick(spec.Name)
		}
		return st, err
	}
}

// want writes the record of a new run and reports whether there is one.
func (s *Service) want(ctx context.Context, spec Spec) (bool, error) {
	r, err := s.load(ctx, spec.Name)
	switch {
	case errors.Is(err, ErrNotFound):
		r = &record{Format: recordFormat, Name: spec.Name, UID: newUID()}
	case err != nil:
		return false, err
	case r.Phase == PhaseDeleting:
		return false, fmt.Errorf("mcis %s %w", spec.Name, ErrDeleting)
	case r.Hash == spec.hash() && !r.Phase.Settled():
		return false, nil
	}
	r.Run++
	r.Spec, r.Hash = spec, spec.hash()
	r.Phase, r.Reason, r.Since, r.UpToDate, r.Left = PhasePlanning, "", time.Now(), false, ""
	if err := s.save(ctx, r); err != nil {
		return false, err
	}
	s.publish(r, Event{Step: "plan", Message: "accepted"})
	return true, nil
}

// save writes a record over the revision it was read at; ErrConflict or
// ErrExists when another has written it since.
func (s *Service) save(ctx context.Context, r *record) error {
	op := kv.Update(recordKey(r.Name), encode(r), r.revision)
	if r.revision == 0 {
		op = kv.Create(op.Key, op.Value)
	}
	if err := s.store.Txn(ctx, op); err != nil {
		return fmt.Errorf("record of mcis %s: %w", r.Name, err)
	}
	return nil
}

// Delete records that the MCIS is to go and has Run see to it. It returns at
// once; [ErrNotFound] from [Service.Status], or an event with Gone, tells that
// nothing is left. found is false when there is no such MCIS, which is no error.
func (s *Service) Delete(ctx context.Context, name string) (found bool, err error) {
	for {
		r, err := s.load(ctx, name)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if r.Phase == PhaseDeleting {
			return true, nil
		}
		r.Run++
		r.Phase, r.Reason, r.Since = PhaseDeleting, "", time.Now()
		err = s.save(ctx, r)
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return false, err
		}
		s.publish(r, Event{Step: "delete", Message: "accepted"})
		s.kick(name)
		return true, nil
	}
}

// Status returns an MCIS as it is now; [ErrNotFound] when there is none.
func (s *Service) Status(ctx context.Context, name string) (Status, error) {
	r, err := s.load(ctx, name)
	if err != nil {
		return Status{}, err
	}
	nodes, err := s.loadNodes(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return s.status(r, nodes), nil
}

// List returns all MCIS, sorted by name.
func (s *Service) List(ctx context.Context) ([]Status, error) {
	records, err := s.loadAll(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(records))
	for _, r := range records {
		nodes, err := s.loadNodes(ctx, r.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, s.status(r, nodes))
	}
	return out, nil
}

// Watch returns the progress events of an MCIS (name "" = of all) from now on.
// The channel holds the last few hundred: a slow reader loses the oldest and
// holds up nobody. It is closed when ctx ends.
func (s *Service) Watch(ctx context.Context, name string) <-chan Event {
	return s.hub.subscribe(ctx, name)
}

// status combines what is recorded with what the mesh sees now.
func (s *Service) status(r *record, nodes map[string]*nodeRecord) Status {
	st := Status{
		Name: r.Name, UID: r.UID, Run: r.Run, Phase: r.Phase, Reason: r.Reason,
		Since: r.Since, Nodes: []NodeStatus{},
	}
	for _, w := range wantedNodes(r.Spec) {
		if n, ok := nodes[w.Name]; !ok && r.Phase != PhaseDeleting {
			st.Nodes = append(st.Nodes, nodeStatus(&nodeRecord{Want: w, Phase: NodePlanned}))
		} else if ok {
			n.Want.Labels = w.Labels
		}
		st.Desired++
	}
	failed, unreachable := 0, 0
	for _, n := range nodes {
		ns := s.liveStatus(n, r.Phase)
		switch ns.Phase {
		case NodeReady:
			st.Ready++
		case NodeUnreachable:
			unreachable++
		default:
			failed++
		}
		st.Nodes = append(st.Nodes, ns)
	}
	switch {
	case st.Phase == PhaseDeleting:
		st.Desired = 0
	case st.Phase == PhaseReady && unreachable > 0:
		st.Phase = PhaseDegraded
		st.Reason = fmt.Sprintf("%d of %d nodes are not seen in the mesh", unreachable, st.Desired)
	case st.Phase.Settled() && st.Ready == st.Desired && failed+unreachable == 0 && r.Rollback == "" && r.UpToDate:
		st.Phase, st.Reason = PhaseReady, "" // the last ones came after the deadline
		if r.Left != "" {
			st.Phase, st.Reason = PhaseDegraded, r.Left
		}
	}
	slices.SortFunc(st.Nodes, func(a, b NodeStatus) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Region, b.Region),
			cmp.Compare(len(a.Name), len(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return st
}

// liveStatus is what is recorded of a node with what the mesh sees of it.
func (s *Service) liveStatus(n *nodeRecord, phase Phase) NodeStatus {
	ns := nodeStatus(n)
	if phase == PhaseDeleting {
		ns.Phase = NodeDeleting
		return ns
	}
	ip, joined := s.members.Joined(n.Want.Name)
	switch {
	case joined && (n.Phase == NodeReady || n.Phase == NodeFailed && n.ID != ""):
		ns.Phase, ns.IP, ns.Reason, ns.Console = NodeReady, ip, "", ""
	case n.Phase == NodeReady:
		ns.Phase, ns.Reason = NodeUnreachable, "not seen in the mesh"
	}
	return ns
}

func nodeStatus(n *nodeRecord) NodeStatus {
	return NodeStatus{
		Name: n.Want.Name, Group: n.Want.Group, Cloud: n.Want.Cloud, Region: n.Want.Region,
		Zone: n.Zone, ID: n.ID, IP: n.IP, PublicIP: n.PublicIP, PrivateIP: n.Want.PrivateIP,
		Phase: n.Phase, Reason: n.Reason, Console: n.Console, CostPerHour: n.CostPerHour,
		Labels: n.Want.Labels,
	}
}

// publish fills the common fields of e and hands it on.
func (s *Service) publish(r *record, e Event) {
	e.Time, e.MCIS, e.Run, e.Phase = time.Now(), r.Name, r.Run, r.Phase
	s.hub.publish(e)
}
