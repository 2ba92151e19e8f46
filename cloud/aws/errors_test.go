package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/aws"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
)

// answering returns a driver of a server that answers everything alike, and
// the number of requests it got.
func answering(t *testing.T, h http.HandlerFunc) (*aws.Driver, func() int) {
	t.Helper()
	requests := make(chan struct{}, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- struct{}{}
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return newDriver(t, aws.Config{Endpoint: srv.URL, Credentials: []byte(credentialsFile)}), func() int { return len(requests) }
}

func TestErrorClasses(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		want   error
	}{
		{503, "RequestLimitExceeded", cloud.ErrThrottled},
		{400, "Throttling", cloud.ErrThrottled},
		{429, "Whatever", cloud.ErrThrottled},
		{400, "VcpuLimitExceeded", cloud.ErrQuota},
		{400, "VpcLimitExceeded", cloud.ErrQuota},
		{500, "InsufficientInstanceCapacity", cloud.ErrCapacity},
		{400, "Unsupported", cloud.ErrCapacity},
		{400, "InvalidSubnetID.NotFound", cloud.ErrNotFound},
		{400, "InvalidAMIID.NotFound", cloud.ErrInvalid},
		{400, "DependencyViolation", cloud.ErrInUse},
		{400, "InvalidGroup.InUse", cloud.ErrInUse},
		{400, "IncorrectInstanceState", cloud.ErrInUse},
		{400, "IdempotentParameterMismatch", cloud.ErrConflict},
		{400, "InvalidIPAddress.InUse", cloud.ErrConflict},
		{401, "AuthFailure", cloud.ErrAuth},
		{403, "UnauthorizedOperation", cloud.ErrAuth},
		{400, "RequestExpired", cloud.ErrAuth},
		{403, "Novel", cloud.ErrAuth},
		{400, "InvalidParameterValue", cloud.ErrInvalid},
		{400, "MissingParameter", cloud.ErrInvalid},
		{500, "InternalError", cloud.ErrUnavailable},
		{503, "Unavailable", cloud.ErrUnavailable},
		{502, "Novel", cloud.ErrUnavailable},
		{400, "Novel", nil},
	} {
		t.Run(fmt.Sprint(tc.status, tc.code), func(t *testing.T) {
			d, requests := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(tc.status)
				fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>text</Message></Error></Errors><RequestID>r-1</RequestID></Response>`, tc.code)
			})
			_, err := d.Regions(t.Context())
			var e *cloud.APIError
			if !errors.As(err, &e) {
				t.Fatalf("%v is no APIError", err)
			}
			if e.Class != tc.want || e.Code != tc.code || e.Status != tc.status || e.Message != "text" ||
				e.RequestID != "r-1" || e.After != 3*time.Second || e.Op != "DescribeRegions" {
				t.Errorf("got %+v, want class %v", e, tc.want)
			}
			if n := requests(); n != 1 {
				t.Errorf("%d requests, want one: the SDK must not repeat", n)
			}
		})
	}
}

func TestForeignAnswers(t *testing.T) {
	cloudtest.ForeignAnswers(t, "<DescribeRegionsResponse><regionInfo>", func(t *testing.T, h http.HandlerFunc) error {
		d, _ := answering(t, h)
		_, err := d.Regions(t.Context())
		return err
	})
	d := newDriver(t, aws.Config{Endpoint: "http://127.0.0.1:1", Credentials: []byte(credentialsFile)})
	if _, err := d.Regions(t.Context()); !errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("refused connection: got %v, want ErrUnavailable", err)
	}
}

// TestEmptyAnswers asserts that a success that says nothing is no success.
func TestEmptyAnswers(t *testing.T) {
	for _, empty := range []string{"CreateVpc", "CreateInternetGateway", "CreateSubnet", "CreateSecurityGroup"} {
		d, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			action := r.FormValue("Action")
			body := map[string]string{
				"CreateVpc":             "<vpc><vpcId>vpc-1</vpcId></vpc>",
				"CreateInternetGateway": "<internetGateway><internetGatewayId>igw-1</internetGatewayId></internetGateway>",
				"CreateSubnet":          "<subnet><subnetId>subnet-1</subnetId></subnet>",
				"DescribeRouteTables":   "<routeTableSet><item><routeTableId>rtb-1</routeTableId></item></routeTableSet>",
			}[action]
			if action == empty {
				body = ""
			}
			fmt.Fprintf(w, "<%[1]sResponse>%[2]s</%[1]sResponse>", action, body)
		})
		net, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{
			Owner: cloud.Owner{Mesh: "m", MCIS: "i"}, Region: "r", Name: "n", CIDR: netip.MustParsePrefix("10.0.0.0/24"),
		})
		if !errors.Is(err, cloud.ErrUnavailable) || !strings.Contains(err.Error(), empty) {
			t.Errorf("%s: got %+v, %v, want ErrUnavailable", empty, net, err)
		}
	}
}
