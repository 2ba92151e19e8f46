package openstack

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
)

// strict refuses answers to listings that hold no list. gophercloud reads any
// other JSON (a proxy's, an empty object) as an empty list, and that would mean
// that nothing exists.
type strict struct{ next http.RoundTripper }

var (
	errNoList   = errors.New("the answer to a listing holds no list")
	errTooLarge = errors.New("the answer is larger than 64 MiB")
)

// maxAnswer bounds an answer to a listing: 10,000 servers take some 30 MB.
const maxAnswer = 64 << 20

// listings are the collections that are listed, by the end of their path.
var listings = [...]string{"servers", "flavors", "ports", "floatingips", "routers", "security-groups", "subnets", "networks", "images", "os-keypairs"}

// listing returns the name that the list in an answer has, "" if the request is
// for something else.
func listing(req *http.Request) string {
	path := strings.TrimSuffix(strings.TrimRight(req.URL.Path, "/"), "/detail")
	for _, name := range listings {
		if req.Method == http.MethodGet && strings.HasSuffix(path, "/"+name) {
			return strings.ReplaceAll(strings.TrimPrefix(name, "os-"), "-", "_")
		}
	}
	return ""
}

// RoundTrip implements http.RoundTripper.
func (s strict) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 || listing(req) == "" {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	resp.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, errTooLarge
	case !bytes.Contains(body, []byte(`"`+listing(req)+`"`)):
		return nil, errNoList
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
