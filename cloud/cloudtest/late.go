package cloudtest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"
)

// createsVM matches the calls that create a machine, as [changing] names them:
// EC2's and Alibaba's, Nova's, Compute Engine's, Azure's.
var createsVM = regexp.MustCompile(`^(RunInstances|POST .*/(servers|instances)|PUT .*/virtualMachines/[^/]+)$`)

// late holds back the first request that creates a machine: the caller sees a
// lost connection, and the cloud sees the request when release is called. So
// does a request that a killed process left on its way.
type late struct {
	mu   sync.Mutex // guards the fields below
	held *http.Request
	used bool
}

// RoundTrip implements http.RoundTripper.
func (l *late) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	call := changing(req, body)
	l.mu.Lock()
	hold := !l.used && createsVM.MatchString(call)
	if hold {
		l.used = true
		l.held = req.Clone(context.WithoutCancel(req.Context()))
		l.held.Body = io.NopCloser(bytes.NewReader(body))
	}
	l.mu.Unlock()
	if hold {
		return nil, ErrLost
	}
	return http.DefaultTransport.RoundTrip(req)
}

// release sends the held request and returns the answer's status.
func (l *late) release(t testing.TB) int {
	t.Helper()
	l.mu.Lock()
	req := l.held
	l.mu.Unlock()
	if req == nil {
		t.Fatal("no request that creates a machine was held")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	fatal(t, "held request", err)
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// lateCreate has a create arrive after its repeat has made the machine.
func (s *suite) lateCreate(t *testing.T) {
	if skip(t, "a create that arrives late", s.Quirks.IgnoresToken) {
		return
	}
	l := &late{}
	sc := s.begin(t, l)
	sc.ensureNetwork()
	spec := sc.vmSpec(0)
	vm := sc.createVM(spec)
	t.Logf("the create that came late was answered with status %d", l.release(t))
	if got := sc.running(spec)[spec.Token]; got.ID != vm.ID {
		t.Errorf("machine %s became %s", vm.ID, got.ID)
	}
	sc.kinds(sc.full(1))
	if again := sc.createVM(spec); again.ID != vm.ID {
		t.Errorf("create VM gave %s and, after the late create, %s", vm.ID, again.ID)
	}
}
