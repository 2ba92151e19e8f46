package remote

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func FuzzExecRequest(f *testing.F) {
	f.Add([]byte(`{"command":["ls","-l"]}`))
	f.Add([]byte(`{"command":[""]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := readExec(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/exec", bytes.NewReader(body)))
		if err == nil && (len(req.Command) == 0 || len(req.Command) > maxArgs || req.Command[0] == "") {
			t.Errorf("taken: %q", req.Command)
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add(403, []byte(`{"error":"exec is off"}`))
	f.Add(502, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := readRefusal(&http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body))}, Target{Node: "a"})
		if e, ok := errors.AsType[*RefusedError](err); !ok || e.Status != status || e.Message == "" {
			t.Errorf("status %d: %v", status, err)
		}
	})
}
