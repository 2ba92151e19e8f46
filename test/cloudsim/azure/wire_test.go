package azure_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestTokens(t *testing.T) {
	s := open(t)
	for name, tc := range map[string]struct {
		change func(url.Values)
		status int
		fault  string
		code   string
	}{
		"wrong secret":   {func(v url.Values) { v.Set("client_secret", "wrong") }, 401, "invalid_client", "AADSTS7000215"},
		"unknown client": {func(v url.Values) { v.Set("client_id", "x") }, 400, "unauthorized_client", "AADSTS700016"},
		"another grant":  {func(v url.Values) { v.Set("grant_type", "password") }, 400, "unsupported_grant_type", "AADSTS70003"},
		"no scope":       {func(v url.Values) { v.Del("scope") }, 400, "invalid_scope", "AADSTS1002012"},
	} {
		out := s.logIn(tc.change)
		if text, _ := out["error_description"].(string); out["httpStatus"] != tc.status || out["error"] != tc.fault || !strings.HasPrefix(text, tc.code+":") {
			t.Errorf("%s: got %v", name, out)
		}
	}
	who := s.who
	s.who.TenantID = "another"
	if out := s.logIn(nil); out["httpStatus"] != 400 || out["error"] != "invalid_request" {
		t.Errorf("unknown tenant: got %v", out)
	}
	s.who = who
	token := s.token
	s.token = "stolen"
	out := s.refused(401, "InvalidAuthenticationToken", "GET", "/locations", "")
	if !strings.HasPrefix(out["header"].(http.Header).Get("Www-Authenticate"), "Bearer ") {
		t.Errorf("no challenge: %v", out)
	}
	s.token = token
	s.do("GET", "/locations", "", "Authorization", "")
	s.refused(401, "AuthenticationFailed", "GET", "/locations", "", "Authorization", "")
	s.who.SubscriptionID = "6f2a1c1e-0000-4000-8000-000000000001"
	s.refused(404, "SubscriptionNotFound", "GET", "/locations", "")
	s.who = who
	s.refused(400, "MissingApiVersionParameter", "GET", "/locations?api-version=", "")
	s.refused(404, "InvalidResourceType", "GET", "/nonsense", "")
}

func TestTokenExpires(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *azure.Options) { o.Now = func() time.Time { return now } })
	s.must("GET", "/locations", "")
	now = now.Add(61 * time.Minute)
	s.refused(401, "ExpiredAuthenticationToken", "GET", "/locations", "")
}

func TestThrottled(t *testing.T) {
	s := open(t)
	s.faults.Set(faults.Config{Throttle: 1})
	out := s.refused(429, "TooManyRequests", "GET", "/locations", "")
	if out["header"].(http.Header).Get("Retry-After") != "1" {
		t.Errorf("got %v", out["header"])
	}
}

// TestLife is the whole life of a machine, with what Azure refuses on its way.
func TestLife(t *testing.T) {
	s := open(t)
	s.refused(400, "LocationNotAvailableForResourceGroup", "PUT", group, `{"location": "mars"}`)
	s.refused(404, "ResourceGroupNotFound", "PUT", network, `{"location": "`+location+`"}`)
	s.ground()
	s.refused(409, "InvalidResourceGroupLocation", "PUT", group, `{"location": "eastus"}`)
	s.refused(400, "LocationNotAvailableForResourceType", "PUT", security, `{"location": "mars"}`)
	s.refused(409, "InvalidResourceLocation", "PUT", security, `{"location": "eastus"}`)
	// The group in any case of letters is the same one.
	if out := s.must("GET", strings.ToUpper(group), ""); simtest.Dig(out, "tags", "cbnet-mesh") != "m" {
		t.Errorf("got %v", out)
	}
	s.refused(400, "PrivateIPAddressInReservedRange", "PUT", nic, s.nicBody("10.0.1.3"))
	s.refused(400, "PrivateIPAddressInReservedRange", "PUT", nic, s.nicBody("10.0.1.255"))
	s.refused(400, "PrivateIPAddressNotInSubnet", "PUT", nic, s.nicBody("10.0.2.10"))
	s.refused(400, "InvalidResourceReference", "PUT", nic, strings.Replace(s.nicBody("10.0.1.10"), "/subnets/sub", "/subnets/x", 1))
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	s.refused(400, "PrivateIPAddressIsAllocated", "PUT", nic+"2", strings.Replace(s.nicBody("10.0.1.10"), `"publicIPAddress"`, `"x"`, 1))
	s.refused(400, "PublicIPAddressInUse", "PUT", nic+"2", s.nicBody("10.0.1.11"))

	made := s.do("PUT", vm, s.vmBody(), "If-None-Match", "*")
	if made["httpStatus"] != 201 || simtest.Dig(made, "properties", "provisioningState") != "Creating" || made["header"].(http.Header).Get("Azure-Asyncoperation") == "" {
		t.Fatalf("got %v", made)
	}
	if id, _ := made["id"].(string); !strings.Contains(id, "/resourceGroups/G/") {
		t.Errorf("Compute writes the group in capitals; got %s", id)
	}
	if simtest.Dig(made, "properties", "osProfile", "customData") != nil {
		t.Error("customData is shown")
	}
	s.refused(412, "PreconditionFailed", "PUT", vm, s.vmBody(), "If-None-Match", "*")
	running := func() bool {
		view := s.must("GET", vm+"/instanceView", "")
		return simtest.Dig(view, "statuses", 1, "code") == "PowerState/running"
	}
	simtest.Until(t, "running", running)
	s.refused(409, "PropertyChangeNotAllowed", "PUT", vm, s.vmBody("IyEvYmluL3NoCg==", "IyEvYmluL2Jhc2gK"))
	s.refused(400, "NicInUse", "PUT", vm+"2", s.vmBody())

	s.refused(400, "NicInUse", "DELETE", nic, "")
	s.refused(400, "PublicIPAddressCannotBeDeleted", "DELETE", address, "")
	s.refused(400, "InUseNetworkSecurityGroupCannotBeDeleted", "DELETE", security, "")
	s.refused(400, "InUseSubnetCannotBeDeleted", "DELETE", network, "")
	s.refused(400, "InUseSubnetCannotBeDeleted", "PUT", network, `{"location": "`+location+`", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}`)

	s.must("POST", vm+"/deallocate", "")
	simtest.Until(t, "deallocated", func() bool {
		return simtest.Dig(s.must("GET", vm+"/instanceView", ""), "statuses", 1, "code") == "PowerState/deallocated"
	})
	s.must("POST", vm+"/start", "")
	simtest.Until(t, "running again", running)
	s.must("POST", vm+"/restart", "")

	s.must("DELETE", vm, "")
	simtest.Until(t, "all gone that goes with the machine", func() bool {
		return s.do("GET", vm, "")["httpStatus"] == 404 && s.do("GET", nic, "")["httpStatus"] == 404 && s.do("GET", address, "")["httpStatus"] == 404
	})
	if out := s.do("DELETE", vm, ""); out["httpStatus"] != 204 {
		t.Errorf("delete of nothing: %v", out)
	}
	simtest.Until(t, "the disk gone", func() bool {
		return len(simtest.Dig(s.must("GET", group+"/resources", ""), "value").([]any)) == 2 // network and security group
	})
	s.must("DELETE", group, "")
	if left := s.cloud.Inventory(); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

// TestGroupTakesAll deletes a group with a machine in it.
func TestGroupTakesAll(t *testing.T) {
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	s.must("PUT", vm, s.vmBody())
	if out := s.do("DELETE", group, ""); out["httpStatus"] != 202 || out["header"].(http.Header).Get("Location") == "" {
		t.Fatalf("got %v", out)
	}
	s.refused(409, "ResourceGroupBeingDeleted", "PUT", group, `{"location": "`+location+`"}`)
	simtest.Until(t, "gone", func() bool { return len(s.cloud.Inventory()) == 0 })
}

func TestBadMachines(t *testing.T) {
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	long := base64.StdEncoding.EncodeToString(make([]byte, 65536))
	for name, tc := range map[string]struct {
		code   string
		change []string
	}{
		"size":       {"InvalidParameter", []string{"Standard_B2s", "Standard_X9"}},
		"image":      {"PlatformImageNotFound", []string{"12-gen2", "99"}},
		"version":    {"PlatformImageNotFound", []string{`"latest"`, `"0.0.0"`}},
		"customData": {"InvalidParameter", []string{"IyEvYmluL3NoCg==", long}},
		"not base64": {"InvalidParameter", []string{"IyEvYmluL3NoCg==", "#!/bin/sh"}},
		"key":        {"InvalidParameter", []string{"ssh-ed25519 AAAA", "ssh-ed25519 BBBB"}},
		"no key":     {"InvalidParameter", []string{`"publicKeys": [`, `"publicKeysX": [`}},
		"path":       {"InvalidParameter", []string{"/home/azureuser", "/root"}},
		"user":       {"InvalidParameter", []string{`"azureuser"`, `"root"`}},
		"host":       {"InvalidParameter", []string{`"web-0"`, `"12345"`}},
		"nic":        {"InvalidResourceReference", []string{"networkInterfaces/i", "networkInterfaces/x"}},
		"zone":       {"AvailabilityZoneNotSupported", []string{`"location"`, `"zones": ["4"], "location"`}},
		"tag":        {"InvalidTagNameCharacters", []string{"cbnet-node", "cbnet/node"}},
		"tag prefix": {"ReservedTagNamePrefix", []string{"cbnet-node", "Azure-node"}},
		"tag value":  {"InvalidTagValueLength", []string{"웹", strings.Repeat("웹", 257)}},
		"same tag":   {"DuplicateTagName", []string{`"cbnet-node"`, `"Cbnet-Node": "x", "cbnet-node"`}},
		"not JSON":   {"InvalidRequestContent", []string{`"tags"`, `tags`}},
		"wrong type": {"InvalidRequestContent", []string{`"Standard_B2s"`, `[2]`}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			status := 400
			if tc.code == "PlatformImageNotFound" {
				status = 404
			}
			s.refused(status, tc.code, "PUT", vm, s.vmBody(tc.change...))
		})
	}
	s.t = t
	s.refused(400, "InvalidParameter", "PUT", vm+strings.Repeat("x", 64), s.vmBody())
	for _, o := range s.cloud.Inventory() {
		if o.Kind == "vm" || o.Kind == "disk" {
			t.Errorf("made %+v", o)
		}
	}
}

func TestBadNetworks(t *testing.T) {
	s := open(t)
	s.ground()
	body := func(properties string) string {
		return `{"location": "` + location + `", "properties": {` + properties + `}}`
	}
	for name, tc := range map[string]struct{ code, path, body string }{
		"no space":     {"MissingAddressSpace", network + "2", body("")},
		"host bits":    {"InvalidAddressPrefixFormat", network + "2", body(`"addressSpace": {"addressPrefixes": ["10.0.0.1/16"]}`)},
		"outside":      {"NetcfgInvalidSubnet", network + "2", body(`"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "a", "properties": {"addressPrefix": "10.1.0.0/24"}}]`)},
		"overlap":      {"NetcfgSubnetRangesOverlap", network + "2", body(`"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}}, {"name": "b", "properties": {"addressPrefix": "10.0.0.128/25"}}]`)},
		"basic":        {"IPv4BasicSkuPublicIpCountLimitReached", address + "2", body(`"publicIPAllocationMethod": "Static"`)},
		"name":         {"InvalidResourceName", security + "-", body("")},
		"priority":     {"SecurityRuleInvalidParameter", security + "2", body(`"securityRules": [{"name": "r", "properties": {"priority": 99}}]`)},
		"same":         {"SecurityRuleConflict", security + "2", body(`"securityRules": [` + rule("a", 100, "Allow", "Tcp", "*", "22") + `, ` + rule("b", 100, "Allow", "Tcp", "*", "23") + `]`)},
		"port":         {"SecurityRuleInvalidPortRange", security + "2", body(`"securityRules": [` + rule("a", 100, "Allow", "Tcp", "*", "23-22") + `]`)},
		"prefix":       {"SecurityRuleInvalidAddressPrefix", security + "2", body(`"securityRules": [` + rule("a", 100, "Allow", "Tcp", "nowhere", "22") + `]`)},
		"part of more": {"NotSimulated", security + "2", body(`"securityRules": [` + rule("a", 100, "Deny", "Tcp", "*", "22") + `]`)},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.refused(400, tc.code, "PUT", tc.path, tc.body)
		})
	}
}

// rule writes a security rule.
func rule(name string, priority int, access, protocol, source, port string) string {
	return `{"name": "` + name + `", "properties": {"priority": ` + itoa(priority) + `, "direction": "Inbound", "access": "` + access + `", "protocol": "` + protocol +
		`", "sourceAddressPrefix": "` + source + `", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "` + port + `"}}`
}

// TestOperations lets a machine fail after it was accepted: its operation says
// why, and so does its instance view.
func TestOperations(t *testing.T) {
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	s.faults.Set(faults.Config{NoCapacity: []string{"azure/" + location}})
	made := s.do("PUT", vm, s.vmBody())
	op := made["header"].(http.Header).Get("Azure-Asyncoperation")
	if first := s.do("GET", op, ""); first["status"] != "InProgress" && first["endTime"] == nil {
		t.Errorf("got %v", first)
	}
	var last map[string]any
	simtest.Until(t, "end of the operation", func() bool {
		last = s.do("GET", op, "")
		return last["endTime"] != nil
	})
	if simtest.Dig(last, "error", "code") != "AllocationFailed" {
		t.Errorf("got %v", last)
	}
	view := s.must("GET", vm+"?api-version=2026-04-01&$expand=instanceView", "")
	if simtest.Dig(view, "properties", "provisioningState") != "Failed" || simtest.Dig(view, "properties", "instanceView", "statuses", 0, "code") != "ProvisioningState/failed/AllocationFailed" {
		t.Errorf("got %v", view)
	}
	s.refused(409, "OperationNotAllowed", "POST", vm+"/start", "")
	s.refused(404, "NotFound", "GET", "/providers/Microsoft.Compute/locations/"+location+"/operations/x", "")
	// A zone can be without room alone.
	s.must("DELETE", vm, "")
	simtest.Until(t, "gone", func() bool { return s.do("GET", address, "")["httpStatus"] == 404 })
	s.faults.Set(faults.Config{NoCapacity: []string{"azure/" + location + "-2"}})
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	for zone, want := range map[string]string{"1": "Succeeded", "2": "Failed"} {
		s.do("PUT", vm, s.vmBody(`"location"`, `"zones": ["`+zone+`"], "location"`))
		simtest.Until(t, "zone "+zone+" "+want, func() bool { return simtest.Dig(s.must("GET", vm, ""), "properties", "provisioningState") == want })
		s.must("DELETE", vm, "")
		simtest.Until(t, "gone", func() bool { return s.do("GET", address, "")["httpStatus"] == 404 })
		s.ground()
		s.must("PUT", nic, s.nicBody("10.0.1.10"))
	}
}

func TestBusy(t *testing.T) {
	s := open(t, func(o *azure.Options) { o.Latency = time.Hour })
	body := `{"location": "` + location + `", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}`
	s.must("PUT", group, `{"location": "`+location+`"}`)
	first := s.do("PUT", address, body)
	if first["httpStatus"] != 201 || simtest.Dig(first, "properties", "provisioningState") != "Updating" || simtest.Dig(first, "properties", "ipAddress") != nil {
		t.Errorf("got %v", first)
	}
	again := s.refused(429, "RetryableError", "PUT", address, body)
	if simtest.Dig(again, "error", "details", 0, "code") != "AnotherOperationInProgress" {
		t.Errorf("got %v", again)
	}
}

func TestPages(t *testing.T) {
	s := open(t, func(o *azure.Options) { o.PageSize = 2 })
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.must("PUT", "/resourceGroups/"+name, `{"location": "`+location+`", "tags": {"k": "`+name+`"}}`)
	}
	var names []any
	for next := "/resourcegroups"; next != ""; {
		out := s.must("GET", next, "")
		for _, v := range out["value"].([]any) {
			names = append(names, simtest.Dig(v, "name"))
		}
		next, _ = out["nextLink"].(string)
	}
	if len(names) != 5 || names[0] != "a" || names[4] != "e" {
		t.Errorf("got %v", names)
	}
	filter := url.QueryEscape("tagName eq 'k' and tagValue eq 'c'")
	if out := s.must("GET", "/resourcegroups?api-version=2025-05-01&$filter="+filter, ""); len(out["value"].([]any)) != 1 {
		t.Errorf("got %v", out)
	}
	s.refused(400, "InvalidFilterInQueryString", "GET", "/resourcegroups?api-version=2025-05-01&$filter=x", "")
	if out := s.must("GET", "/providers/Microsoft.Compute/virtualMachines", ""); out["value"] == nil {
		t.Errorf("an empty list is missing: %v", out)
	}
}

func TestConsole(t *testing.T) {
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	s.must("PUT", vm, s.vmBody())
	out := s.must("POST", vm+"/retrieveBootDiagnosticsData", "")
	blob, _ := out["serialConsoleLogBlobUri"].(string)
	get := func(address string) int {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(blob); got != 404 { // it has printed nothing
		t.Errorf("%s: %d", blob, got)
	}
	if got := get(strings.Replace(blob, "/blob/", "/blob/0", 1)); got != 403 {
		t.Errorf("a wrong signature: %d", got)
	}
}

func TestRegions(t *testing.T) {
	s := open(t)
	list := s.must("GET", "/locations", "")["value"].([]any)
	names := map[any]bool{}
	for _, v := range list {
		names[simtest.Dig(v, "name")] = true
	}
	if len(names) != len(list) || len(list) < 55 || !names["koreacentral"] || !names["eastus"] || !names["global"] {
		t.Errorf("%d locations: %v", len(list), names)
	}
}
