package azure_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// location is where the tests work.
const location = "koreacentral"

// site is a cloud behind a server, and a client of the least kind.
type site struct {
	t      *testing.T
	cloud  *azure.Cloud
	faults *faults.Injector
	url    string
	who    principal
	token  string
}

// principal is what the credentials say.
type principal struct {
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`
	TenantID       string `json:"tenantId"`
	SubscriptionID string `json:"subscriptionId"`
}

// open starts a cloud on a fabric without machines; change may alter its
// options.
func open(t *testing.T, change ...func(*azure.Options)) *site {
	t.Helper()
	f := simtest.Paper(t, 0)
	return openOn(t, f, change...)
}

// openOn starts a cloud on a fabric, which is closed with it.
func openOn(t *testing.T, f *fabric.Fabric, change ...func(*azure.Options)) *site {
	t.Helper()
	s := &site{t: t, faults: faults.New(faults.Config{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/azure", s.cloud.Handler()).ServeHTTP(w, r)
	}))
	s.url = srv.URL + "/azure"
	o := azure.Options{Fabric: f, Faults: s.faults, URL: s.url, Latency: 10 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s.cloud = azure.New(o)
	if err := json.Unmarshal(s.cloud.Credentials(), &s.who); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.Close()
		s.cloud.Close()
	})
	s.token = s.logIn(nil)["access_token"].(string)
	return s
}

// logIn asks for a token; change may alter the form.
func (s *site) logIn(change func(url.Values)) map[string]any {
	s.t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {s.who.ClientID}, "client_secret": {s.who.ClientSecret}, "scope": {s.url + "/.default"},
	}
	if change != nil {
		change(form)
	}
	resp, err := http.PostForm(s.url+"/"+s.who.TenantID+"/oauth2/v2.0/token", form)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(resp)
}

// read decodes an answer and adds its status.
func (s *site) read(resp *http.Response) map[string]any {
	s.t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]any{}
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &out); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
	out["httpStatus"] = resp.StatusCode
	out["header"] = resp.Header
	return out
}

// do makes one request to ARM. Path is below the subscription.
func (s *site) do(method, path, body string, header ...string) map[string]any {
	s.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = s.url + "/subscriptions/" + s.who.SubscriptionID + path
		if !strings.Contains(path, "api-version") {
			path += "?api-version=2025-05-01"
		}
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(resp)
}

// must makes a request that is to be accepted, and waits until its operation is
// done.
func (s *site) must(method, path, body string, header ...string) map[string]any {
	s.t.Helper()
	out := s.do(method, path, body, header...)
	if out["httpStatus"].(int) >= 300 {
		s.t.Fatalf("%s %s: %v", method, path, out)
	}
	h := out["header"].(http.Header)
	if op := h.Get("Azure-Asyncoperation"); op != "" {
		simtest.Until(s.t, "operation of "+method+" "+path, func() bool { return s.do("GET", op, "")["status"] != "InProgress" })
	} else if op := h.Get("Location"); op != "" {
		simtest.Until(s.t, "operation of "+method+" "+path, func() bool { return s.do("GET", op, "")["httpStatus"] != 202 })
	}
	return out
}

// refused makes a request that is to be refused with a status and code.
func (s *site) refused(status int, code, method, path, body string, header ...string) map[string]any {
	s.t.Helper()
	out := s.do(method, path, body, header...)
	if got := errorCode(out); out["httpStatus"] != status || got != code {
		s.t.Errorf("%s %s: got %v %s, want %d %s: %v", method, path, out["httpStatus"], got, status, code, out["error"])
	}
	return out
}

func errorCode(out map[string]any) string {
	e, _ := out["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

// Paths of the usual resources of a test, below the subscription.
const (
	group    = "/resourceGroups/g"
	network  = group + "/providers/Microsoft.Network/virtualNetworks/n"
	security = group + "/providers/Microsoft.Network/networkSecurityGroups/s"
	address  = group + "/providers/Microsoft.Network/publicIPAddresses/a"
	nic      = group + "/providers/Microsoft.Network/networkInterfaces/i"
	vm       = group + "/providers/Microsoft.Compute/virtualMachines/v"
)

// key is a public key whose private half nobody has.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVKkSrhyQ3HLpmY4Fq+fBi3FjVxDzHSgvGTbVYAk4J9 nobody"

func (s *site) ref(path string) string { return "/subscriptions/" + s.who.SubscriptionID + path }

// ground makes a group with a network, a security group and an address in it.
func (s *site) ground() {
	s.t.Helper()
	s.must("PUT", group, `{"location": "`+location+`", "tags": {"cbnet-mesh": "m"}}`)
	s.must("PUT", network, `{"location": "`+location+`", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
		"subnets": [{"name": "sub", "properties": {"addressPrefix": "10.0.1.0/24", "defaultOutboundAccess": false}}]}}`)
	s.must("PUT", security, `{"location": "`+location+`", "properties": {}}`)
	s.must("PUT", address, `{"location": "`+location+`", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}`)
}

func (s *site) nicBody(ip string) string {
	return fmt.Sprintf(`{"location": "%s", "properties": {"networkSecurityGroup": {"id": "%s"}, "ipConfigurations": [{"name": "c", "properties": {
		"privateIPAllocationMethod": "Static", "privateIPAddress": "%s", "subnet": {"id": "%s"},
		"publicIPAddress": {"id": "%s", "properties": {"deleteOption": "Delete"}}}}]}}`, location, s.ref(security), ip, s.ref(network)+"/subnets/sub", s.ref(address))
}

// vmBody describes a machine; change alters the text.
func (s *site) vmBody(change ...string) string {
	body := `{"location": "` + location + `", "tags": {"cbnet-node": "웹"}, "properties": {
		"hardwareProfile": {"vmSize": "Standard_B2s"},
		"storageProfile": {"imageReference": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"},
			"osDisk": {"createOption": "FromImage", "deleteOption": "Delete"}},
		"osProfile": {"computerName": "web-0", "adminUsername": "azureuser", "customData": "IyEvYmluL3NoCg==",
			"linuxConfiguration": {"disablePasswordAuthentication": true, "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "` + key + `"}]}}},
		"networkProfile": {"networkInterfaces": [{"id": "` + s.ref(nic) + `", "properties": {"deleteOption": "Delete"}}]},
		"diagnosticsProfile": {"bootDiagnostics": {"enabled": true}}}}`
	return strings.NewReplacer(change...).Replace(body)
}
