package alibaba

import "fmt"

// apiError is an answer that is not a success.
type apiError struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (e *apiError) Error() string { return e.code + ": " + e.message }

func fault(status int, code, format string, args ...any) error {
	return &apiError{status, code, fmt.Sprintf(format, args...)}
}

func missing(name string) error {
	return fault(400, "MissingParameter", "The input parameter %q that is mandatory for processing this request is not supplied.", name)
}

func invalid(name, value string) error {
	return fault(400, "InvalidParameter."+name, "The specified parameter %q is not valid: %.100q.", name, value)
}
