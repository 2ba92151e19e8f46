package discovery

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small is a document with one of each thing that is checked.
const small = `{
 "revision": "1", "basePath": "/toy/v1/",
 "parameters": {"alt": {"type": "string", "enum": ["json"]}},
 "schemas": {
  "Thing": {"type": "object", "properties": {
   "name": {"type": "string", "pattern": "[a-z]+", "annotations": {"required": ["toy.things.insert"]}},
   "size": {"type": "string", "format": "int64"},
   "count": {"type": "integer", "format": "int32"},
   "state": {"type": "string", "enum": ["ON", "OFF"]},
   "id": {"type": "string", "description": "[Output Only] The id."},
   "ready": {"type": "boolean"}, "hash": {"type": "string", "format": "byte"},
   "labels": {"type": "object", "additionalProperties": {"type": "string"}},
   "parts": {"type": "array", "items": {"$ref": "Thing"}}
  }}
 },
 "resources": {"things": {"methods": {
  "insert": {"id": "toy.things.insert", "flatPath": "boxes/{box}/things", "httpMethod": "POST",
   "parameters": {"box": {"type": "string", "location": "path", "required": true, "pattern": "[a-z]+"}, "note": {"type": "string", "location": "query", "required": true}, "n": {"type": "integer", "location": "query", "maximum": "5"}},
   "request": {"$ref": "Thing"}, "response": {"$ref": "Thing"}},
  "delete": {"id": "toy.things.delete", "flatPath": "things/{thing}", "httpMethod": "DELETE", "parameters": {"thing": {"type": "string", "location": "path", "required": true}}}
 }}}
}`

func load(t *testing.T, text string) (*API, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "api.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file)
}

// TestCheck: what is as described passes, and each fault by itself does not.
func TestCheck(t *testing.T) {
	api, err := load(t, small)
	if err != nil {
		t.Fatal(err)
	}
	const path, body, reply = "POST /toy/v1/boxes/a/things?note=x", `{"name": "a"}`, `{"id": "1"}`
	const failed = `{"error": {"code": 404, "message": "m", "errors": [{"message": "m", "domain": "global", "reason": "notFound"}]}}`
	for _, tc := range []struct {
		name, path, body string
		status           int
		reply, want      string
	}{
		{"good", path + "&alt=json&n=5", `{"name": "a", "size": "12", "count": 3, "state": "ON", "ready": true, "labels": {"x": "y"}, "parts": [{"name": "b"}], "hash": "YQ=="}`, 200, reply, ""},
		{"good without content", "DELETE /toy/v1/things/a", "", 204, "", ""},
		{"good error", path, body, 404, failed, ""},
		{"prefix before the base", "POST /sim/toy/v1/boxes/a/things?note=x", body, 200, reply, ""},
		{"unknown path", "POST /toy/v1/things", body, 200, reply, "no method"},
		{"unknown method", "PUT /toy/v1/things/a", body, 200, reply, "no method"},
		{"another API", "POST /other/v1/things", body, 200, reply, "not below"},
		{"unknown parameter", path + "&x=1", body, 200, reply, "parameter x: unknown"},
		{"parameter twice", path + "&note=y", body, 200, reply, "given 2 times"},
		{"missing parameter", "POST /toy/v1/boxes/a/things", body, 200, reply, "parameter note: missing"},
		{"parameter's pattern", "POST /toy/v1/boxes/A/things?note=x", body, 200, reply, "parameter box"},
		{"parameter's type", path + "&n=x", body, 200, reply, "want an integer"},
		{"parameter's limit", path + "&n=6", body, 200, reply, "at most 5"},
		{"no body", path, "", 200, reply, "no body"},
		{"a body too many", "DELETE /toy/v1/things/a", body, 204, "", "has none"},
		{"two values", path, body + body, 200, reply, "more than one"},
		{"unknown field", path, `{"name": "a", "nam": "b"}`, 200, reply, "nam: unknown field"},
		{"field inside", path, `{"name": "a", "parts": [{"name": "a", "x": 1}]}`, 200, reply, "parts[0].x: unknown field"},
		{"missing field", path, `{}`, 200, reply, "name: missing"},
		{"field's pattern", path, `{"name": "A"}`, 200, reply, "want the pattern"},
		{"number for text", path, `{"name": 1}`, 200, reply, "want a string"},
		{"number for 64 bits", path, `{"name": "a", "size": 12}`, 200, reply, "want a string"},
		{"text for 64 bits", path, `{"name": "a", "size": "x"}`, 200, reply, "want the format int64"},
		{"text for a number", path, `{"name": "a", "count": "3"}`, 200, reply, "want a number"},
		{"fraction", path, `{"name": "a", "count": 3.5}`, 200, reply, "want an integer"},
		{"text for a boolean", path, `{"name": "a", "ready": "true"}`, 200, reply, "want a boolean"},
		{"not base64", path, `{"name": "a", "hash": "*"}`, 200, reply, "want the format byte"},
		{"value of an enumeration", path, `{"name": "a", "state": "UP"}`, 200, reply, "want one of ON, OFF"},
		{"object for an array", path, `{"name": "a", "parts": {}}`, 200, reply, "want an array"},
		{"array for an object", path, `{"name": "a", "labels": []}`, 200, reply, "want an object"},
		{"additional property", path, `{"name": "a", "labels": {"x": 1}}`, 200, reply, "labels.x"},
		{"output only", path, `{"name": "a", "id": "1"}`, 200, reply, "id: not for requests"},
		{"reply's field", path, body, 200, `{"ID": "1"}`, "reply 200: ID: unknown field"},
		{"empty reply", path, body, 204, "", "has a reply"},
		{"reply too many", "DELETE /toy/v1/things/a", "", 200, reply, "has no reply"},
		{"error of another form", path, body, 404, `{"message": "no"}`, "unknown field"},
		{"error without reason", path, body, 404, `{"error": {"code": 404, "message": "m"}}`, "without code"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []error
			next := roundTrip(func(req *http.Request) (*http.Response, error) {
				if sent, err := io.ReadAll(req.Body); err != nil || string(sent) != tc.body {
					t.Errorf("sent %q, %v", sent, err)
				}
				return &http.Response{StatusCode: tc.status, Body: io.NopCloser(strings.NewReader(tc.reply))}, nil
			})
			httpMethod, target, _ := strings.Cut(tc.path, " ")
			tr := api.Transport(next, func(err error) { got = append(got, err) })
			resp, err := tr.RoundTrip(httptest.NewRequest(httpMethod, "http://host"+target, bytes.NewReader([]byte(tc.body))))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != tc.reply {
				t.Errorf("the reply became %q, %v", b, err)
			}
			switch all := errors.Join(got...); {
			case tc.want == "" && all != nil:
				t.Error(all)
			case tc.want != "" && (all == nil || !strings.Contains(all.Error(), tc.want)):
				t.Errorf("got %v, want %q", all, tc.want)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{"no JSON": "x", "nothing": "{}"} {
		if _, err := load(t, text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}
