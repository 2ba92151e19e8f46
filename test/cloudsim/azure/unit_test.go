package azure_test

import (
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestRules holds what security groups let pass.
func TestRules(t *testing.T) {
	vnet := netip.MustParsePrefix("10.0.0.0/16")
	out := []fabric.Rule{{CIDR: netip.Prefix{}}, {CIDR: vnet}} // what leaves, by Azure's own rules
	in := func(protocol string, from, to int, cidr netip.Prefix) fabric.Rule {
		return fabric.Rule{Ingress: true, Protocol: protocol, FromPort: from, ToPort: to, CIDR: cidr}
	}
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	for name, tc := range map[string]struct {
		rules []string
		want  []fabric.Rule
	}{
		"none": {nil, []fabric.Rule{in("", 0, 0, vnet)}},
		"the driver's": {[]string{rule("u", 100, "Allow", "Udp", "*", "51820"), rule("d", 4096, "Deny", "*", "*", "*")},
			[]fabric.Rule{in("udp", 51820, 51820, netip.Prefix{})}},
		"denied before": {[]string{rule("d", 100, "Deny", "*", "*", "*"), rule("u", 200, "Allow", "Udp", "*", "51820")}, nil},
		"by prefix": {[]string{rule("u", 100, "Allow", "Tcp", "192.0.2.7", "20-22"), rule("d", 4096, "Deny", "*", "*", "*")},
			[]fabric.Rule{in("tcp", 20, 22, netip.MustParsePrefix("192.0.2.7/32"))}},
		"any protocol, one port": {[]string{rule("u", 100, "Allow", "*", "Internet", "53"), rule("d", 4096, "Deny", "*", "*", "*")},
			[]fabric.Rule{in("tcp", 53, 53, netip.Prefix{}), in("udp", 53, 53, netip.Prefix{})}},
		"ping": {[]string{rule("u", 100, "Allow", "Icmp", "*", "*"), rule("d", 4096, "Deny", "*", "*", "*")}, []fabric.Rule{in("icmp", -1, -1, netip.Prefix{})}},
	} {
		s.must("PUT", security, `{"location": "`+location+`", "properties": {"securityRules": [`+strings.Join(tc.rules, ",")+`]}}`)
		want := append(tc.want, out...)
		got := s.cloud.Compiled(s.ref(nic))
		less := func(a, b fabric.Rule) bool { return ruleText(a) < ruleText(b) }
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(less), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func ruleText(r fabric.Rule) string {
	return strconv.FormatBool(r.Ingress) + r.Protocol + itoa(r.FromPort) + r.CIDR.String()
}

func TestMetadata(t *testing.T) {
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	s.must("PUT", vm, s.vmBody())
	h := s.cloud.Metadata(s.ref(vm))
	for path, want := range map[string]string{
		"/metadata/instance/compute/name?api-version=2021-02-01&format=text":                                          "v",
		"/metadata/instance/compute/location?api-version=2021-02-01&format=text":                                      location,
		"/metadata/instance/compute/tagsList/0/value?api-version=2021-02-01&format=text":                              "웹",
		"/metadata/instance/compute/customData?api-version=2021-02-01&format=text":                                    "",
		"/metadata/instance/network/interface/0/ipv4/ipAddress/0/privateIpAddress?api-version=2021-02-01&format=text": "10.0.1.10",
		"/metadata/instance/network/interface/0/ipv4/subnet/0/prefix?api-version=2021-02-01&format=text":              "24",
		"/metadata/instance?api-version=2021-02-01&format=text":                                                       "compute/\nnetwork/",
	} {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Metadata", "true")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body, want)
		}
	}
	for path, want := range map[string]int{
		"/metadata/instance?api-version=2021-02-01": 200, "/metadata/versions": 200, "/metadata/instance": 400, "/metadata/instance?api-version=1999-01-01": 400,
		"/metadata/instance/compute/name?api-version=2021-02-01": 400, "/metadata/instance/nothing?api-version=2021-02-01": 404, "/latest/meta-data": 404,
		"/metadata/instance/network/interface/9?api-version=2021-02-01": 404,
	} {
		for _, header := range []string{"true", ""} {
			req := httptest.NewRequest("GET", path, nil)
			req.Header.Set("Metadata", header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if header == "" {
				want = 400
			}
			if w.Code != want {
				t.Errorf("%s, header %q: %d %s, want %d", path, header, w.Code, w.Body, want)
			}
		}
	}
	req := httptest.NewRequest("GET", "/metadata/versions", nil)
	req.Header.Set("Metadata", "true")
	req.Header.Set("X-Forwarded-For", "10.0.0.1")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, req); w.Code != 400 {
		t.Errorf("forwarded: %d", w.Code)
	}
}
