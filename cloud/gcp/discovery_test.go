package gcp_test

import (
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/gcp/discovery"
)

// google checks the traffic of drivers against Google's discovery document of
// Compute Engine.
type google struct {
	api *discovery.API

	mu         sync.Mutex // guards the field below
	transports []*discovery.Transport
}

// document loads the document, which is in the module that the SDK itself needs.
var document = sync.OnceValues(func() (*discovery.API, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return discovery.Load(filepath.Join(strings.TrimSpace(string(dir)), "compute", "v1", "compute-api.json"))
})

// newGoogle says at the end of the test what was checked.
func newGoogle(t *testing.T) *google {
	t.Helper()
	api, err := document()
	if err != nil {
		t.Fatal(err)
	}
	g := &google{api: api}
	t.Cleanup(func() {
		calls := map[string]int{}
		n := 0
		for _, tr := range g.transports {
			for m, k := range tr.Calls() {
				calls[m] += k
				n += k
			}
		}
		var lines []string
		for _, m := range slices.Sorted(maps.Keys(calls)) {
			lines = append(lines, fmt.Sprintf("%s %d", m, calls[m]))
		}
		t.Logf("%d requests and replies of %d methods checked against revision %s of the discovery document:\n%s",
			n, len(calls), api.Revision, strings.Join(lines, "\n"))
		if n == 0 {
			t.Error("nothing was checked")
		}
	})
	return g
}

// check returns a transport that fails the test when a request or a reply is not
// as described.
func (g *google) check(t testing.TB, next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	tr := g.api.Transport(next, func(err error) { t.Errorf("not as Google describes it: %v", err) })
	g.mu.Lock()
	g.transports = append(g.transports, tr)
	g.mu.Unlock()
	return tr
}
