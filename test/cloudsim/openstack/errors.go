package openstack

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// apiError is an answer that is not a success. Each service prints errors in a
// form of its own.
type apiError struct {
	status  int
	kind    string // Neutron's type; other services go by the status
	message string
	after   int // Retry-After in seconds, 0 for none
}

// Error implements error.
func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.kind, e.message) }

// fault returns an error answer of Keystone, Nova or Glance.
func fault(status int, format string, args ...any) error {
	return &apiError{status: status, message: fmt.Sprintf(format, args...)}
}

// neutronFault returns an error answer of Neutron.
func neutronFault(status int, kind, format string, args ...any) error {
	return &apiError{status: status, kind: kind, message: fmt.Sprintf(format, args...)}
}

// neutronMissing says that there is no such object.
func neutronMissing(noun, id string) error {
	return neutronFault(404, noun+"NotFound", "%s %s could not be found.", noun, id)
}

// badInput says that a value of a request to Neutron is not acceptable.
func badInput(attribute, format string, args ...any) error {
	return neutronFault(400, "HTTPBadRequest", "Invalid input for %s. Reason: %s", attribute, fmt.Sprintf(format, args...))
}

// encodeError prints an error in the form of a service.
func encodeError(service string, e *apiError) []byte {
	var body any
	switch service {
	case "compute":
		detail := map[string]any{"code": e.status, "message": e.message}
		if e.after > 0 {
			detail["retryAfter"] = e.after
		}
		body = map[string]any{novaName(e.status): detail}
	case "network":
		kind := e.kind
		if kind == "" {
			kind = "HTTPBadRequest"
		}
		body = map[string]any{"NeutronError": map[string]any{"type": kind, "message": e.message, "detail": ""}}
	case "image":
		body = map[string]any{
			"message": e.message, "title": http.StatusText(e.status), "code": fmt.Sprint(e.status, " ", http.StatusText(e.status)),
		}
	default:
		body = map[string]any{"error": map[string]any{"code": e.status, "title": http.StatusText(e.status), "message": e.message}}
	}
	out, _ := json.Marshal(body) // cannot fail: strings and numbers only
	return out
}

// novaName returns the name that Nova gives errors of a status.
func novaName(status int) string {
	name, ok := map[int]string{
		400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
		409: "conflictingRequest", 413: "overLimit", 429: "overLimit", 501: "notImplemented", 503: "serviceUnavailable",
	}[status]
	if !ok {
		return "computeFault"
	}
	return name
}
