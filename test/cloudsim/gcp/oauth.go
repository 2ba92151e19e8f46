package gcp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Lives of what proves who the caller is.
const (
	tokenLife     = time.Hour
	assertionLife = time.Hour
	clockSkew     = 5 * time.Minute
)

// refresh is the refresh token of the one user there is.
const (
	userID       = "cloudsim.apps.googleusercontent.com"
	userSecret   = "secret"
	userRefresh  = "1//cloudsim"
	googleToken  = "https://oauth2.googleapis.com/token" // some clients name it whatever the key file says
	grantJWT     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantRefresh = "refresh_token"
)

// newKey returns a service account's key.
func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // never, by its contract
	}
	return k
}

// serviceAccount is the account of a project's credentials.
func serviceAccount(project string) string { return "cbnet@" + project + ".iam.gserviceaccount.com" }

// Credentials returns the key file of a service account, as Google's console
// gives it out, whose token endpoint is this cloud's.
func (c *Cloud) Credentials() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(c.key())
	if err != nil {
		panic(err) // never: it is an RSA key
	}
	return marshal(map[string]string{
		"type": "service_account", "project_id": c.opts.Project, "private_key_id": c.keyID(),
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": serviceAccount(c.opts.Project), "client_id": "100000000000000000001",
		"token_uri": c.opts.URL + "/token", "universe_domain": "googleapis.com",
	})
}

// UserCredentials returns the file that "gcloud auth application-default login"
// leaves, with a token endpoint besides.
func (c *Cloud) UserCredentials() []byte {
	return marshal(map[string]string{
		"type": "authorized_user", "client_id": userID, "client_secret": userSecret, "refresh_token": userRefresh,
		"quota_project_id": c.opts.Project, "token_uri": c.opts.URL + "/token",
	})
}

func marshal(m map[string]string) []byte {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(err) // never: they are strings
	}
	return append(b, '\n')
}

// keyID is the name of the service account's key.
func (c *Cloud) keyID() string {
	sum := sha256.Sum256(c.key().N.Bytes())
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// token is the token endpoint (RFC 6749, RFC 7523).
func (c *Cloud) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	var err error
	if r.ParseForm() != nil {
		err = errors.New("invalid_request")
	} else {
		err = c.checkGrant(r)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(marshal(map[string]string{"error": err.Error(), "error_description": "Bad Request"})) // the client may be gone
		return
	}
	token := "ya29." + rand.Text()
	c.mu.Lock()
	c.tokens[token] = c.now().Add(tokenLife)
	c.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may be gone
		"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()),
	})
}

// checkGrant checks what a client shows to get a token; its error is the code
// of RFC 6749.
func (c *Cloud) checkGrant(r *http.Request) error {
	switch r.PostForm.Get("grant_type") {
	case grantRefresh:
		if !same(r.PostForm.Get("client_id"), userID) || !same(r.PostForm.Get("client_secret"), userSecret) {
			return errors.New("invalid_client")
		}
		if !same(r.PostForm.Get("refresh_token"), userRefresh) {
			return errors.New("invalid_grant")
		}
		return nil
	case grantJWT:
		return c.checkAssertion(r.PostForm.Get("assertion"))
	}
	return errors.New("unsupported_grant_type")
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// checkAssertion checks a token that the service account has signed for this
// endpoint.
func (c *Cloud) checkAssertion(jwt string) error {
	bad := errors.New("invalid_grant")
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return bad
	}
	var head struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	var claims struct {
		Iss   string `json:"iss"`
		Aud   string `json:"aud"`
		Scope string `json:"scope"`
		Iat   int64  `json:"iat"`
		Exp   int64  `json:"exp"`
	}
	for i, into := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return bad
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || head.Alg != "RS256" {
		return bad
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&c.key().PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return bad
	}
	now, issued, ends := c.now(), time.Unix(claims.Iat, 0), time.Unix(claims.Exp, 0)
	switch {
	case claims.Iss != serviceAccount(c.opts.Project), claims.Aud != c.opts.URL+"/token" && claims.Aud != googleToken,
		issued.After(now.Add(clockSkew)), !ends.After(now), ends.Sub(issued) > assertionLife+clockSkew:
		return bad
	case !strings.Contains(claims.Scope, "/auth/cloud-platform") && !strings.Contains(claims.Scope, "/auth/compute"):
		return errors.New("invalid_scope")
	}
	return nil
}

// authenticate checks a call's bearer token. Without any the call is accepted,
// for clients that are told to use no credentials.
func (c *Cloud) authenticate(r *http.Request) error {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if end := c.tokens[token]; !ok || !c.now().Before(end) {
		return unauthenticated()
	}
	return nil
}
