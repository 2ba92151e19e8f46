package aws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	amzTime   = "20060102T150405Z"
	// maxSkew is how far a client's clock may be off, as AWS has it.
	maxSkew = 15 * time.Minute
)

// Key is an access key of the one account there is.
type Key struct {
	ID     string
	Secret string
}

// scope is what a signature says about its use.
type scope struct {
	key, date, region, service string
	signed                     []string // lower-case header names
	signature                  string
}

// verify recomputes the signature of a request (Signature Version 4, in the
// Authorization header) and returns the scope it was made for.
func verify(r *http.Request, body []byte, key Key, now time.Time) (scope, error) {
	sc, err := parseScope(r.Header.Get("Authorization"))
	if err != nil {
		return scope{}, err
	}
	when, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return scope{}, fault(400, "IncompleteSignature", "X-Amz-Date is missing or not of the form %s.", amzTime)
	}
	if sc.key != key.ID {
		return scope{}, fault(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	if d := now.Sub(when); d > maxSkew || d < -maxSkew {
		return scope{}, fault(400, "RequestExpired", "Request has expired.")
	}
	if when.UTC().Format("20060102") != sc.date {
		return scope{}, mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if !slices.Contains(sc.signed, "host") {
		return scope{}, mismatch("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	toSign := strings.Join([]string{
		algorithm, r.Header.Get("X-Amz-Date"),
		strings.Join([]string{sc.date, sc.region, sc.service, "aws4_request"}, "/"),
		hexSum(canonicalRequest(r, body, sc.signed)),
	}, "\n")
	want := hex.EncodeToString(sign(signingKey(key.Secret, sc), toSign))
	if !hmac.Equal([]byte(want), []byte(sc.signature)) {
		return scope{}, mismatch("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
	}
	return sc, nil
}

// mismatch says that a signature is not right.
func mismatch(why string) error { return fault(403, "SignatureDoesNotMatch", "%s", why) }

// parseScope reads an Authorization header.
func parseScope(header string) (scope, error) {
	if header == "" {
		return scope{}, fault(400, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	incomplete := fault(400, "IncompleteSignature", "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.")
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return scope{}, incomplete
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, val, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = val
	}
	cred := strings.Split(fields["Credential"], "/")
	if len(cred) != 5 || cred[4] != "aws4_request" || fields["SignedHeaders"] == "" || fields["Signature"] == "" {
		return scope{}, incomplete
	}
	return scope{
		key: cred[0], date: cred[1], region: cred[2], service: cred[3],
		signed: strings.Split(fields["SignedHeaders"], ";"), signature: fields["Signature"],
	}, nil
}

// canonicalRequest prints the request in the form that is signed.
func canonicalRequest(r *http.Request, body []byte, signed []string) string {
	path, query, _ := strings.Cut(r.RequestURI, "?") // as it came: what serves it may have stripped a prefix
	if path == "" {
		path = "/"
	}
	lines := []string{r.Method, path, canonicalQuery(query)}
	for _, name := range signed {
		lines = append(lines, name+":"+headerValue(r, name))
	}
	lines = append(lines, "", strings.Join(signed, ";"), hexSum(string(body)))
	return strings.Join(lines, "\n")
}

// headerValue returns a signed header's value. Go keeps two of them elsewhere.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// canonicalQuery sorts a query string and escapes it as AWS does.
func canonicalQuery(raw string) string {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return raw
	}
	return strings.ReplaceAll(query.Encode(), "+", "%20")
}

// signingKey derives the day's key for a region and service.
func signingKey(secret string, sc scope) []byte {
	k := []byte("AWS4" + secret)
	for _, part := range []string{sc.date, sc.region, sc.service, "aws4_request"} {
		k = sign(k, part)
	}
	return k
}

func sign(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
