package api

import (
	"net/http"
	"strings"
)

// Problem is the answer to a request that did not succeed, as RFC 9457 has it
// (application/problem+json). The client returns it as the error.
type Problem struct {
	Type      string  `json:"type,omitempty"`
	Title     string  `json:"title,omitempty"`
	Status    int     `json:"status,omitempty"`
	Detail    string  `json:"detail,omitempty"`
	Instance  string  `json:"instance,omitempty"`
	Errors    []Fault `json:"errors,omitempty"`    // all faults of the request
	RequestID string  `json:"requestId,omitempty"` // as in the server's log
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Message  string `json:"message,omitempty"`
	Location string `json:"location,omitempty"` // "body.provider", "FILE:LINE"
}

// Error returns the detail, and one line for each fault.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = http.StatusText(p.Status)
	}
	var b strings.Builder
	b.WriteString(text)
	for _, f := range p.Errors {
		b.WriteString("\n")
		if f.Location != "" {
			b.WriteString(f.Location + ": ")
		}
		b.WriteString(f.Message)
	}
	return b.String()
}
