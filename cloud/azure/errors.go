package azure

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/cbnet-io/cbnet/cloud"
)

// classes maps the codes of ARM and of its providers that no rule in classify
// covers, or for which the HTTP status says something else.
var classes = map[string]error{
	// Azure sends these two with status 429 or 409; no bucket is empty.
	"RetryableError":                   cloud.ErrUnavailable,
	"ReferencedResourceNotProvisioned": cloud.ErrUnavailable,

	"AnotherOperationInProgress":                 cloud.ErrUnavailable,
	"CanceledAndSupersededDueToAnotherOperation": cloud.ErrUnavailable,
	"Conflict":                                 cloud.ErrUnavailable, // "with a concurrent request"
	"MissingSubscriptionRegistration":          cloud.ErrUnavailable, // see register
	"OperationPreempted":                       cloud.ErrUnavailable,
	"ResourceGroupBeingDeleted":                cloud.ErrUnavailable,
	"ResourceGroupDeletionInProgress":          cloud.ErrUnavailable,
	"RetryableErrorDueToAnotherOperation":      cloud.ErrUnavailable,
	"SubscriptionNotRegistered":                cloud.ErrUnavailable,
	"SubscriptionRequestsThrottled":            cloud.ErrThrottled,
	"TooManyRequests":                          cloud.ErrThrottled,
	"ResourceCollectionRequestsThrottled":      cloud.ErrThrottled,
	"AllocationFailed":                         cloud.ErrCapacity,
	"OverconstrainedAllocationRequest":         cloud.ErrCapacity,
	"OverconstrainedZonalAllocationRequest":    cloud.ErrCapacity,
	"SkuNotAvailable":                          cloud.ErrCapacity,
	"SubnetIsFull":                             cloud.ErrCapacity,
	"ZonalAllocationFailed":                    cloud.ErrCapacity,
	"CannotDeleteResource":                     cloud.ErrInUse,
	"NicInUse":                                 cloud.ErrInUse,
	"NicReservedForAnotherVm":                  cloud.ErrInUse,
	"PublicIPAddressCannotBeDeleted":           cloud.ErrInUse,
	"InUseNetworkSecurityGroupCannotBeDeleted": cloud.ErrInUse,
	"InUseSubnetCannotBeDeleted":               cloud.ErrInUse,
	"OperationNotAllowed":                      cloud.ErrInUse, // or ErrQuota: see wrap
	"InvalidResourceReference":                 cloud.ErrNotFound,
	"NotFound":                                 cloud.ErrNotFound,
	"InvalidResourceGroupLocation":             cloud.ErrConflict,
	"InvalidResourceLocation":                  cloud.ErrConflict,
	"PreconditionFailed":                       cloud.ErrConflict,
	"PrivateIPAddressIsAllocated":              cloud.ErrConflict,
	"PropertyChangeNotAllowed":                 cloud.ErrConflict,
	"PublicIPAddressInUse":                     cloud.ErrConflict,
	"GalleryImageNotFound":                     cloud.ErrInvalid,
	"ImageNotFound":                            cloud.ErrInvalid,
	"LocationNotAvailableForResourceGroup":     cloud.ErrInvalid,
	"LocationNotAvailableForResourceType":      cloud.ErrInvalid,
	"NoRegisteredProviderFound":                cloud.ErrInvalid,
	"PlatformImageNotFound":                    cloud.ErrInvalid,
	"DisallowedOperation":                      cloud.ErrAuth,
	"InvalidSubscriptionId":                    cloud.ErrAuth,
	"ReadOnlyDisabledSubscription":             cloud.ErrAuth,
	"ScopeLocked":                              cloud.ErrAuth,
	"SubscriptionNotFound":                     cloud.ErrAuth,
}

// classify returns the class of a code (may be empty) and HTTP status, nil if
// unknown.
func classify(code string, status int) error {
	if c, ok := classes[code]; ok {
		return c
	}
	switch {
	case strings.HasSuffix(code, "QuotaExceeded"), strings.HasSuffix(code, "LimitReached"), strings.HasSuffix(code, "LimitExceeded"):
		return cloud.ErrQuota
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cloud.ErrAuth
	case status == http.StatusNotFound:
		return cloud.ErrNotFound
	case status == http.StatusPreconditionFailed:
		return cloud.ErrConflict
	case status == http.StatusTooManyRequests:
		return cloud.ErrThrottled
	case status == http.StatusRequestTimeout, status >= 500:
		return cloud.ErrUnavailable
	case status == http.StatusBadRequest:
		return cloud.ErrInvalid
	}
	return nil
}

// fault is how ARM tells an error: {"error": {...}}, or the inside alone.
type fault struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Details []fault `json:"details"`
}

// wrap turns an error of the SDK into one of the contract. op names the call, as
// "PUT virtualMachines".
func wrap(op string, err error) error {
	var known *cloud.APIError
	if err == nil || errors.As(err, &known) {
		return err // of a token: see token.go
	}
	e := &cloud.APIError{Provider: Provider, Op: op}
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.RawResponse == nil {
		// No answer, half an answer, or one that is not ARM's: the call may
		// have taken effect.
		e.Class = cloud.ErrUnavailable
		return fmt.Errorf("%w: %w", e, err)
	}
	resp := answer.RawResponse
	f := readFault(resp)
	e.Status, e.Code, e.Message = answer.StatusCode, cmp.Or(answer.ErrorCode, f.Code), f.text()
	e.RequestID, e.After = resp.Header.Get("X-Ms-Request-Id"), retryAfter(resp.Header)
	e.Class = classify(e.Code, e.Status)
	// Compute has one code for a quota and for a machine that is in no state
	// for the call, and nothing but the text tells them apart.
	if e.Code == "OperationNotAllowed" && strings.Contains(strings.ToLower(e.Message), "quota") {
		e.Class = cloud.ErrQuota
	}
	if e.Code == "" {
		e.Code = strconv.Itoa(e.Status)
		if e.Class == nil || e.Status == http.StatusNotFound {
			e.Class = cloud.ErrUnavailable // not ARM's: all its errors have a code
		}
	}
	return e
}

// readFault reads the error in an answer; the SDK has kept its body.
func readFault(resp *http.Response) fault {
	body, err := runtime.Payload(resp)
	if err != nil {
		return fault{}
	}
	var outer struct {
		Error *fault `json:"error"`
	}
	if json.Unmarshal(body, &outer) == nil && outer.Error != nil {
		return *outer.Error
	}
	var inner fault
	if json.Unmarshal(body, &inner) != nil {
		return fault{}
	}
	return inner
}

// text returns the message with those of the details, where they say more.
func (f fault) text() string {
	s := f.Message
	for _, d := range f.Details {
		if d.Message != "" && !strings.Contains(s, d.Message) {
			s += " (" + d.Code + ": " + d.Message + ")"
		}
	}
	return cut(s)
}

// maxFault bounds how much of an answer goes into an error, in bytes.
const maxFault = 1000

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxFault)], "") }

// retryAfter reads the header of that name, 0 if it is missing or a date.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// hasCode reports whether err bears one of the vendor's codes.
func hasCode(err error, codes ...string) bool {
	var e *cloud.APIError
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// gone returns nil in place of an error that says that there is no such thing.
func gone(err error) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}
