package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/cbnet-io/cbnet/cloud"
)

// classes maps Neutron's error types, which it sends beside the HTTP status.
var classes = map[string]error{
	"OverQuota":                              cloud.ErrQuota,
	"conflictingRequest":                     cloud.ErrInUse, // Nova: the server or port is not in a state for this
	"IpAddressGenerationFailure":             cloud.ErrCapacity,
	"ExternalIpAddressExhausted":             cloud.ErrCapacity,
	"NoNetworkAvailable":                     cloud.ErrCapacity,
	"IpAddressAlreadyAllocated":              cloud.ErrConflict,
	"IpAddressInUse":                         cloud.ErrConflict,
	"MacAddressInUse":                        cloud.ErrConflict,
	"FloatingIPPortAlreadyAssociated":        cloud.ErrConflict,
	"SecurityGroupRuleExists":                cloud.ErrConflict,
	"ExternalGatewayForFloatingIPNotFound":   cloud.ErrNotFound,
	"RetryRequest":                           cloud.ErrUnavailable,
	"RouterInterfaceInUseByFloatingIP":       cloud.ErrInUse,
	"RouterExternalGatewayInUseByFloatingIp": cloud.ErrInUse,
	"L3PortInUse":                            cloud.ErrInUse,
	"ServicePortInUse":                       cloud.ErrInUse,
	"RevisionNumberConstraintFailed":         cloud.ErrConflict,
}

// classify returns the class of a Neutron type (may be empty) and HTTP status,
// nil if unknown.
func classify(code string, status int) error {
	if c, ok := classes[code]; ok {
		return c
	}
	switch {
	case status == http.StatusConflict && strings.HasSuffix(code, "InUse"):
		return cloud.ErrInUse
	case status == http.StatusBadRequest:
		return cloud.ErrInvalid
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cloud.ErrAuth
	case status == http.StatusNotFound:
		return cloud.ErrNotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return cloud.ErrConflict
	case status == http.StatusRequestEntityTooLarge, status == http.StatusTooManyRequests:
		return cloud.ErrThrottled
	case status >= 500:
		return cloud.ErrUnavailable
	}
	return nil
}

// wrap turns an error of gophercloud into one of the contract. op names the
// call, as "POST /ports".
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &cloud.APIError{Provider: Provider, Op: op}
	var re *gophercloud.ErrUnableToReauthenticate
	if errors.As(err, &re) {
		e.Op, err = "POST /auth/tokens", re.ErrReauth
	}
	var resp gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &resp) {
		// No answer, or half of one: the call may have taken effect.
		e.Class = cloud.ErrUnavailable
		return fmt.Errorf("%w: %w", e, err)
	}
	e.Status = resp.Actual
	e.RequestID = resp.ResponseHeader.Get("X-Openstack-Request-Id")
	if e.RequestID == "" {
		e.RequestID = resp.ResponseHeader.Get("X-Compute-Request-Id")
	}
	e.Code, e.Message = parseFault(resp.Body)
	e.Class = classify(e.Code, e.Status)
	if e.Code == "" {
		e.Code = strconv.Itoa(e.Status)
	}
	if n, err := strconv.Atoi(resp.ResponseHeader.Get("Retry-After")); err == nil && n >= 0 && n <= 3600 {
		e.After = time.Duration(n) * time.Second
	}
	return e
}

// maxFault bounds how much of an answer goes into an error.
const maxFault = 1000

// parseFault reads the code and the message from the body of an answer that is
// not a success. The services differ:
//
//	Neutron   {"NeutronError": {"type": "OverQuota", "message": "..."}}
//	Nova      {"badRequest": {"code": 400, "message": "..."}}
//	Keystone  {"error": {"code": 401, "title": "Unauthorized", "message": "..."}}
func parseFault(body []byte) (code, message string) {
	var outer map[string]json.RawMessage
	if json.Unmarshal(body, &outer) != nil || len(outer) != 1 {
		return "", ""
	}
	for key, raw := range outer {
		var inner struct {
			Type    string `json:"type"`
			Title   string `json:"title"`
			Message string `json:"message"`
		}
		if json.Unmarshal(raw, &inner) != nil {
			var text string // Neutron's policy refusals are plain text
			if json.Unmarshal(raw, &text) != nil {
				return "", ""
			}
			return key, text[:min(len(text), maxFault)]
		}
		code = inner.Type
		if code == "" {
			code = inner.Title
		}
		if code == "" {
			code = key
		}
		message = inner.Message[:min(len(inner.Message), maxFault)]
	}
	return code, message
}

// hasCode reports whether err bears one of the vendor's codes.
func hasCode(err error, codes ...string) bool {
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
