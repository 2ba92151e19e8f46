package aws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
)

// strict refuses answers that are not EC2's. The SDK reads a success with any
// other body (a proxy's page, nothing at all) as an empty result, and an empty
// list would mean that nothing exists.
type strict struct{ next http.RoundTripper }

// errNotEC2 is such an answer.
var errNotEC2 = errors.New("the answer is not EC2's")

// peek is how far into a body the root element, <ACTIONResponse ...>, begins.
const peek = 1024

// RoundTrip implements http.RoundTripper.
func (s strict) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 || req.Method != http.MethodPost {
		return resp, err
	}
	r := bufio.NewReaderSize(resp.Body, peek)
	head, _ := r.Peek(peek) // an error comes again when the body is read
	if !bytes.Contains(head, []byte("Response")) {
		resp.Body.Close()
		return nil, errNotEC2
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{r, resp.Body}
	return resp, nil
}
