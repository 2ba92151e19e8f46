package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/node/control"
)

// Path implements control.Pathfinder.
func (b *nodeBackend) Path(name string) (control.Path, error) {
	if name != "b" {
		return control.Path{}, &control.Error{Status: http.StatusNotFound, Message: "no peer named " + name}
	}
	rtt, when := 1.25, time.Now().Add(-2*time.Second)
	return control.Path{
		Name: "b", State: control.StateUp, Path: "public", Class: "public", Endpoint: "192.0.2.1:51820", RTTMs: &rtt, Steers: "a",
		Candidates: []control.Candidate{
			{Endpoint: "10.0.0.1:51820", Kind: "private", Class: "network", LastTried: &when, Tries: 3, Verdict: "no answer"},
			{Endpoint: "192.0.2.1:51820", Kind: "public", Class: "public", LastTried: &when, LastAnswered: &when, RTTMs: &rtt, Verdict: "in use"},
		},
	}, nil
}

// Why implements control.Pathfinder.
func (b *nodeBackend) Why(name string) (control.Why, error) {
	return control.Why{
		Name: name, Standing: "unknown", Summary: "no node named " + name,
		Findings: []string{"nothing was tried"}, Advice: []string{"Did you mean b?"},
	}, nil
}

// Routes implements control.Pathfinder.
func (b *nodeBackend) Routes() (control.Routes, error) {
	return control.Routes{
		Interface: "cbn0", Addresses: []string{"10.66.0.2/32"}, Networks: []string{"10.66.0.0/16", "fd00::/64"},
		Routes: []control.Route{{Prefix: "10.66.0.3/32", Peer: "b", State: control.StateUp}},
	}, nil
}

func TestNodePathTables(t *testing.T) {
	socket := nodeSocket(t, &nodeBackend{})
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{
			"path", []string{"path", "b"},
			`node        b
state       up
path        public 192.0.2.1:51820
class       public
round trip  1.2ms
steered by  a
ENDPOINT         KIND     CLASS    VERDICT    RTT    TRIED   TRIES  ANSWERED
10.0.0.1:51820   private  network  no answer  -      2s ago  3      -
192.0.2.1:51820  public   public   in use     1.2ms  2s ago  -      2s ago
`,
		},
		{"why", []string{"why", "c"}, "no node named c\n  nothing was tried\n* Did you mean b?\n"},
		{
			"routes", []string{"routes"},
			"PREFIX        NODE      STATE\n10.66.0.2/32  this one  -\n10.66.0.3/32  b         up\ncbn0 takes 10.66.0.0/16 and fd00::/64\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := runNode(t, append(tt.args, "--socket", socket)...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, out); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNodePathForms(t *testing.T) {
	b := &nodeBackend{}
	socket := nodeSocket(t, b)
	out, err := runNode(t, "routes", "-o", "json", "--socket", socket)
	var got control.Routes
	if err != nil || json.Unmarshal([]byte(out), &got) != nil {
		t.Fatalf("routes: %v: %s", err, out)
	}
	want, err := b.Routes()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("routes (-want +got):\n%s", d)
	}
	out, err = runNode(t, "why", "c", "-o", "yaml", "--socket", socket)
	if want := "standing: unknown\n"; err != nil || !strings.Contains(out, want) || !strings.Contains(out, "candidates: []\n") {
		t.Errorf("why: %v, want %q in\n%s", err, want, out)
	}
}

func TestNodePathErrors(t *testing.T) {
	socket := nodeSocket(t, &nodeBackend{})
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown", []string{"path", "../x y"}, "path: no peer named ../x y"},
		{"no name", []string{"path"}, "name of one node"},
		{"no name to explain", []string{"why"}, "name of one node"},
		{"too many", []string{"routes", "b"}, "no arguments"},
		{"form", []string{"why", "b", "-o", "xml"}, "want table, json or yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := runNode(t, append(tt.args, "--socket", socket)...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
