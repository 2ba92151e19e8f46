package azure

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/cbnet-io/cbnet/cloud"
)

func TestNames(t *testing.T) {
	spec := cloud.VMSpec{Owner: cloud.Owner{Mesh: "m", MCIS: "i"}, Name: strings.Repeat("a", cloud.MaxVMName), Token: strings.Repeat("t", cloud.MaxToken)}
	seen := map[string]bool{}
	for _, change := range []func(*cloud.VMSpec){
		func(*cloud.VMSpec) {},
		func(s *cloud.VMSpec) { s.Token = "u" },
		func(s *cloud.VMSpec) { s.Owner.MCIS = "j" },
		func(s *cloud.VMSpec) { s.Owner = cloud.Owner{Mesh: "mi", MCIS: ""} },
	} {
		s := spec
		change(&s)
		name := machineName(s)
		if len(name) > 64 || seen[name] || !strings.HasPrefix(name, "aaaa") {
			t.Errorf("name %q, %d characters", name, len(name))
		}
		seen[name] = true
	}
	net := cloud.NetworkSpec{Owner: spec.Owner, Name: strings.Repeat("n", cloud.MaxNetworkName)}
	if a, b := groupName(net, "eastus"), groupName(net, "eastus2"); a == b || len(a) > 90 || len(groupName(net, strings.Repeat("r", 100))) > 90 {
		t.Errorf("groups %q and %q", a, b)
	}
}

func TestIDs(t *testing.T) {
	d := &Driver{subscription: "6f2a1c1e-0000-4000-8000-000000000001"}
	const id = "/subscriptions/6f2a1c1e-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"
	if got := d.id(typeMachine, place{"g", "v"}); got != id {
		t.Errorf("got %s", got)
	}
	// Compute writes the group in capitals.
	if got := d.canonical(typeMachine, strings.ToUpper(id)); got != id {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{
		"", "v", strings.Replace(id, "0001", "0002", 1), strings.Replace(id, "virtualMachines", "disks", 1), id + "/extensions/e",
		"/subscriptions/6f2a1c1e-0000-4000-8000-000000000001/resourceGroups/g",
	} {
		if _, err := d.parseID(typeMachine, bad); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", bad, err)
		}
	}
	if p, err := d.parseID(typeGroup, "/subscriptions/6f2a1c1e-0000-4000-8000-000000000001/resourcegroups/G"); err != nil || p.group != "g" {
		t.Errorf("got %+v and %v", p, err)
	}
}

func TestState(t *testing.T) {
	statuses := func(codes ...string) (list []*armcompute.InstanceViewStatus) {
		for _, c := range codes {
			message := "because"
			list = append(list, &armcompute.InstanceViewStatus{Code: &c, Message: &message}, nil)
		}
		return list
	}
	for _, tc := range []struct {
		provisioning string
		codes        []string
		want         cloud.VMState
		reason       string
	}{
		{"Creating", nil, cloud.VMPending, ""},
		{"Creating", []string{"PowerState/starting"}, cloud.VMPending, ""},
		{"Succeeded", []string{"ProvisioningState/succeeded", "PowerState/running"}, cloud.VMRunning, ""},
		{"Succeeded", nil, cloud.VMPending, ""},
		{"Updating", []string{"PowerState/deallocating"}, cloud.VMPending, ""},
		{"Succeeded", []string{"PowerState/deallocated"}, cloud.VMStopped, ""},
		{"Succeeded", []string{"PowerState/stopped"}, cloud.VMStopped, ""},
		{"Failed", []string{"ProvisioningState/failed/AllocationFailed"}, cloud.VMFailed, "AllocationFailed: because"},
		{"Failed", []string{"ProvisioningState/Failed", "PowerState/deallocated"}, cloud.VMFailed, "because"},
		{"Failed", nil, cloud.VMFailed, "provisioning failed"},
		{"Failed", []string{"ProvisioningState/failed/X", "PowerState/running"}, cloud.VMRunning, ""},
		{"Deleting", []string{"PowerState/running"}, cloud.VMDeleting, ""},
	} {
		got, reason := state(tc.provisioning, statuses(tc.codes...))
		if got != tc.want || reason != tc.reason {
			t.Errorf("%s %q: got %s %q, want %s %q", tc.provisioning, tc.codes, got, reason, tc.want, tc.reason)
		}
	}
}

func TestRules(t *testing.T) {
	list := rules([]cloud.Port{{Protocol: "udp", Number: 51820}, {Protocol: "tcp", Number: 443}, {Protocol: "udp", Number: 51820}})
	if len(list) != 3 || *list[0].Properties.Priority != 100 || *list[1].Properties.Priority != 101 || *list[2].Properties.Access != armnetwork.SecurityRuleAccessDeny {
		t.Errorf("got %+v", list)
	}
	if !sameRules(list, rules([]cloud.Port{{Protocol: "udp", Number: 51820}, {Protocol: "tcp", Number: 443}})) {
		t.Error("the same rules differ")
	}
	for _, other := range [][]cloud.Port{nil, {{Protocol: "udp", Number: 51820}}, {{Protocol: "tcp", Number: 51820}, {Protocol: "tcp", Number: 443}}} {
		if sameRules(list, rules(other)) {
			t.Errorf("%v are the same rules", other)
		}
	}
	narrowed := rules([]cloud.Port{{Protocol: "udp", Number: 51820}, {Protocol: "tcp", Number: 443}})
	prefix := "10.0.0.0/8"
	narrowed[0].Properties.SourceAddressPrefix = &prefix
	if sameRules(list, narrowed) {
		t.Error("a narrower source is the same")
	}
}

func TestLabels(t *testing.T) {
	labels := map[string]string{"tier": "web", "Tier": "web", "팀": "개발팀", "a/b?": "<>", "x--a": "x--", "empty": ""}
	tags := encodeLabels(labels)
	seen := map[string]bool{}
	for k := range tags {
		if low := strings.ToLower(k); seen[low] || strings.ContainsAny(k, `<>%&\?/`) {
			t.Errorf("key %q", k)
		}
		seen[strings.ToLower(k)] = true
	}
	tags[cloud.KeyMesh] = "m"
	if got := decodeLabels(tags); !maps.Equal(got, labels) {
		t.Errorf("got %q, want %q", got, labels)
	}
	if got := decodeLabels(map[string]string{cloud.KeyMesh: "m"}); got != nil {
		t.Errorf("got %q of none", got)
	}
	if err := checkLabels(map[string]string{"azure-x": "y"}); !errors.Is(err, cloud.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestKeys(t *testing.T) {
	key, err := throwAwayKey()
	if err != nil || cloud.CheckSSHKeyType(Provider, key, keyTypes) != nil || !strings.HasPrefix(key, "ssh-rsa ") {
		t.Errorf("got %q and %v", key, err)
	}
	if other, _ := throwAwayKey(); other == key {
		t.Error("twice the same")
	}
	for key, ok := range map[string]bool{"": true, "ssh-ed25519 AAAA": true, "ecdsa-sha2-nistp256 AAAA": false, "sk-ssh-ed25519@openssh.com AAAA": false} {
		if err := cloud.CheckSSHKeyType(Provider, key, keyTypes); (err == nil) != ok || err != nil && !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestImageReference(t *testing.T) {
	for id, ok := range map[string]bool{
		"Debian:debian-12:12-gen2:latest": true, "a:b:c": false, "a:b::d": false, "": false, "debian-12": false,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i":                        true,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i/versions/1": true,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v":               false,
	} {
		if _, err := imageReference(id); (err == nil) != ok || err != nil && !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestReadSKU(t *testing.T) {
	sku := func(kind string, capabilities ...string) *armcompute.ResourceSKU {
		name := "Standard_X"
		s := &armcompute.ResourceSKU{ResourceType: &kind, Name: &name}
		for i := 0; i < len(capabilities); i += 2 {
			s.Capabilities = append(s.Capabilities, &armcompute.ResourceSKUCapabilities{Name: &capabilities[i], Value: &capabilities[i+1]})
		}
		return s
	}
	got, ok := readSKU(sku("virtualMachines", "vCPUs", "1", "MemoryGB", "0.75", "CpuArchitectureType", "x64", "HyperVGenerations", "V1,V2"))
	if !ok || got != (cloud.Spec{Name: "Standard_X", VCPU: 1, MemoryMiB: 768}) {
		t.Errorf("got %+v, %v", got, ok)
	}
	for name, s := range map[string]*armcompute.ResourceSKU{
		"disk": sku("disks", "vCPUs", "1", "MemoryGB", "1"), "arm": sku("virtualMachines", "vCPUs", "1", "MemoryGB", "1", "CpuArchitectureType", "Arm64"),
		"old generation": sku("virtualMachines", "vCPUs", "1", "MemoryGB", "1", "HyperVGenerations", "V1"), "nothing": sku("virtualMachines"),
		"no number": sku("virtualMachines", "vCPUs", "many", "MemoryGB", "1"),
	} {
		if got, ok := readSKU(s); ok {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
