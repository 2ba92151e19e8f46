package servertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server"
)

// MCIS is a service without clouds: an apply is accepted, and ends when the test
// says so. It parses specs as the real one does.
type MCIS struct {
	clouds *server.Clouds

	mu   sync.Mutex // guards the fields below
	all  map[string]mcis.Status
	subs map[chan mcis.Event]struct{}
	auto bool
}

var _ server.MCIS = (*MCIS)(nil)

// NewMCIS returns a service that knows the given accounts.
func NewMCIS(c *server.Clouds) *MCIS {
	return &MCIS{clouds: c, all: make(map[string]mcis.Status), subs: make(map[chan mcis.Event]struct{})}
}

// Auto makes every run end well at once.
func (m *MCIS) Auto() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.auto = true
}

// Parse implements server.Planner.
func (m *MCIS) Parse(ctx context.Context, file string, data []byte) ([]mcis.Spec, error) {
	specs, err := mcis.ParseSpec(file, data)
	if err != nil {
		return nil, err
	}
	var faults mcis.Faults
	for _, s := range specs {
		for i, g := range s.Groups {
			if _, err := m.clouds.Cloud(ctx, g.Cloud); err != nil {
				path := fmt.Sprintf("groups[%d].cloud", i)
				faults = append(faults, mcis.Fault{File: file, Line: s.Line(path), Path: path, What: err.Error()})
			}
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return specs, nil
}

// Plan implements server.Planner. An MCIS named "panic" makes it panic, and a
// cloud that refuses to name its regions makes it fail.
func (m *MCIS) Plan(ctx context.Context, spec mcis.Spec) (mcis.Plan, error) {
	if spec.Name == "panic" {
		panic("as asked for")
	}
	for _, g := range spec.Groups {
		c, err := m.clouds.Cloud(ctx, g.Cloud)
		if err != nil {
			return mcis.Plan{}, err
		}
		if _, err := c.Driver.Regions(ctx); err != nil {
			return mcis.Plan{}, &mcis.CloudError{Cloud: g.Cloud, Object: "regions", Err: err}
		}
	}
	p := mcis.Plan{MCIS: spec.Name}
	for _, n := range nodes(spec) {
		p.Steps = append(p.Steps, mcis.Step{Action: mcis.ActionCreate, Kind: "vm", Name: n.Name, Group: n.Group, Cloud: n.Cloud, Region: n.Region})
		p.Unpriced++
	}
	return p, nil
}

func nodes(spec mcis.Spec) []mcis.NodeStatus {
	var out []mcis.NodeStatus
	for _, g := range spec.Groups {
		for i := range g.Count {
			out = append(out, mcis.NodeStatus{
				Name: fmt.Sprintf("%s-%s-%d", spec.Name, g.Name, i+1), Group: g.Name, Cloud: g.Cloud, Region: g.Region, Phase: mcis.NodePlanned,
			})
		}
	}
	return out
}

// Apply implements server.MCIS.
func (m *MCIS) Apply(_ context.Context, spec mcis.Spec) (mcis.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok := m.all[spec.Name]
	if ok && !st.Phase.Settled() {
		return st, nil
	}
	st.Name, st.UID, st.Run, st.Phase, st.Since = spec.Name, "uid-"+spec.Name, st.Run+1, mcis.PhaseApplying, time.Now()
	st.Nodes = nodes(spec)
	st.Desired = len(st.Nodes)
	m.all[spec.Name] = st
	m.publishLocked(mcis.Event{MCIS: spec.Name, Run: st.Run, Phase: st.Phase, Step: "plan", Message: "accepted"})
	if m.auto {
		m.finishLocked(spec.Name, mcis.PhaseReady)
	}
	return st, nil
}

// failedConsole is the console of every failed node: twelve lines, with what a
// machine might send to the terminal of whoever reads it.
const failedConsole = "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\nline 9\nline 10\n\x1b[2Jline 11\ncbnetd: no route to host\n"

// Finish ends the run of an MCIS in a phase; every node is ready if it is
// PhaseReady, and otherwise failed.
func (m *MCIS) Finish(name string, phase mcis.Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finishLocked(name, phase)
}

func (m *MCIS) finishLocked(name string, phase mcis.Phase) {
	st := m.all[name]
	st.Phase, st.Nodes = phase, slices.Clone(st.Nodes)
	for i := range st.Nodes {
		st.Nodes[i].Phase, st.Nodes[i].Reason, st.Nodes[i].Console = mcis.NodeFailed, "did not join", failedConsole
		if phase == mcis.PhaseReady {
			st.Nodes[i].Phase, st.Nodes[i].Reason, st.Nodes[i].Console = mcis.NodeReady, "", ""
		}
	}
	if phase == mcis.PhaseReady {
		st.Ready = st.Desired
	}
	m.all[name] = st
	m.publishLocked(mcis.Event{MCIS: name, Run: st.Run, Phase: phase, Step: "done", Message: string(phase)})
}

// Delete implements server.MCIS.
func (m *MCIS) Delete(_ context.Context, name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok := m.all[name]
	if !ok {
		return false, nil
	}
	st.Run++
	st.Phase = mcis.PhaseDeleting
	m.all[name] = st
	m.publishLocked(mcis.Event{MCIS: name, Run: st.Run, Phase: st.Phase, Step: "delete", Message: "accepted"})
	if m.auto {
		m.goneLocked(name)
	}
	return true, nil
}

// Gone ends the delete of an MCIS.
func (m *MCIS) Gone(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.goneLocked(name)
}

func (m *MCIS) goneLocked(name string) {
	run := m.all[name].Run
	delete(m.all, name)
	m.publishLocked(mcis.Event{MCIS: name, Run: run, Phase: mcis.PhaseDeleting, Step: "done", Message: "gone", Gone: true})
}

// Publish sends an event to whoever watches.
func (m *MCIS) Publish(e mcis.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.publishLocked(e)
}

func (m *MCIS) publishLocked(e mcis.Event) {
	e.Time = time.Now().UTC()
	for ch := range m.subs {
		select {
		case ch <- e:
		default:
		}
	}
}

// Status implements server.MCIS.
func (m *MCIS) Status(_ context.Context, name string) (mcis.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok := m.all[name]
	if !ok {
		return mcis.Status{}, fmt.Errorf("mcis %s: %w", name, mcis.ErrNotFound)
	}
	return st, nil
}

// List implements server.MCIS.
func (m *MCIS) List(context.Context) ([]mcis.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []mcis.Status
	for _, st := range m.all {
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b mcis.Status) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Owners implements server.MCIS: the uid of an MCIS is "uid-" and its name.
func (m *MCIS) Owners(context.Context) (mcis.Owners, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[string]string)
	for name, st := range m.all {
		names[st.UID] = name
	}
	return mcis.NewOwners(names), nil
}

// Watch implements server.MCIS.
func (m *MCIS) Watch(ctx context.Context, _ string) <-chan mcis.Event {
	ch := make(chan mcis.Event, 4096)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subs[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.subs, ch)
		close(ch)
	})
	return ch
}
