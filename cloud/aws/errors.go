package aws

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/cbnet-io/cbnet/cloud"
)

// classes maps EC2's codes that no rule in classify covers.
var classes = map[string]error{
	"AccessDenied":                                    cloud.ErrAuth,
	"AuthFailure":                                     cloud.ErrAuth,
	"Blocked":                                         cloud.ErrAuth,
	"ExpiredToken":                                    cloud.ErrAuth,
	"IncompleteSignature":                             cloud.ErrAuth,
	"InvalidAccessKeyId":                              cloud.ErrAuth,
	"InvalidClientTokenId":                            cloud.ErrAuth,
	"InvalidSignatureException":                       cloud.ErrAuth,
	"MissingAuthenticationToken":                      cloud.ErrAuth,
	"OptInRequired":                                   cloud.ErrAuth,
	"PendingVerification":                             cloud.ErrAuth,
	"RequestExpired":                                  cloud.ErrAuth,
	"SignatureDoesNotMatch":                           cloud.ErrAuth,
	"UnauthorizedOperation":                           cloud.ErrAuth,
	"UnrecognizedClientException":                     cloud.ErrAuth,
	"EC2ThrottledException":                           cloud.ErrThrottled,
	"RequestLimitExceeded":                            cloud.ErrThrottled,
	"RequestThrottled":                                cloud.ErrThrottled,
	"RequestThrottledException":                       cloud.ErrThrottled,
	"SlowDown":                                        cloud.ErrThrottled,
	"Throttling":                                      cloud.ErrThrottled,
	"ThrottlingException":                             cloud.ErrThrottled,
	"TooManyRequestsException":                        cloud.ErrThrottled,
	"InsufficientAddressCapacity":                     cloud.ErrCapacity,
	"InsufficientCapacity":                            cloud.ErrCapacity,
	"InsufficientFreeAddressesInSubnet":               cloud.ErrCapacity,
	"InsufficientHostCapacity":                        cloud.ErrCapacity,
	"InsufficientInstanceCapacity":                    cloud.ErrCapacity,
	"InsufficientReservedInstanceCapacity":            cloud.ErrCapacity,
	"UnfulfillableCapacity":                           cloud.ErrCapacity,
	"Unsupported":                                     cloud.ErrCapacity,
	"DependencyViolation":                             cloud.ErrInUse,
	"IncorrectInstanceState":                          cloud.ErrInUse,
	"IncorrectState":                                  cloud.ErrInUse,
	"VolumeInUse":                                     cloud.ErrInUse,
	"Gateway.NotAttached":                             cloud.ErrNotFound,
	"IdempotentParameterMismatch":                     cloud.ErrConflict,
	"IdempotentInstanceTerminated":                    cloud.ErrConflict,
	"Resource.AlreadyAssociated":                      cloud.ErrConflict,
	"RouteAlreadyExists":                              cloud.ErrConflict,
	"InternalError":                                   cloud.ErrUnavailable,
	"InternalFailure":                                 cloud.ErrUnavailable,
	"RequestTimeout":                                  cloud.ErrUnavailable,
	"ServiceUnavailable":                              cloud.ErrUnavailable,
	"Unavailable":                                     cloud.ErrUnavailable,
	"MaxSpotInstanceCountExceeded":                    cloud.ErrQuota,
	"ConcurrentTagAccess":                             cloud.ErrUnavailable,
	"InvalidAMIID.NotFound":                           cloud.ErrInvalid,
	"InvalidAMIID.Unavailable":                        cloud.ErrInvalid,
	"InvalidInstanceType.NotFound":                    cloud.ErrInvalid,
	"InvalidIPAddress.InUse":                          cloud.ErrConflict,
	"InvalidAvailabilityZone.InvalidAvailabilityZone": cloud.ErrInvalid,
}

// classify returns the class of a code and HTTP status, nil if unknown.
func classify(code string, status int) error {
	if c, ok := classes[code]; ok {
		return c
	}
	switch {
	case strings.HasSuffix(code, "LimitExceeded"):
		return cloud.ErrQuota
	case strings.HasSuffix(code, ".NotFound"):
		return cloud.ErrNotFound
	case strings.HasSuffix(code, ".InUse"):
		return cloud.ErrInUse
	case strings.HasSuffix(code, ".Duplicate"), strings.HasSuffix(code, ".Conflict"), strings.HasSuffix(code, "AlreadyExists"):
		return cloud.ErrConflict
	case status == http.StatusTooManyRequests:
		return cloud.ErrThrottled
	case status >= 500:
		return cloud.ErrUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cloud.ErrAuth
	}
	for _, prefix := range []string{"Invalid", "Malformed", "Missing", "Unknown", "Validation", "UnsupportedOperation"} {
		if strings.HasPrefix(code, prefix) {
			return cloud.ErrInvalid
		}
	}
	return nil
}

// wrap turns an error of the SDK into one of the contract. op is EC2's name of
// the call.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &cloud.APIError{Provider: Provider, Op: op}
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		e.Status, e.RequestID = resp.HTTPStatusCode(), resp.ServiceRequestID()
		e.After = retryAfter(resp.Response.Header.Get("Retry-After"))
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError" {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
		e.Class = classify(e.Code, e.Status)
		return e
	}
	// No answer, half an answer, or one that is not EC2's: whatever it is, the
	// call may have taken effect.
	e.Class = classify("", e.Status)
	if e.Class == nil {
		e.Class = cloud.ErrUnavailable
	}
	return fmt.Errorf("%w: %w", e, err)
}

// retryAfter reads the header of that name, 0 if it is missing or a date.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// already reports whether err says that the wanted state exists.
func already(err error, codes ...string) bool {
	var e *cloud.APIError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}
