package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/cbnet-io/cbnet/cloud"
)

// tokenMargin is how long before its end a token is renewed.
const tokenMargin = 5 * time.Minute

// maxToken bounds the answer to a request for a token, in bytes.
const maxToken = 64 << 10

// opToken is the call that fetches a token.
const opToken = "POST /oauth2/v2.0/token"

// secretCredential swaps a service principal's secret for tokens by OAuth 2.0's
// client credentials grant (RFC 6749, section 4.4), as azidentity does, which
// refuses to do so without TLS.
type secretCredential struct {
	acc  account
	http *http.Client

	mu    sync.Mutex // guards the field below
	token azcore.AccessToken
}

// identity puts the errors of azidentity's credentials into the contract's form.
type identity struct{ azcore.TokenCredential }

// GetToken implements azcore.TokenCredential.
func (c identity) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.TokenCredential.GetToken(ctx, o)
	if err == nil {
		return token, nil
	}
	var denied *azidentity.AuthenticationFailedError
	if errors.As(err, &denied) && denied.RawResponse != nil {
		body, _ := runtime.Payload(denied.RawResponse) // without it the status decides
		return token, tokenFault(denied.RawResponse, body)
	}
	e := &cloud.APIError{Provider: Provider, Op: opToken, Class: cloud.ErrAuth}
	if lost := new(url.Error); ctx.Err() != nil || errors.As(err, &lost) {
		e.Class = cloud.ErrUnavailable
	}
	return token, fmt.Errorf("%w: %w", e, err)
}

func newSecretCredential(acc account, transport http.RoundTripper) *secretCredential {
	return &secretCredential{acc: acc, http: &http.Client{Transport: transport}}
}

// GetToken implements azcore.TokenCredential.
func (c *secretCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	token := c.token
	c.mu.Unlock()
	if time.Until(token.ExpiresOn) > tokenMargin {
		return token, nil
	}
	token, err := c.fetch(ctx, o.Scopes)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	c.mu.Lock()
	c.token = token
	c.mu.Unlock()
	return token, nil
}

func (c *secretCredential) fetch(ctx context.Context, scopes []string) (azcore.AccessToken, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.acc.ClientID}, "client_secret": {c.acc.ClientSecret},
		"scope": {strings.Join(scopes, " ")},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.acc.ManagerURL+"/"+c.acc.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return azcore.AccessToken{}, &cloud.APIError{Provider: Provider, Op: opToken, Class: cloud.ErrInvalid}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(req)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", &cloud.APIError{Provider: Provider, Op: opToken, Class: cloud.ErrUnavailable}, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", &cloud.APIError{Provider: Provider, Op: opToken, Status: resp.StatusCode, Class: cloud.ErrUnavailable}, err)
	}
	if resp.StatusCode != http.StatusOK {
		return azcore.AccessToken{}, tokenFault(resp, body)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" || answer.Seconds <= 0 {
		return azcore.AccessToken{}, &cloud.APIError{Provider: Provider, Op: opToken, Status: resp.StatusCode, Message: "no token in the answer", Class: cloud.ErrUnavailable}
	}
	return azcore.AccessToken{Token: answer.Token, ExpiresOn: time.Now().Add(time.Duration(answer.Seconds) * time.Second)}, nil
}

// tokenFault reads an answer that refuses a token. Entra ID answers a wrong
// secret or an unknown client with invalid_client or unauthorized_client, an
// unknown tenant with invalid_request, and its own code is at the head of the
// description ("AADSTS7000215: ...").
func tokenFault(resp *http.Response, body []byte) error {
	e := &cloud.APIError{Provider: Provider, Op: opToken, Status: resp.StatusCode, RequestID: resp.Header.Get("X-Ms-Request-Id"), After: retryAfter(resp.Header)}
	var fault struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &fault) == nil {
		e.Code = fault.Error
		e.Message, _, _ = strings.Cut(fault.Description, "\r\n") // ids and times follow
		e.Message = cut(e.Message)
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		e.Class = cloud.ErrThrottled
	case resp.StatusCode >= 500:
		e.Class = cloud.ErrUnavailable
	case e.Code != "":
		e.Class = cloud.ErrAuth
	default: // a proxy's page
		e.Class = cloud.ErrUnavailable
	}
	return e
}
