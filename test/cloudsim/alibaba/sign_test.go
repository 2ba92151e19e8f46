package alibaba_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
)

// TestExampleSignature checks the encoding against the example that the vendor
// publishes: https://www.alibabacloud.com/help/en/sdk/product-overview/rpc-mechanism.
func TestExampleSignature(t *testing.T) {
	params := url.Values{
		"AccessKeyId": {"testid"}, "Action": {"DescribeRegions"}, "Format": {"XML"}, "SignatureMethod": {"HMAC-SHA1"},
		"SignatureNonce": {"3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"}, "SignatureVersion": {"1.0"}, "Timestamp": {"2016-02-23T12:46:24Z"},
		"Version": {"2014-05-26"},
	}
	if got, want := signature("GET", params, "testsecret"), "OLeaidS1JvxuMvnyHOwuJ+uX5qY="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// signature signs as the vendor's document says, with the server's encoding.
func signature(method string, params url.Values, secret string) string {
	var pairs []string
	for k := range params {
		pairs = append(pairs, alibaba.Percent(k)+"="+alibaba.Percent(params.Get(k)))
	}
	slices.Sort(pairs)
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(method + "&%2F&" + alibaba.Percent(strings.Join(pairs, "&"))))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// TestSignatures sends requests that were made in one way and changed in another.
func TestSignatures(t *testing.T) {
	s := open(t)
	base := func() url.Values {
		return url.Values{
			"AccessKeyId": {"LTAIEXAMPLE"}, "Action": {"DescribeRegions"}, "Format": {"JSON"}, "SignatureMethod": {"HMAC-SHA1"},
			"SignatureNonce": {time.Now().String()}, "SignatureVersion": {"1.0"}, "Timestamp": {time.Now().UTC().Format(time.RFC3339)},
			"Version": {"2014-05-26"}, "InstanceChargeType": {"a b*c~d/é"},
		}
	}
	send := func(method string, v url.Values, form bool) string {
		target, body := s.url+"/?"+v.Encode(), io.Reader(nil)
		if form {
			target, body = s.url, strings.NewReader(v.Encode())
		}
		req, err := http.NewRequestWithContext(t.Context(), method, target, body)
		if err != nil {
			t.Fatal(err)
		}
		if form {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 200 {
			return ""
		}
		_, code, _ := strings.Cut(string(text), `"Code":"`)
		code, _, _ = strings.Cut(code, `"`)
		return code
	}
	for _, tc := range []struct {
		name, method, want string
		form               bool
		before, after      func(url.Values)
	}{
		{name: "in the query", method: "GET"},
		{name: "posted query", method: "POST"},
		{name: "posted form", method: "POST", form: true},
		{name: "changed after", method: "GET", want: "SignatureDoesNotMatch", after: func(v url.Values) { v.Set("InstanceChargeType", "x") }},
		{name: "added after", method: "GET", want: "SignatureDoesNotMatch", after: func(v url.Values) { v.Set("AcceptLanguage", "x") }},
		{name: "no signature", method: "GET", want: "MissingParameter", after: func(v url.Values) { v.Del("Signature") }},
		{name: "another key", method: "GET", want: "InvalidAccessKeyId.NotFound", before: func(v url.Values) { v.Set("AccessKeyId", "LTAIOTHER") }},
		{name: "an old request", method: "GET", want: "InvalidTimeStamp.Expired", before: func(v url.Values) { v.Set("Timestamp", "2016-02-23T12:46:24Z") }},
		{name: "no time", method: "GET", want: "InvalidTimeStamp.Format", before: func(v url.Values) { v.Set("Timestamp", "now") }},
		{name: "another method", method: "GET", want: "InvalidSignatureMethod", before: func(v url.Values) { v.Set("SignatureMethod", "HMAC-SHA256") }},
		{name: "another version", method: "GET", want: "InvalidVersion", before: func(v url.Values) { v.Set("Version", "2020-01-01") }},
		{name: "a token nobody gave", method: "GET", want: "InvalidSecurityToken.MismatchWithAccessKey", before: func(v url.Values) { v.Set("SecurityToken", "x") }},
		{name: "twice the same", method: "GET", want: "InvalidParameter", after: func(v url.Values) { v.Add("Action", "DescribeZones") }},
		{name: "another HTTP method", method: "PUT", want: "UnsupportedHTTPMethod"},
	} {
		v := base()
		v.Set("SignatureNonce", tc.name)
		if tc.before != nil {
			tc.before(v)
		}
		v.Set("Signature", signature(tc.method, v, "secret"))
		if tc.after != nil {
			tc.after(v)
		}
		if got := send(tc.method, v, tc.form); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
		if tc.want == "" {
			if got := send(tc.method, v, tc.form); got != "SignatureNonceUsed" {
				t.Errorf("%s again: got %q", tc.name, got)
			}
		}
	}
	s.client = s.with(t, "LTAIEXAMPLE", "wrong", "")
	s.refused(t, "SignatureDoesNotMatch", "ecs", "DescribeRegions", nil)
}
