package control_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/node/control"
)

var rtt, when = 1.25, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Path implements control.Pathfinder.
func (b *backend) Path(name string) (control.Path, error) {
	if name != "b" {
		return control.Path{}, &control.Error{Status: http.StatusNotFound, Message: "no peer named " + name}
	}
	return control.Path{
		Name: "b", State: control.StateUp, Path: "public", Class: "public", Endpoint: "192.0.2.1:51820", RTTMs: &rtt, Steers: "a",
		Candidates: []control.Candidate{{
			Endpoint: "192.0.2.1:51820", Kind: "public", Class: "public", LastTried: &when, Tries: 1, Verdict: "in use",
		}},
	}, nil
}

// Why implements control.Pathfinder.
func (b *backend) Why(name string) (control.Why, error) {
	return control.Why{Name: name, Standing: "self", Summary: name + " is this node"}, nil
}

// Routes implements control.Pathfinder.
func (b *backend) Routes() (control.Routes, error) {
	return control.Routes{Interface: "cbn0"}, nil
}

func TestPathRoundTrip(t *testing.T) {
	b := &backend{}
	c := control.Dial(serve(t, b))
	got, err := c.Path(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	want, err := b.Path("b")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Path (-want +got):\n%s", d)
	}
	for _, name := range []string{"x", "../status", "a b?c#d%"} {
		_, err := c.Path(t.Context(), name)
		e, ok := errors.AsType[*control.Error](err)
		if !ok || e.Status != http.StatusNotFound || e.Message != "no peer named "+name {
			t.Errorf("Path of %q: %v, want 404 with the name", name, err)
		}
	}
	if got, err := c.Why(t.Context(), "a"); err != nil || got.Summary != "a is this node" || got.Advice == nil {
		t.Errorf("Why: %+v, %v", got, err)
	}
	if got, err := c.Routes(t.Context()); err != nil || got.Interface != "cbn0" || got.Routes == nil {
		t.Errorf("Routes: %+v, %v", got, err)
	}
}

// TestPathWireForm holds the JSON names that users rely on.
func TestPathWireForm(t *testing.T) {
	path, err := (&backend{}).Path("b")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{
			"path", path,
			`{"name":"b","state":"up","path":"public","class":"public","endpoint":"192.0.2.1:51820","rttMs":1.25,"steers":"a",` +
				`"candidates":[{"endpoint":"192.0.2.1:51820","kind":"public","class":"public","lastTried":"2026-01-02T03:04:05Z",` +
				`"lastAnswered":null,"tries":1,"rttMs":null,"verdict":"in use"}]}`,
		},
		{
			"why", control.Why{Name: "b", Standing: "member", State: control.StateAway, Summary: "s", Findings: []string{"f"}, Advice: []string{"a"}},
			`{"name":"b","standing":"member","state":"away","summary":"s","findings":["f"],"advice":["a"],"candidates":null}`,
		},
		{
			"routes", control.Routes{Interface: "cbn0", Addresses: []string{"10.66.0.1/32"}, Networks: []string{"10.66.0.0/16"},
				Routes: []control.Route{{Prefix: "10.66.0.2/32", Peer: "b", State: control.StateUp}}},
			`{"interface":"cbn0","addresses":["10.66.0.1/32"],"networks":["10.66.0.0/16"],"routes":[{"prefix":"10.66.0.2/32","peer":"b","state":"up"}]}`,
		},
	} {
		got, err := json.Marshal(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
