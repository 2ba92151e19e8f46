package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// stack is the least of an OpenStack client.
type stack struct {
	t     *testing.T
	root  string // without /v3
	token string
}

// login takes the credentials that cloudsim wrote.
func login(t *testing.T, p *program, state string) *stack {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "credentials", "openstack"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Clouds map[string]struct {
			Auth map[string]string
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, root: strings.TrimSuffix(p.urls["openstack"], "/v3")}
	for _, c := range file.Clouds {
		user := map[string]any{"name": c.Auth["username"], "password": c.Auth["password"], "domain": map[string]any{"name": c.Auth["user_domain_name"]}}
		s.call("POST", "/v3/auth/tokens", map[string]any{"auth": map[string]any{
			"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": user}},
			"scope":    map[string]any{"project": map[string]any{"name": c.Auth["project_name"], "domain": map[string]any{"name": c.Auth["project_domain_name"]}}},
		}})
	}
	return s
}

// call makes one request and returns the decoded answer.
func (s *stack) call(method, path string, body any) map[string]any {
	s.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.root+path, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", s.token)
	r.Header.Set("Content-Type", "application/json")
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil || answer.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %v %v", method, path, answer.Status, out, err)
	}
	if t := answer.Header.Get("X-Subject-Token"); t != "" {
		s.token = t
	}
	return out
}

// id is the id of an object, or of the first in a list.
func (s *stack) id(answer map[string]any, key string) string {
	s.t.Helper()
	v := answer[key]
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	o, ok := v.(map[string]any)
	if !ok {
		s.t.Fatalf("no %s in %v", key, answer)
	}
	return o["id"].(string)
}

// createServer creates a network and a server on it that runs a script, and
// returns the server's id.
func createServer(t *testing.T, p *program, state, script string) string {
	t.Helper()
	s := login(t, p, state)
	net := s.id(s.call("POST", "/network/v2.0/networks", map[string]any{"network": map[string]any{"name": "n"}}), "network")
	s.call("POST", "/network/v2.0/subnets", map[string]any{"subnet": map[string]any{"network_id": net, "ip_version": 4, "cidr": "10.9.0.0/24"}})
	return s.id(s.call("POST", "/compute/v2.1/servers", map[string]any{"server": map[string]any{
		"name": "vm", "user_data": base64.StdEncoding.EncodeToString([]byte(script)), "networks": []any{map[string]any{"uuid": net}},
		"imageRef":  s.id(s.call("GET", "/image/v2/images", nil), "images"),
		"flavorRef": s.id(s.call("GET", "/compute/v2.1/flavors", nil), "flavors"),
	}}), "server")
}
