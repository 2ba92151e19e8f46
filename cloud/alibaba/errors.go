package alibaba

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// classes maps the codes of ECS and VPC that no rule in classify covers. They
// are those of the vendor's lists (https://api.alibabacloud.com/document, error
// codes of each call) and those that others met: terraform-provider-alicloud and
// Gardener's machine-controller-manager-provider-alicloud list what they repeat.
var classes = map[string]error{
	"Forbidden":                                  cloud.ErrAuth,
	"IncompleteSignature":                        cloud.ErrAuth,
	"InvalidAccessKeyId":                         cloud.ErrAuth,
	"InvalidTimeStamp.Expired":                   cloud.ErrAuth,
	"InvalidTimeStamp.Format":                    cloud.ErrAuth,
	"MissingAccessKeyId":                         cloud.ErrAuth,
	"MissingSecurityToken":                       cloud.ErrAuth,
	"NoPermission":                               cloud.ErrAuth,
	"SignatureDoesNotMatch":                      cloud.ErrAuth,
	"Account.Arrearage":                          cloud.ErrQuota,
	"InvalidAccountStatus.NotEnoughBalance":      cloud.ErrQuota,
	"InstanceType.Offline":                       cloud.ErrCapacity,
	"InvalidInstanceType.NotSupported":           cloud.ErrCapacity,
	"InvalidInstanceType.ZoneNotSupported":       cloud.ErrCapacity,
	"InvalidResourceType.NotSupported":           cloud.ErrCapacity,
	"InvalidVpcZone.NotSupported":                cloud.ErrCapacity,
	"NoInstanceStock":                            cloud.ErrCapacity,
	"OperationDenied.CloudSSDNotSupported":       cloud.ErrCapacity,
	"OperationDenied.NoStock":                    cloud.ErrCapacity,
	"OperationDenied.ZoneNotAllowed":             cloud.ErrCapacity,
	"OperationDenied.ZoneSystemCategoryNotMatch": cloud.ErrCapacity,
	"ResourceNotAvailable":                       cloud.ErrCapacity,
	"Zone.NotOnSale":                             cloud.ErrCapacity,
	"Zone.NotOpen":                               cloud.ErrCapacity,
	"IdempotentParameterMismatch":                cloud.ErrConflict,
	"InvalidIPAddress.AlreadyUsed":               cloud.ErrConflict,
	"InvalidStatus.RouteEntry":                   cloud.ErrInUse,
	"Forbidden.InstanceNotFound":                 cloud.ErrNotFound,
	"IdempotentProcessing":                       cloud.ErrUnavailable,
	"InternalError":                              cloud.ErrUnavailable,
	"InvalidOperation.Conflict":                  cloud.ErrUnavailable,
	"Operation.Conflict":                         cloud.ErrUnavailable,
	"OperationConflict":                          cloud.ErrUnavailable,
	"OperationFailed.DistibuteLock":              cloud.ErrUnavailable, // as the vendor spells it
	"ServiceUnavailable":                         cloud.ErrUnavailable,
	"SignatureNonceUsed":                         cloud.ErrUnavailable, // the transport repeated the request
	"SystemBusy":                                 cloud.ErrUnavailable,
	"TaskConflict":                               cloud.ErrUnavailable,
	"UnknownError":                               cloud.ErrUnavailable,
	"InvalidAction.NotFound":                     cloud.ErrInvalid,
	"InvalidImageId.NotFound":                    cloud.ErrInvalid,
	"InvalidInstanceType.NotFound":               cloud.ErrInvalid,
	"InvalidRegionId.NotFound":                   cloud.ErrInvalid,
	"InvalidZoneId.NotFound":                     cloud.ErrInvalid,
}

// classify returns the class of a code and HTTP status, nil if unknown.
func classify(code string, status int) error {
	if c, ok := classes[code]; ok {
		return c
	}
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(code, p) })
	}
	begins := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(code, p) })
	}
	switch {
	case has("Throttling") || status == http.StatusTooManyRequests:
		return cloud.ErrThrottled
	case begins("InvalidAccessKeyId.", "InvalidSecurityToken", "Forbidden.", "SignatureDoesNotMatch."):
		return cloud.ErrAuth
	case has("QuotaExceed", "LimitExceed"):
		return cloud.ErrQuota
	case has("TokenProcessing", "RequestProcessing"):
		return cloud.ErrUnavailable
	case has("IpNotEnough"):
		return cloud.ErrCapacity
	case begins("DependencyViolation", "Incorrect") && (has("Status", "DependencyViolation")), has("InUse"):
		return cloud.ErrInUse
	case has("AlreadyExist", "Duplicate", "Overlap", ".Conflict"):
		return cloud.ErrConflict
	case strings.HasSuffix(code, ".NotFound"):
		return cloud.ErrNotFound
	case status >= 500:
		return cloud.ErrUnavailable
	case begins("Invalid", "Missing", "Malformed", "Unsupported"):
		return cloud.ErrInvalid
	case status == http.StatusUnauthorized, status == http.StatusForbidden && code == "":
		return cloud.ErrAuth
	}
	return nil
}

// wrap turns an error of one call into one of the contract. op is the vendor's
// name of the call.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &cloud.APIError{Provider: Provider, Op: op}
	var r *refusal
	if errors.As(err, &r) {
		e.Status, e.Code, e.Message, e.RequestID = r.status, r.Code, r.Message, r.ID
		e.After = retryAfter(r.after)
		e.Class = classify(e.Code, e.Status)
		if e.Code != "" {
			return e
		}
	}
	// No answer, half an answer, or one that is not Alibaba's: whatever it is,
	// the call may have taken effect.
	if e.Class == nil {
		e.Class = cloud.ErrUnavailable
	}
	return fmt.Errorf("%w: %w", e, cause(err))
}

// cause returns what is below net/http's wrapping of an error, which quotes the
// URL, and with it user-data and signature.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads the header of that name, 0 if it is missing or a date.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// already reports whether err carries one of the codes.
func already(err error, codes ...string) bool {
	var e *cloud.APIError
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// notYet turns the absence of something that this very call has seen or made,
// and a state that it will leave by itself, into ErrUnavailable.
func notYet(err error) error {
	if errors.Is(err, cloud.ErrNotFound) || errors.Is(err, cloud.ErrInUse) {
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, err)
	}
	return err
}

// hidden handles the refusal of something that no look-up shows yet: where only
// this network can have made it, an earlier try did.
func hidden(err error) error {
	if errors.Is(err, cloud.ErrConflict) && !already(err, "IdempotentParameterMismatch") {
		return fmt.Errorf("%w: made before and not visible yet: %w", cloud.ErrUnavailable, err)
	}
	return notYet(err)
}
