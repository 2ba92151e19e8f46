package alibaba_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/alibaba"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
)

// answering returns a driver whose cloud gives one answer to everything.
func answering(t *testing.T, answer http.HandlerFunc) *alibaba.Driver {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	return newDriver(t, alibaba.Config{Endpoint: srv.URL, Region: region, Credentials: []byte(configJSON("AK", "LTAI", "top-secret", ""))})
}

func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"RequestId": "REQ-1", "HostId": "ecs", "Code": %q, "Message": "in words", "Recommend": "url"}`, code)
	}
}

// TestClasses has the driver read the vendor's refusals.
func TestClasses(t *testing.T) {
	for _, tc := range []struct {
		code   string
		status int
		want   error
	}{
		{"Throttling", 400, cloud.ErrThrottled}, {"Throttling.User", 400, cloud.ErrThrottled}, {"Throttling.Api", 503, cloud.ErrThrottled},
		{"SignatureDoesNotMatch", 400, cloud.ErrAuth}, {"InvalidAccessKeyId.NotFound", 404, cloud.ErrAuth}, {"InvalidAccessKeyId.Inactive", 400, cloud.ErrAuth},
		{"InvalidSecurityToken.Expired", 400, cloud.ErrAuth}, {"Forbidden.RAM", 403, cloud.ErrAuth}, {"InvalidTimeStamp.Expired", 400, cloud.ErrAuth},
		{"QuotaExceed.ElasticQuota", 403, cloud.ErrQuota}, {"QuotaExceeded.Vpc", 400, cloud.ErrQuota}, {"AuthorizationLimitExceed", 403, cloud.ErrQuota},
		{"InvalidAccountStatus.NotEnoughBalance", 403, cloud.ErrQuota},
		{"OperationDenied.NoStock", 403, cloud.ErrCapacity}, {"Zone.NotOnSale", 403, cloud.ErrCapacity}, {"InvalidResourceType.NotSupported", 403, cloud.ErrCapacity},
		{"IncorrectInstanceStatus", 403, cloud.ErrInUse}, {"IncorrectInstanceStatus.Initializing", 403, cloud.ErrInUse}, {"IncorrectVpcStatus", 400, cloud.ErrInUse},
		{"DependencyViolation", 400, cloud.ErrInUse}, {"DependencyViolation.VSwitch", 400, cloud.ErrInUse}, {"IncorrectVSwitchStatus", 400, cloud.ErrInUse},
		{"IdempotentParameterMismatch", 400, cloud.ErrConflict}, {"KeyPair.AlreadyExist", 400, cloud.ErrConflict},
		{"InvalidPrivateIpAddress.Duplicated", 400, cloud.ErrConflict}, {"InvalidCidrBlock.Overlapped", 400, cloud.ErrConflict},
		{"IdempotentProcessing", 400, cloud.ErrUnavailable}, {"ServiceUnavailable", 503, cloud.ErrUnavailable}, {"InternalError", 500, cloud.ErrUnavailable},
		{"OperationFailed.LastTokenProcessing", 400, cloud.ErrUnavailable}, {"OperationFailed.IdempotentTokenProcessing", 400, cloud.ErrUnavailable},
		{"OperationConflict", 400, cloud.ErrUnavailable}, {"Rejected.Throttling", 400, cloud.ErrThrottled}, {"IncorrectStatus.VSwitch", 400, cloud.ErrInUse},
		{"InvalidVSwitchId.IpNotEnough", 403, cloud.ErrCapacity}, {"LastTokenProcessing", 400, cloud.ErrUnavailable}, {"Never.Heard", 502, cloud.ErrUnavailable},
		{"InvalidInstanceId.NotFound", 404, cloud.ErrNotFound}, {"InvalidVpcId.NotFound", 404, cloud.ErrNotFound},
		{"InvalidImageId.NotFound", 404, cloud.ErrInvalid}, {"InvalidInstanceType.ValueNotSupported", 403, cloud.ErrInvalid},
		{"InvalidUserData.SizeExceeded", 400, cloud.ErrInvalid}, {"MissingParameter", 400, cloud.ErrInvalid}, {"InvalidPublicKeyBody.Malformed", 400, cloud.ErrInvalid},
		{"OperationDenied", 403, nil}, {"IdempotentFailed", 400, nil}, {"Never.Heard", 400, nil},
	} {
		err := answering(t, refuse(tc.status, tc.code)).Stop(t.Context(), region, "i-1")
		var api *cloud.APIError
		if !errors.As(err, &api) {
			t.Fatalf("%s: %v", tc.code, err)
		}
		if api.Class != tc.want {
			t.Errorf("%s (HTTP %d): class %v, want %v", tc.code, tc.status, api.Class, tc.want)
		}
		if api.Op != "StopInstance" || api.Status != tc.status || api.Code != tc.code || api.Message != "in words" || api.RequestID != "REQ-1" || api.After != 7*time.Second {
			t.Errorf("%s: got %+v", tc.code, api)
		}
		if !strings.Contains(err.Error(), region) || !strings.Contains(err.Error(), "i-1") || strings.Contains(err.Error(), "Signature=") {
			t.Errorf("%s: %v", tc.code, err)
		}
	}
}

// TestForeignAnswers has a driver meet answers that are not the cloud's: a list
// must not look empty, nor a lost machine deleted.
func TestForeignAnswers(t *testing.T) {
	cloudtest.ForeignAnswers(t, `{"RequestId": "REQ-1", "Regions": {"Region": [`, func(t *testing.T, h http.HandlerFunc) error {
		_, err := answering(t, h).Regions(t.Context())
		return err
	})
	for name, answer := range map[string]http.HandlerFunc{
		"a page":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") },
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"other JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Instances": {}}`) },
		"a list":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[]`) },
		"a number's code": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); fmt.Fprint(w, `{"Code": 404}`) },
		"a page not found": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			fmt.Fprint(w, "<html>404</html>")
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"RequestId": "REQ-1"`)
		},
		"a cut connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"RequestId": "` + strings.Repeat("x", 17<<20)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := answering(t, answer)
			if res, err := d.List(t.Context(), region, owner); !errors.Is(err, cloud.ErrUnavailable) {
				t.Errorf("list: got %v and %v", res, err)
			}
			if err := d.Delete(t.Context(), cloud.Resource{Kind: cloud.KindVM, Region: region, ID: "i-1", Owner: owner}); !errors.Is(err, cloud.ErrUnavailable) {
				t.Errorf("delete: got %v", err)
			}
		})
	}
}

// TestNoSecretsInErrors sends user-data through a connection that breaks.
func TestNoSecretsInErrors(t *testing.T) {
	for name, url := range map[string]string{"refused": "http://127.0.0.1:1", "not to be found": "http://nowhere.invalid"} {
		d := newDriver(t, alibaba.Config{Endpoint: url, Region: region, Credentials: []byte(configJSON("AK", "LTAI", "top-secret", ""))})
		spec := vmSpec(cloud.Network{ID: "vpc-1", SubnetID: "vsw-1", SecurityGroup: "sg-1"})
		spec.UserData = []byte("join-token")
		_, err := d.CreateVM(t.Context(), spec)
		if !errors.Is(err, cloud.ErrUnavailable) || strings.Contains(err.Error(), "Signature") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "UserData") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestContextEnds ends the context of a call that waits for its answer.
func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if err := d.Stop(ctx, region, "i-1"); !errors.Is(err, context.Canceled) || !errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
