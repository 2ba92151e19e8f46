package azure

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// tokenLife is how long a token is valid, in Entra ID between 60 and 90 minutes.
const tokenLife = time.Hour

// issueToken answers the client credentials grant of OAuth 2.0 as Entra ID does;
// its numbers are at
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
func (c *Cloud) issueToken(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, 64<<10)
	deny := func(status int, kind, code, text string) {
		writeToken(w, status, map[string]any{
			"error": kind, "error_description": code + ": " + text + "\r\nTrace ID: " + uuid.NewString() + "\r\nTimestamp: " + c.now().UTC().Format(time.RFC3339),
			"timestamp": c.now().UTC().Format(time.RFC3339), "correlation_id": uuid.NewString(),
		})
	}
	if err := req.ParseForm(); err != nil {
		deny(400, "invalid_request", "AADSTS900144", "The request body is malformed.")
		return
	}
	switch secret := req.PostForm.Get("client_secret"); {
	case !strings.EqualFold(req.PathValue("tenant"), c.tenant):
		deny(400, "invalid_request", "AADSTS90002", "Tenant '"+req.PathValue("tenant")+"' not found.")
	case req.PostForm.Get("grant_type") != "client_credentials":
		deny(400, "unsupported_grant_type", "AADSTS70003", "The app requested an unsupported grant type '"+req.PostForm.Get("grant_type")+"'.")
	case !strings.EqualFold(req.PostForm.Get("client_id"), c.client):
		deny(400, "unauthorized_client", "AADSTS700016", "Application with identifier '"+req.PostForm.Get("client_id")+"' was not found in the directory.")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(c.opts.Secret)) != 1:
		deny(401, "invalid_client", "AADSTS7000215", "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.")
	case !strings.HasSuffix(req.PostForm.Get("scope"), "/.default"):
		deny(400, "invalid_scope", "AADSTS1002012", "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.")
	default:
		token := uuid.NewString() + uuid.NewString()
		now := c.now()
		c.mu.Lock()
		for t, end := range c.tokens {
			if now.After(end) {
				delete(c.tokens, t)
			}
		}
		c.tokens[token] = now.Add(tokenLife)
		c.mu.Unlock()
		seconds := int(tokenLife / time.Second)
		writeToken(w, 200, map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token})
	}
}

func writeToken(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	text, _ := json.Marshal(body) // cannot fail: strings and numbers only
	_, _ = w.Write(text)          // the client may be gone
}

// authorizeLocked checks the token of a request to ARM.
func (c *Cloud) authorizeLocked(req *http.Request) *apiError {
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return fault(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	switch end, known := c.tokens[token]; {
	case !known:
		return fault(401, "InvalidAuthenticationToken", "The access token is invalid.")
	case c.now().After(end):
		return fault(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
	}
	return nil
}
