package node

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/node/control"
)

// pathfinder is what a node asks its mesh about the ways to peers.
type pathfinder interface {
	Way(name string) (protocol.Way, bool)
	Why(name string) protocol.Case
	Routes() (own, networks []netip.Prefix, routes []mesh.Route)
}

// Path implements control.Pathfinder.
func (b backend) Path(name string) (control.Path, error) {
	f, err := b.n.running()
	if err != nil {
		return control.Path{}, err
	}
	w, ok := f.Way(name)
	if !ok {
		return control.Path{}, &control.Error{Status: http.StatusNotFound, Message: fmt.Sprintf(
			"no peer named %.80q: see `cbctl node peers` and `cbctl node why`", name)}
	}
	p := control.Path{
		Name: w.Name, State: control.PeerState(w.State), Path: w.Path, Class: w.Class, RTTMs: rttMillis(w.RTT),
		Steers: w.Steers, Candidates: toCandidates(w.Candidates),
	}
	if w.Endpoint.IsValid() {
		p.Endpoint = w.Endpoint.String()
	}
	return p, nil
}

// Why implements control.Pathfinder.
func (b backend) Why(name string) (control.Why, error) {
	f, err := b.n.running()
	if err != nil {
		return control.Why{}, err
	}
	c := f.Why(name)
	e := c.Explain()
	return control.Why{
		Name: name, Standing: string(c.Standing), State: control.PeerState(c.Way.State),
		Summary: e.Summary, Findings: e.Findings, Advice: e.Advice, Candidates: toCandidates(c.Way.Candidates),
	}, nil
}

// Routes implements control.Pathfinder.
func (b backend) Routes() (control.Routes, error) {
	f, err := b.n.running()
	if err != nil {
		return control.Routes{}, err
	}
	own, networks, routes := f.Routes()
	r := control.Routes{Interface: b.n.c.Interface, Addresses: texts(own), Networks: texts(networks)}
	for _, x := range routes {
		r.Routes = append(r.Routes, control.Route{Prefix: x.Prefix.String(), Peer: x.Peer, State: control.PeerState(x.State)})
	}
	return r, nil
}

func texts(ps []netip.Prefix) (out []string) {
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

func toCandidates(cs []protocol.Candidate) (out []control.Candidate) {
	for _, c := range cs {
		out = append(out, control.Candidate{
			Endpoint: c.Endpoint.String(), Kind: c.Kind, Class: c.Class, LastTried: when(c.Tried), LastAnswered: when(c.Answered),
			Tries: c.Tries, RTTMs: rttMillis(c.RTT), Verdict: string(c.Verdict),
		})
	}
	return out
}

// when returns a time as JSON has it, nil for never.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// rttMillis returns a round trip as JSON has it, nil for one never measured.
func rttMillis(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	ms := millis(d)
	return &ms
}
