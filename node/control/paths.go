package control

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Path is the answer of GET /v1/path/NAME: the way to a peer, and the others
// there are.
type Path struct {
	Name       string      `json:"name"`
	State      PeerState   `json:"state"`
	Path       string      `json:"path"`     // as in Peer
	Class      string      `json:"class"`    // what a byte costs: "network", "lan", "public", "observed", "relay", or empty
	Endpoint   string      `json:"endpoint"` // IP:PORT in use, or empty
	RTTMs      *float64    `json:"rttMs"`    // smoothed round trip in milliseconds, null if not measured
	Steers     string      `json:"steers"`   // the node of the two that tries better addresses
	Candidates []Candidate `json:"candidates"`
}

// Candidate is an address at which a peer may be reached.
type Candidate struct {
	Endpoint     string     `json:"endpoint"`     // IP:PORT
	Kind         string     `json:"kind"`         // "private", "public", "observed", or "heard": the peer came from there
	Class        string     `json:"class"`        // as in Path
	LastTried    *time.Time `json:"lastTried"`    // null if never
	LastAnswered *time.Time `json:"lastAnswered"` // null if never
	Tries        int        `json:"tries"`        // since it last answered
	RTTMs        *float64   `json:"rttMs"`        // smoothed round trip in milliseconds, null if not measured
	Verdict      string     `json:"verdict"`      // "in use", "trying", "works", "no answer", "not tried" or "refused"
}

// Why is the answer of GET /v1/why/NAME: how it stands with a name, in words.
type Why struct {
	Name       string      `json:"name"`
	Standing   string      `json:"standing"` // "member", "self", "unknown", "revoked", "expired", "left" or "refused"
	State      PeerState   `json:"state"`    // of a member, else empty
	Summary    string      `json:"summary"`  // one sentence
	Findings   []string    `json:"findings"` // what was tried, and what came of it
	Advice     []string    `json:"advice"`   // what to do, most promising first
	Candidates []Candidate `json:"candidates"`
}

// Routes is the answer of GET /v1/routes: what the device takes and sends.
type Routes struct {
	Interface string   `json:"interface"`
	Addresses []string `json:"addresses"` // of this node, as prefixes
	Networks  []string `json:"networks"`  // sent into the interface, as prefixes
	Routes    []Route  `json:"routes"`    // sorted by prefix
}

// Route is a prefix that belongs to a peer.
type Route struct {
	Prefix string    `json:"prefix"`
	Peer   string    `json:"peer"`
	State  PeerState `json:"state"` // of the peer
}

// Pathfinder answers how peers are reached. An [*Error] goes to the client with
// its status.
type Pathfinder interface {
	Path(name string) (Path, error)
	Why(name string) (Why, error)
	Routes() (Routes, error)
}

func handlePaths(m *http.ServeMux, b Pathfinder) {
	m.HandleFunc("GET /v1/path/{name}", func(w http.ResponseWriter, r *http.Request) {
		p, err := b.Path(r.PathValue("name"))
		p.Candidates = some(p.Candidates)
		answer(w, p, err)
	})
	m.HandleFunc("GET /v1/why/{name}", func(w http.ResponseWriter, r *http.Request) {
		y, err := b.Why(r.PathValue("name"))
		y.Candidates, y.Findings, y.Advice = some(y.Candidates), some(y.Findings), some(y.Advice)
		answer(w, y, err)
	})
	m.HandleFunc("GET /v1/routes", func(w http.ResponseWriter, _ *http.Request) {
		rs, err := b.Routes()
		rs.Addresses, rs.Networks, rs.Routes = some(rs.Addresses), some(rs.Networks), some(rs.Routes)
		answer(w, rs, err)
	})
}

// some returns a list that is [] in JSON when it is empty, not null.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Path returns the way to a peer, and what became of the others. An [*Error]
// with status 404 says that there is no such peer.
func (c *Client) Path(ctx context.Context, name string) (Path, error) {
	var p Path
	err := c.call(ctx, http.MethodGet, "/v1/path/"+url.PathEscape(name), nil, &p)
	return p, err
}

// Why explains how it stands with a name, also one that nobody knows.
func (c *Client) Why(ctx context.Context, name string) (Why, error) {
	var w Why
	err := c.call(ctx, http.MethodGet, "/v1/why/"+url.PathEscape(name), nil, &w)
	return w, err
}

// Routes returns the prefixes in the device and whose they are.
func (c *Client) Routes(ctx context.Context) (Routes, error) {
	var r Routes
	err := c.call(ctx, http.MethodGet, "/v1/routes", nil, &r)
	return r, err
}
