// Package gcp is the driver of Google Compute Engine.
//
// A network is a VPC network with one subnetwork and one firewall rule, and with
// NetworkSpec.NAT a Cloud Router that carries a Cloud NAT. VPC networks are
// global on this cloud, and an MCIS may use the same range in several regions,
// so each region has a network of its own, whose name ends with the region's.
//
// # The mark
//
// Networks, subnetworks, firewall rules and routers have no labels. The mark is
// in their descriptions ([cloud.Owner.Description]), with the words cbnet-region
// and cbnet-name. Machines have it in their description too, and as labels for
// the list: there what is too long for a label is replaced by its digest.
//
// # Idempotency
//
// Names are natural keys: the cloud gives each out once, machines' in a zone.
// All names are derived from the specs, and without VMSpec.Zone the zone is
// derived from the token, among those that offer the machine type. Creates of
// machines also carry a request id made of owner and token, which the cloud
// remembers for an hour.
//
// # Operations
//
// Every change is an operation that ends later. EnsureNetwork waits for each, by
// the API's wait methods, since the next step needs it; the other methods do not
// wait. A machine that the cloud could not start vanishes, and the operation of
// its creation tells why: so long as that is kept (some days) List shows it as a
// machine that is [cloud.VMFailed], whose owner is known by the request id, and
// Delete deletes the operation (permission compute.zoneOperations.delete).
//
// # User-data
//
// It is the metadata value user-data, which cloud-init reads (Ubuntu). Debian's
// images for this cloud have no cloud-init: for them every machine has also a
// start-up script (startup.sh), which runs a user-data that is a script once and
// does nothing where cloud-init is installed.
package gcp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"cloud.google.com/go/auth"

	"github.com/cbnet-io/cbnet/cloud"
)

// Provider is the name of this kind of cloud.
const Provider = "gcp"

// MaxUserData is the limit of user-data in bytes. A metadata value may have 256
// KiB, and what is no text is sent in base64.
const MaxUserData = 256 << 10 / 4 * 3

// Config says which project to use and how.
type Config struct {
	// Project is the project's id. Default: that of the credentials, and with
	// Ambient first that of the environment (GOOGLE_CLOUD_PROJECT).
	Project string
	// Endpoint replaces Google's, without the path /compute/v1; only here http
	// is accepted.
	Endpoint string
	// Credentials are the bytes of a file in the format of Google's application
	// default credentials: a service account's key or an authorized user.
	Credentials []byte
	// Ambient takes the application default credentials instead (environment,
	// well-known file, metadata server).
	Ambient bool
	// Transport carries the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper
}

// Driver is Compute Engine in one project. It is safe for concurrent use.
type Driver struct {
	project  string
	endpoint string
	creds    *auth.Credentials
	next     http.RoundTripper

	mu    sync.Mutex          // guards the field below
	zones map[string][]string // by machine type: where it is offered
}

var (
	_ cloud.Driver  = (*Driver)(nil)
	_ cloud.Catalog = (*Driver)(nil)
	_ cloud.Console = (*Driver)(nil)
	_ cloud.Power   = (*Driver)(nil)
	_ cloud.NAT     = (*Driver)(nil)
	_ cloud.Quoter  = (*Driver)(nil)
)

// New returns a driver. It makes no request, except that with Config.Ambient
// the default chain may ask the metadata server. Errors wrap [cloud.ErrInvalid]
// (configuration) or [cloud.ErrAuth] (no credentials) and never quote a secret.
func New(ctx context.Context, cfg Config) (*Driver, error) {
	d := &Driver{project: cfg.Project, endpoint: "https://compute.googleapis.com", next: cfg.Transport, zones: map[string][]string{}}
	if d.next == nil {
		d.next = http.DefaultTransport
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("gcp endpoint %q: %w: want http://HOST:PORT or https://HOST", cfg.Endpoint, cloud.ErrInvalid)
		}
		d.endpoint = strings.TrimSuffix(cfg.Endpoint, "/")
	}
	var err error
	if d.creds, err = newCredentials(cfg, d.next); err != nil {
		return nil, err
	}
	if d.project == "" && cfg.Ambient {
		d.project = os.Getenv("GOOGLE_CLOUD_PROJECT")
	}
	if d.project == "" {
		d.project = projectOf(ctx, d.creds)
	}
	if d.project == "" {
		return nil, fmt.Errorf("gcp credentials: %w: they name no project: set project_id, quota_project_id or GOOGLE_CLOUD_PROJECT", cloud.ErrInvalid)
	}
	return d, nil
}

// Provider implements cloud.Driver.
func (d *Driver) Provider() string { return Provider }

// NAT implements cloud.NAT.
func (d *Driver) NAT() string { return "Cloud NAT" }
