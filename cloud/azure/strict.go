package azure

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// strict refuses answers that are not ARM's. The SDK reads any other JSON, a
// proxy's or none at all, as an empty list or an object without content, and an
// empty list would mean that nothing exists.
type strict struct{ next http.RoundTripper }

var (
	errNoList   = errors.New("the answer to a listing holds no list")
	errNoObject = errors.New("the answer to a PUT does not say what was written")
	errTooLarge = errors.New("the answer is larger than 64 MiB")
)

// maxAnswer bounds an answer: 10,000 machines take some 40 MB.
const maxAnswer = 64 << 20

// listings are the collections that are listed, by the end of their path in
// lower case.
var listings = map[string]bool{
	"resourcegroups": true, "resources": true, "locations": true, "virtualmachines": true, "networkinterfaces": true,
	"publicipaddresses": true, "virtualnetworks": true, "networksecuritygroups": true, "skus": true, "usages": true,
}

// RoundTrip implements http.RoundTripper.
func (s strict) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 || req.Method != http.MethodGet && req.Method != http.MethodPut {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	resp.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, errTooLarge
	}
	if err := check(req, body); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func check(req *http.Request, body []byte) error {
	path := strings.ToLower(strings.TrimRight(req.URL.Path, "/"))
	last := path[strings.LastIndexByte(path, '/')+1:]
	var answer struct {
		ID    string          `json:"id"`
		Value json.RawMessage `json:"value"`
	}
	err := json.Unmarshal(body, &answer)
	switch {
	case req.Method == http.MethodPut && (err != nil || answer.ID == ""):
		return errNoObject
	case req.Method == http.MethodGet && listings[last] && (err != nil || len(answer.Value) == 0 || answer.Value[0] != '['):
		return errNoList
	}
	return nil
}
