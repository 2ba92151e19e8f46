package alibaba_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// protocol are the parameters of every request, which the SDK itself sends.
var protocol = []string{
	"Action", "Version", "Format", "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureType",
	"SignatureNonce", "Timestamp", "SecurityToken",
}

// call names an action of one of the vendor's products.
type call struct {
	Product string `json:"product"`
	Action  string `json:"action"`
}

// tape holds the names of the parameters of requests.
type tape struct {
	mu   sync.Mutex // guards seen
	seen map[call][]map[string]bool
}

// recorder notes requests that pass.
type recorder struct {
	*tape
	next http.RoundTripper
}

var listNumber = regexp.MustCompile(`\.[0-9]+(\.|$)`)

// RoundTrip implements http.RoundTripper.
func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	q := req.URL.Query()
	names := map[string]bool{}
	for k, v := range q {
		if !slices.Contains(protocol, k) && v[0] != "" {
			names[listNumber.ReplaceAllString(k, ".N$1")] = true
		}
	}
	c := call{Product: map[string]string{"2014-05-26": "ecs", "2016-04-28": "vpc"}[q.Get("Version")], Action: q.Get("Action")}
	r.mu.Lock()
	r.seen[c] = append(r.seen[c], names)
	r.mu.Unlock()
	return r.next.RoundTrip(req)
}

// model is what the vendor's Node SDK says of an action.
type model struct {
	Params   []string `json:"params"`
	Required []string `json:"required"`
}

// readModels asks the vendor's Node SDK about actions.
func readModels(t *testing.T, calls []call) map[string]model {
	t.Helper()
	modules := simtest.NeedNode(t, "../..", "alibaba", "@alicloud/ecs20140526")
	var lines, errs bytes.Buffer
	for _, c := range calls {
		if err := json.NewEncoder(&lines).Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "../../test/cloudsim/alibaba/node/models.js")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin, cmd.Stderr = &lines, &errs
	out, err := cmd.Output()
	models := map[string]model{}
	if err == nil {
		err = json.Unmarshal(out, &models)
	}
	if err != nil {
		t.Fatalf("node models.js: %v\n%s", err, errs.String())
	}
	return models
}

// judge has the vendor's Node SDK judge the requests on a tape: its models name
// every parameter, and every one that they call required is there.
func (r *tape) judge(t *testing.T) {
	calls := slices.SortedFunc(maps.Keys(r.seen), func(a, b call) int { return cmp.Compare(a.Product+a.Action, b.Product+b.Action) })
	models := readModels(t, calls)
	requests := 0
	for _, c := range calls {
		m := models[c.Product+" "+c.Action]
		requests += len(r.seen[c])
		for _, names := range r.seen[c] {
			for _, n := range slices.Sorted(maps.Keys(names)) {
				// The SDK sends the region with every request; where an id says it
				// all, the model does without.
				if !slices.Contains(m.Params, n) && n != "RegionId" {
					t.Fatalf("%s %s: the model names no parameter %s", c.Product, c.Action, n)
				}
			}
			for _, n := range m.Required {
				if !names[n] && !names[n+".N"] {
					t.Fatalf("%s %s: the required %s is not among %v", c.Product, c.Action, n, slices.Sorted(maps.Keys(names)))
				}
			}
		}
	}
	t.Logf("%d actions in %d requests", len(calls), requests)
	if want := 29; len(calls) != want {
		t.Errorf("%d actions were recorded, and the driver has %d: %v", len(calls), want, calls)
	}
}
