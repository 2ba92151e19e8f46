package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/cbnet-io/cbnet/cloud"
)

// maxCredentials bounds a credentials file; real ones have a few hundred bytes.
const maxCredentials = 64 << 10

// account is a service principal and where it is valid, under the names that
// `az ad sp create-for-rbac --sdk-auth` gives them; that file has more.
type account struct {
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`
	TenantID       string `json:"tenantId"`
	SubscriptionID string `json:"subscriptionId"`
	AuthorityURL   string `json:"activeDirectoryEndpointUrl"`
	ManagerURL     string `json:"resourceManagerEndpointUrl"`

	ambient bool // ask Azure's default chain
}

var (
	subscriptionRule = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	tenantRule       = regexp.MustCompile(`^[0-9a-zA-Z.-]+$`)
)

func badCredentials(format string, args ...any) error {
	return fmt.Errorf("azure credentials: %w: %s", cloud.ErrInvalid, fmt.Sprintf(format, args...))
}

// readAccount finds out who is to work where. Errors never quote a value.
func readAccount(cfg Config) (account, error) {
	acc, err := parseAccount(cfg.Credentials)
	if cfg.Ambient {
		acc, err = ambientAccount()
	}
	if err != nil {
		return account{}, err
	}
	acc.SubscriptionID = strings.ToLower(acc.SubscriptionID)
	if acc.ManagerURL, err = endpoint(cfg.Endpoint, acc.ManagerURL, azcloud.AzurePublic.Services[azcloud.ResourceManager].Endpoint); err != nil {
		return account{}, err
	}
	if acc.AuthorityURL, err = endpoint("", acc.AuthorityURL, azcloud.AzurePublic.ActiveDirectoryAuthorityHost); err != nil {
		return account{}, err
	}
	return acc, nil
}

// endpoint returns the first that is given of the user's explicit URL, which may
// be plain http, that of the credentials and the default, without a slash at
// its end.
func endpoint(explicit, own, def string) (string, error) {
	s, schemes := explicit, []string{"http", "https"}
	if s == "" {
		s, schemes = own, []string{"https"}
	}
	if s == "" {
		s = def
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != schemes[0] && u.Scheme != schemes[len(schemes)-1] {
		if explicit != "" && (err != nil || u.User == nil) {
			return "", fmt.Errorf("azure endpoint %q: %w: want http://HOST:PORT or https://HOST", explicit, cloud.ErrInvalid)
		}
		return "", fmt.Errorf("azure endpoint: %w: want https://HOST and nothing secret in it", cloud.ErrInvalid)
	}
	return strings.TrimRight(s, "/"), nil
}

// parseAccount reads a service principal's JSON file.
func parseAccount(data []byte) (account, error) {
	if len(data) > maxCredentials {
		return account{}, badCredentials("%d bytes, at most %d", len(data), maxCredentials)
	}
	var acc account
	if err := json.Unmarshal(data, &acc); err != nil {
		return account{}, badCredentials("not a service principal's JSON file") // err may quote a value
	}
	for _, f := range []struct{ name, value string }{
		{"clientId", acc.ClientID}, {"clientSecret", acc.ClientSecret}, {"tenantId", acc.TenantID}, {"subscriptionId", acc.SubscriptionID},
	} {
		if f.value == "" {
			return account{}, badCredentials("%s is missing", f.name)
		}
	}
	if !subscriptionRule.MatchString(acc.SubscriptionID) {
		return account{}, badCredentials("subscriptionId is no UUID")
	}
	if !tenantRule.MatchString(acc.TenantID) {
		return account{}, badCredentials("tenantId is neither a UUID nor a domain")
	}
	return acc, nil
}

// ambientAccount takes what the environment has; the default chain finds the
// credentials by itself, and az's profile knows the subscription.
func ambientAccount() (account, error) {
	acc := account{
		ClientID: os.Getenv("AZURE_CLIENT_ID"), ClientSecret: os.Getenv("AZURE_CLIENT_SECRET"), TenantID: os.Getenv("AZURE_TENANT_ID"),
		SubscriptionID: os.Getenv("AZURE_SUBSCRIPTION_ID"), AuthorityURL: os.Getenv("AZURE_AUTHORITY_HOST"), ambient: true,
	}
	if acc.AuthorityURL != "" && !strings.Contains(acc.AuthorityURL, "://") {
		acc.AuthorityURL = "https://" + acc.AuthorityURL
	}
	if acc.SubscriptionID == "" {
		acc.SubscriptionID = profileSubscription()
	}
	if !subscriptionRule.MatchString(acc.SubscriptionID) {
		return account{}, badCredentials("no subscription: set AZURE_SUBSCRIPTION_ID, or choose one by az account set")
	}
	return acc, nil
}

// profileSubscription returns the subscription that az has been told to use, ""
// without one.
func profileSubscription() string {
	dir := os.Getenv("AZURE_CONFIG_DIR")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".azure")
	}
	data, err := os.ReadFile(filepath.Join(dir, "azureProfile.json"))
	if err != nil {
		return "" // az was never used here
	}
	var profile struct {
		Subscriptions []struct {
			ID        string `json:"id"`
			IsDefault bool   `json:"isDefault"`
		} `json:"subscriptions"`
	}
	// az writes a byte order mark.
	if err := json.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), &profile); err != nil {
		return ""
	}
	for _, s := range profile.Subscriptions {
		if s.IsDefault {
			return s.ID
		}
	}
	return ""
}

// plain reports whether ARM is reached by plain http, as a simulated one is.
func (a account) plain() bool { return strings.HasPrefix(a.ManagerURL, "http:") }

// audience is whom the tokens are for.
func (a account) audience() string {
	if a.ManagerURL == azcloud.AzurePublic.Services[azcloud.ResourceManager].Endpoint {
		return azcloud.AzurePublic.Services[azcloud.ResourceManager].Audience
	}
	return a.ManagerURL
}

// credential returns what fetches tokens: Azure's own libraries, which insist on
// https, and for a plain endpoint the same exchange by [secretCredential].
func (a account) credential(transport http.RoundTripper) (azcore.TokenCredential, error) {
	if a.plain() {
		if a.ClientID == "" || a.ClientSecret == "" || a.TenantID == "" {
			return nil, fmt.Errorf("azure credentials: %w: a plain endpoint takes a service principal's secret only", cloud.ErrAuth)
		}
		return newSecretCredential(a, transport), nil
	}
	o := policy.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: a.AuthorityURL},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: &http.Client{Transport: transport},
	}
	var c azcore.TokenCredential
	var err error
	if a.ambient {
		c, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o})
	} else {
		c, err = azidentity.NewClientSecretCredential(a.TenantID, a.ClientID, a.ClientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: o})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("azure credentials: %w", cloud.ErrAuth), err)
	}
	return identity{c}, nil
}
