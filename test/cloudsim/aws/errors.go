package aws

import (
	"fmt"
	"strings"
)

// apiError is an answer that is not a success, with EC2's own code and words.
type apiError struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (e *apiError) Error() string { return e.code + ": " + e.message }

// fault returns an error answer.
func fault(status int, code, format string, args ...any) error {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// missing says that a parameter must be given.
func missing(name string) error {
	return fault(400, "MissingParameter", "The request must contain the parameter %s", lowerFirst(name))
}

// invalid says that a parameter's value is not acceptable.
func invalid(name, value string) error {
	return fault(400, "InvalidParameterValue", "Value (%s) for parameter %s is invalid.", value, lowerFirst(name))
}

// dependency says that something still depends on an object.
func dependency(kind, id string) error {
	return fault(400, "DependencyViolation", "The %s '%s' has dependencies and cannot be deleted.", kind, id)
}

// lowerFirst gives a parameter's name as EC2 spells it in its messages.
func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
