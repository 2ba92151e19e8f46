package alibaba_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// node runs steps of the script with the vendor's Node SDK and returns what each
// of them printed.
func (s *site) node(t *testing.T, env []string, steps ...string) []map[string]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"node/life.js"}, steps...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+simtest.NeedNode(t, "../../..", "alibaba", "@alicloud/ecs20140526"), "ALIBABA_ENDPOINT="+strings.TrimPrefix(s.url, "http://"),
		"ALIBABA_CLOUD_ACCESS_KEY_ID=LTAIEXAMPLE", "ALIBABA_CLOUD_ACCESS_KEY_SECRET=secret", "TEST_SSH_KEY="+cloudtest.NewKey(t, ssh.KeyAlgoRSA))
	cmd.Env = append(cmd.Env, env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node life.js %v: %v\n%s%s", steps, err, out, errs.String())
	}
	var answers []map[string]any
	for line := range strings.Lines(string(out)) {
		answer := map[string]any{}
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatalf("node life.js %v: %v in %s", steps, err, line)
		}
		answers = append(answers, answer)
	}
	return answers
}

// ids are what the inventory holds, in the order of the script.
func (s *site) ids() []any {
	var ids []any
	for _, kind := range []string{"network", "subnet", "securityGroup", "key", "vm"} {
		for _, o := range s.cloud.Inventory() {
			if o.Kind == kind && o.Region == region {
				ids = append(ids, o.ID)
			}
		}
	}
	return ids
}

// TestNodeSDK has the vendor's Node SDK, which signs with ACS3-HMAC-SHA256 where
// the Go SDK signs with HMAC-SHA1, make, list and delete what a driver makes.
func TestNodeSDK(t *testing.T) {
	s := open(t)
	answers := s.node(t, nil, "create", "list", "refused", "accessKeySecret", "wrong", "refused", "accessKeyId", "LTAIOTHER")
	made, ids := answers[0], s.ids()
	if len(ids) != 5 {
		t.Fatalf("the inventory has %v, and node made %v", ids, made)
	}
	want := map[string]any{
		"ids": ids, "again": ids[4], "policy": "Drop", "rules": []any{"ingress UDP 51820/51820 0.0.0.0/0"},
		"vm": "node 10.0.1.7 1 " + zone + " node", "tags": []any{"made-by=node"}, "console": ids[4],
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("what the SDK was told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ids, answers[1]["ids"]); diff != "" {
		t.Errorf("listed (-inventory +node):\n%s", diff)
	}
	for i, want := range []string{"SignatureDoesNotMatch", "InvalidAccessKeyId.NotFound"} {
		if got := answers[2+i]["code"]; got != want {
			t.Errorf("refusal %d: got %v, want %s", i, got, want)
		}
	}
	left := s.node(t, nil, "delete")[0]["ids"]
	if diff := cmp.Diff([]any{}, left); diff != "" || len(s.ids()) > 0 {
		t.Errorf("left: %v, inventory %v", left, s.ids())
	}
}

// TestNodeSDKTemporary does the same with a temporary key.
func TestNodeSDKTemporary(t *testing.T) {
	s := open(t, func(o *alibaba.Options) { o.Key = alibaba.Key{ID: "STS.EXAMPLE", Secret: "secret", Token: "token"} })
	answers := s.node(t, []string{"ALIBABA_CLOUD_ACCESS_KEY_ID=STS.EXAMPLE", "ALIBABA_CLOUD_SECURITY_TOKEN=token"}, "list", "refused", "securityToken", "other")
	if diff := cmp.Diff([]any{}, answers[0]["ids"]); diff != "" {
		t.Errorf("with the token: %v", answers[0])
	}
	if got := answers[1]["code"]; got != "InvalidSecurityToken.MismatchWithAccessKey" {
		t.Errorf("with another token: %v", got)
	}
}
