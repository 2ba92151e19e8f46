package gcp

import (
	"fmt"
	"net/http"
)

// apiError is an answer that is not a success, or the failure of an operation,
// with Google's own codes and words.
type apiError struct {
	status  int
	reason  string // "notFound"; of an operation's failure "ZONE_RESOURCE_POOL_EXHAUSTED"
	message string
	rpc     string // the code of google.rpc, "" where the API gives none
	detail  string // the reason of an ErrorInfo, "" for none
}

// Error implements error.
func (e *apiError) Error() string { return e.reason + ": " + e.message }

func fault(status int, reason, format string, args ...any) *apiError {
	return &apiError{status: status, reason: reason, message: fmt.Sprintf(format, args...)}
}

// notFound says that a resource does not exist; path includes the project.
func notFound(path string) *apiError {
	return fault(http.StatusNotFound, "notFound", "The resource '%s' was not found", path)
}

// invalid says that a field's value is not acceptable.
func invalid(field, value, format string, args ...any) *apiError {
	return fault(http.StatusBadRequest, "invalid", "Invalid value for field '%s': '%s'. %s", field, value, fmt.Sprintf(format, args...))
}

// required says that a field must be given.
func required(field string) *apiError {
	return fault(http.StatusBadRequest, "required", "Required field '%s' not specified", field)
}

// malformed says that a request is none.
func malformed(format string, args ...any) *apiError {
	e := fault(http.StatusBadRequest, "badRequest", format, args...)
	e.rpc = "INVALID_ARGUMENT"
	return e
}

// notReady says that an operation on a resource is under way.
func notReady(path string) *apiError {
	return fault(http.StatusBadRequest, "resourceNotReady", "The resource '%s' is not ready", path)
}

// inUse says that something still depends on a resource.
func inUse(kind, path, by string) *apiError {
	return fault(http.StatusBadRequest, "resourceInUseByAnotherResource", "The %s resource '%s' is already being used by '%s'", kind, path, by)
}

// throttled says that there were too many calls.
func throttled() *apiError {
	e := fault(http.StatusForbidden, "rateLimitExceeded", "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'.")
	e.rpc, e.detail = "PERMISSION_DENIED", "RATE_LIMIT_EXCEEDED"
	return e
}

// quotaExceeded says that there is no more of something.
func quotaExceeded(metric string, limit int, where string) *apiError {
	return fault(http.StatusForbidden, "quotaExceeded", "Quota '%s' exceeded.  Limit: %d.0 %s.", metric, limit, where)
}

// unauthenticated says that a bearer token is not good.
func unauthenticated() *apiError {
	e := fault(http.StatusUnauthorized, "authError", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.")
	e.rpc, e.detail = "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED"
	return e
}

// doc is the error as the API prints it.
func (e *apiError) doc() any {
	type item struct {
		Message  string `json:"message"`
		Domain   string `json:"domain"`
		Reason   string `json:"reason"`
		Location string `json:"location,omitempty"`
	}
	type info struct {
		Type   string `json:"@type"`
		Reason string `json:"reason"`
		Domain string `json:"domain"`
	}
	type body struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Errors  []item `json:"errors"`
		Status  string `json:"status,omitempty"`
		Details []info `json:"details,omitempty"`
	}
	domain := "global"
	if e.detail == "RATE_LIMIT_EXCEEDED" {
		domain = "usageLimits"
	}
	b := body{Code: e.status, Message: e.message, Errors: []item{{Message: e.message, Domain: domain, Reason: e.reason}}, Status: e.rpc}
	if e.detail != "" {
		b.Details = []info{{"type.googleapis.com/google.rpc.ErrorInfo", e.detail, "googleapis.com"}}
	}
	return map[string]body{"error": b}
}
