package alibaba

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// skew is how far a request's time may be from the server's.
const skew = 15 * time.Minute

const algorithm3 = "ACS3-HMAC-SHA256"

// verify finds out that a request was signed with the account's key, by
// recomputing the signature. Where the parameters are in the headers it adds
// them to q.
func (c *Cloud) verify(r *http.Request, body []byte, q query) error {
	if strings.HasPrefix(r.Header.Get("Authorization"), algorithm3+" ") {
		return c.verify3(r, body, q)
	}
	return c.verify1(r, q)
}

// verify1 checks the signature in the query:
// https://www.alibabacloud.com/help/en/sdk/product-overview/rpc-mechanism.
func (c *Cloud) verify1(r *http.Request, q query) error {
	for _, k := range []string{"AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"} {
		if q.str(k) == "" {
			return missing(k)
		}
	}
	if q.str("SignatureMethod") != "HMAC-SHA1" || q.str("SignatureVersion") != "1.0" {
		return fault(400, "InvalidSignatureMethod", "Specified signature method is not valid.")
	}
	if err := c.verifyKey(q.str("AccessKeyId"), q.str("SecurityToken")); err != nil {
		return err
	}
	var pairs []string
	for _, k := range sortedKeys(q) {
		if k != "Signature" {
			pairs = append(pairs, percent(k)+"="+percent(q[k]))
		}
	}
	text := r.Method + "&" + percent("/") + "&" + percent(strings.Join(pairs, "&"))
	mac := hmac.New(sha1.New, []byte(c.opts.Key.Secret+"&"))
	mac.Write([]byte(text))
	got, err := base64.StdEncoding.DecodeString(q.str("Signature"))
	if err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		return mismatch(text)
	}
	return c.verifyTime(q.str("Timestamp"), q.str("SignatureNonce"))
}

// verify3 checks the signature in the Authorization header:
// https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature.
func (c *Cloud) verify3(r *http.Request, body []byte, q query) error {
	fields := map[string]string{}
	for f := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), algorithm3+" "), ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[k] = v
	}
	if err := c.verifyKey(fields["Credential"], r.Header.Get("X-Acs-Security-Token")); err != nil {
		return err
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	for _, h := range []string{"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"} {
		if !slices.Contains(signed, h) {
			return fault(400, "IncompleteSignature", "The header %s is not signed.", h)
		}
	}
	sum := sha256.Sum256(body)
	if r.Header.Get("X-Acs-Content-Sha256") != hex.EncodeToString(sum[:]) {
		return fault(400, "SignatureDoesNotMatch", "The x-acs-content-sha256 is not that of the body.")
	}
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault(400, "InvalidParameter", "The query is not well-formed.")
	}
	var pairs []string
	for _, k := range sortedKeys(params) {
		pairs = append(pairs, percent(k)+"="+percent(params.Get(k)))
	}
	path, _, _ := strings.Cut(r.RequestURI, "?") // as the client sees it
	var headers strings.Builder
	for _, h := range signed {
		v := r.Header.Get(h)
		if h == "host" {
			v = r.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", h, strings.TrimSpace(v))
	}
	canonical := strings.Join([]string{
		r.Method, path, strings.Join(pairs, "&"), headers.String(), fields["SignedHeaders"], hex.EncodeToString(sum[:]),
	}, "\n")
	hash := sha256.Sum256([]byte(canonical))
	text := algorithm3 + "\n" + hex.EncodeToString(hash[:])
	mac := hmac.New(sha256.New, []byte(c.opts.Key.Secret))
	mac.Write([]byte(text))
	if got, err := hex.DecodeString(fields["Signature"]); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		return mismatch(text)
	}
	q["Action"], q["Version"] = r.Header.Get("X-Acs-Action"), r.Header.Get("X-Acs-Version")
	return c.verifyTime(r.Header.Get("X-Acs-Date"), r.Header.Get("X-Acs-Signature-Nonce"))
}

func (c *Cloud) verifyKey(id, token string) error {
	switch key := c.opts.Key; {
	case id != key.ID:
		return fault(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
	case key.Token != "" && token == "":
		return fault(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
	case token != key.Token:
		return fault(400, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.")
	}
	return nil
}

// verifyTime refuses requests of another time, and such as were sent before.
func (c *Cloud) verifyTime(stamp, nonce string) error {
	at, err := time.Parse("2006-01-02T15:04:05Z", stamp)
	if err != nil {
		return fault(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
	}
	now := c.now()
	if d := now.Sub(at); d > skew || d < -skew {
		return fault(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, used := c.nonces[nonce]; used {
		return fault(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
	}
	if len(c.nonces) > 1<<16 {
		for n, t := range c.nonces {
			if now.Sub(t) > 2*skew {
				delete(c.nonces, n)
			}
		}
	}
	c.nonces[nonce] = now
	return nil
}

func mismatch(text string) error {
	return fault(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation. server string to sign is:%s", text)
}

// percent encodes a text as RFC 3986 says, which the signature wants.
func percent(s string) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
}
