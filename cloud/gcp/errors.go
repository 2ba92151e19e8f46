package gcp

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/api/googleapi"

	"github.com/cbnet-io/cbnet/cloud"
)

// classes maps the reasons of refused calls ("resourceNotReady") and the codes
// of failed operations (RESOURCE_NOT_READY), in the spelling of the latter.
var classes = map[string]error{
	"ACCESS_NOT_CONFIGURED":                     cloud.ErrAuth,
	"ACCOUNT_DISABLED":                          cloud.ErrAuth,
	"AUTH_ERROR":                                cloud.ErrAuth,
	"BILLING_NOT_ENABLED":                       cloud.ErrAuth,
	"CONDITION_NOT_MET":                         cloud.ErrAuth, // a policy of the organization
	"FORBIDDEN":                                 cloud.ErrAuth,
	"INSUFFICIENT_PERMISSIONS":                  cloud.ErrAuth,
	"PERMISSIONS_ERROR":                         cloud.ErrAuth,
	"SERVICE_DISABLED":                          cloud.ErrAuth,
	"CONCURRENT_OPERATIONS_QUOTA_EXCEEDED":      cloud.ErrThrottled,
	"RATE_LIMIT_EXCEEDED":                       cloud.ErrThrottled,
	"RESOURCE_OPERATION_RATE_EXCEEDED":          cloud.ErrThrottled,
	"USER_RATE_LIMIT_EXCEEDED":                  cloud.ErrThrottled,
	"LIMIT_EXCEEDED":                            cloud.ErrQuota,
	"QUOTA_EXCEEDED":                            cloud.ErrQuota,
	"IP_SPACE_EXHAUSTED":                        cloud.ErrCapacity,
	"IP_SPACE_EXHAUSTED_WITH_DETAILS":           cloud.ErrCapacity,
	"RESOURCE_POOL_EXHAUSTED":                   cloud.ErrCapacity,
	"STOCKOUT":                                  cloud.ErrCapacity,
	"ZONE_RESOURCE_POOL_EXHAUSTED":              cloud.ErrCapacity,
	"ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": cloud.ErrCapacity,
	"OPERATION_IN_PROGRESS":                     cloud.ErrInUse,
	"RESOURCE_IN_USE_BY_ANOTHER_RESOURCE":       cloud.ErrInUse,
	"RESOURCE_NOT_READY":                        cloud.ErrInUse,
	"ALREADY_EXISTS":                            cloud.ErrConflict,
	"DUPLICATE":                                 cloud.ErrConflict,
	"IP_IN_USE_BY_ANOTHER_RESOURCE":             cloud.ErrConflict,
	"RESOURCE_ALREADY_EXISTS":                   cloud.ErrConflict,
	"NOT_FOUND":                                 cloud.ErrNotFound,
	"RESOURCE_NOT_FOUND":                        cloud.ErrNotFound,
	"BAD_REQUEST":                               cloud.ErrInvalid,
	"INVALID":                                   cloud.ErrInvalid,
	"INVALID_PARAMETER":                         cloud.ErrInvalid,
	"INVALID_RESOURCE_USAGE":                    cloud.ErrInvalid,
	"INVALID_USAGE":                             cloud.ErrInvalid,
	"PARSE_ERROR":                               cloud.ErrInvalid,
	"REQUIRED":                                  cloud.ErrInvalid,
	"UNSUPPORTED_OPERATION":                     cloud.ErrInvalid,
	"UPLOAD_TOO_LARGE":                          cloud.ErrInvalid,
	"BACKEND_ERROR":                             cloud.ErrUnavailable,
	"INTERNAL_ERROR":                            cloud.ErrUnavailable,
}

// classify returns the class of a code and HTTP status, nil if unknown.
func classify(code string, status int) error {
	if c, ok := classes[upperSnake(code)]; ok {
		return c
	}
	switch {
	case status == http.StatusTooManyRequests:
		return cloud.ErrThrottled
	case status >= 500 || status == http.StatusRequestTimeout:
		return cloud.ErrUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cloud.ErrAuth
	case status == http.StatusNotFound:
		return cloud.ErrNotFound
	case status == http.StatusBadRequest:
		return cloud.ErrInvalid
	}
	return nil
}

// upperSnake turns "quotaExceeded" into "QUOTA_EXCEEDED" and leaves the latter.
func upperSnake(s string) string {
	if strings.ToUpper(s) == s {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// wrap turns an error of the SDK into one of the contract. op is the method's
// name in Google's discovery document.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &cloud.APIError{Provider: Provider, Op: op}
	var api *googleapi.Error
	if errors.As(err, &api) {
		e.Status, e.Message = api.Code, api.Message
		e.After = retryAfter(api.Header.Get("Retry-After"))
		if len(api.Errors) > 0 {
			e.Code = api.Errors[0].Reason
		}
		e.Class = classify(e.Code, e.Status)
		// The newer form of errors has one reason more, and quotas per minute
		// are told from others by it alone.
		info := errorInfo(api.Details)
		if c, ok := classes[info]; ok {
			e.Class = c
		}
		e.Code = cmp.Or(e.Code, info, http.StatusText(e.Status))
		return e
	}
	if errors.Is(err, errNoToken) {
		return tokenError(e, err)
	}
	// No answer, half an answer, or one that is not Compute Engine's: whatever
	// it is, the call may have taken effect.
	e.Class = cloud.ErrUnavailable
	return fmt.Errorf("%w: %w", e, err)
}

// errorInfo returns the reason of the google.rpc.ErrorInfo among the details of
// an error, "" for none. The SDK's own reader gives up on errors of this API.
func errorInfo(details []any) string {
	for _, d := range details {
		m, _ := d.(map[string]any)
		if kind, _ := m["@type"].(string); strings.HasSuffix(kind, "/google.rpc.ErrorInfo") {
			reason, _ := m["reason"].(string)
			return reason
		}
	}
	return ""
}

// tokenError tells credentials that are refused from a token endpoint that
// cannot be reached. The request itself was not made.
func tokenError(e *cloud.APIError, err error) error {
	var refused *auth.Error
	if !errors.As(err, &refused) || refused.Response == nil {
		e.Class = cloud.ErrUnavailable
		return fmt.Errorf("%w: %w", e, err)
	}
	e.Status, e.Code = refused.Response.StatusCode, "invalid_grant"
	e.Message = "the token endpoint refuses the credentials"
	e.Class = cloud.ErrAuth
	if refused.Temporary() {
		e.Code, e.Message, e.Class = "temporarily_unavailable", "the token endpoint does not give a token now", cloud.ErrUnavailable
	}
	return e
}

// retryAfter reads the header of that name, 0 if it is missing or a date.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// failure returns why an operation failed, nil if it did not.
func failure(call string, op *computepb.Operation) error {
	if op == nil || op.GetStatus() != computepb.Operation_DONE {
		return nil
	}
	list := op.GetError().GetErrors()
	if len(list) == 0 && op.GetHttpErrorStatusCode() < 300 {
		return nil
	}
	e := &cloud.APIError{Provider: Provider, Op: call, Status: int(op.GetHttpErrorStatusCode()), RequestID: op.GetName(),
		Code: http.StatusText(int(op.GetHttpErrorStatusCode())), Message: op.GetHttpErrorMessage()}
	if len(list) > 0 {
		e.Code, e.Message = list[0].GetCode(), list[0].GetMessage()
	}
	e.Class = classify(e.Code, e.Status)
	return e
}

// notYet turns the state of something that this very call has seen or made into
// ErrUnavailable: it is not there or not ready yet.
func notYet(err error) error {
	if errors.Is(err, cloud.ErrNotFound) || errors.Is(err, cloud.ErrInUse) {
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, err)
	}
	return err
}

// taken reports whether err says that the name is.
func taken(err error) bool { return coded(err, "ALREADY_EXISTS", "RESOURCE_ALREADY_EXISTS") }

// busy reports whether err says that an operation on the object is under way.
func busy(err error) bool { return coded(err, "RESOURCE_NOT_READY", "OPERATION_IN_PROGRESS") }

func coded(err error, codes ...string) bool {
	var e *cloud.APIError
	return errors.As(err, &e) && slices.Contains(codes, upperSnake(e.Code))
}
