package azure

import (
	"encoding/json"
	"fmt"
)

// apiError is an answer that is not a success.
type apiError struct {
	status  int
	code    string
	message string
	details []detail
	after   int // Retry-After in seconds, 0 for none
}

// detail is an error inside an error.
type detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

// fault returns an error answer.
func fault(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// MarshalJSON writes the inside of ARM's envelope.
func (e *apiError) MarshalJSON() ([]byte, error) {
	details := e.details
	if details == nil {
		details = []detail{}
	}
	return json.Marshal(struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []detail `json:"details"`
	}{e.code, e.message, details})
}

// busy says that an operation on something is still under way.
func busy(what string) *apiError {
	e := fault(429, "RetryableError", "A retryable error occurred.")
	e.details = []detail{{"AnotherOperationInProgress", "Another operation on this or dependent resource is in progress: " + what}}
	return e
}

// notReady says that something that is referred to is not there in full yet.
func notReady(what, by, state string) *apiError {
	e := fault(429, "RetryableError", "A retryable error occurred.")
	e.details = []detail{{"ReferencedResourceNotProvisioned", fmt.Sprintf(
		"Cannot proceed with operation because resource %s used by resource %s is not in Succeeded state. Resource is in %s state.", what, by, state)}}
	return e
}

// notFound says that there is no such resource.
func notFound(p path) *apiError {
	return fault(404, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		p.kind, p.name, p.group)
}

// badReference says that something that is referred to does not exist.
func badReference(what, by string) *apiError {
	return fault(400, "InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", what, by)
}
