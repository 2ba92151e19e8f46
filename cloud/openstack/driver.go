// Package openstack is the driver of OpenStack: Nova, Neutron, Glance and
// Keystone v3.
//
// A network is a Neutron network, a subnet, a router with a gateway to the
// external network, a security group and, for a key, a key pair. A machine is a port with the planned
// address, a server on that port and, if asked for, a floating IP on it.
//
// OpenStack has no idempotency tokens. Its databases are consistent, so a
// look-up before each create suffices for what has been done; what may still be
// under way is kept out by natural keys. Neutron gives an address out once and
// a port takes one floating IP. Nova has no such key for servers, and accepts
// several creates on one port until the first is bound, so the port serves as a
// fence: a port that an earlier try left without a server is deleted and made
// anew, and a create of that earlier try which arrives late fails for want of
// its port (docs/adr/0003-openstack-natural-key.md).
//
// The mark is on servers as metadata, in the name of a key pair and elsewhere in
// the description, since Neutron's tags need a second call.
package openstack

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/cbnet-io/cbnet/cloud"
)

// Provider is the name of this kind of cloud.
const Provider = "openstack"

// MaxUserData is Nova's limit of user-data in bytes: 65535 characters of base64.
const MaxUserData = 65535 / 4 * 3

// Config says which project to use and how.
type Config struct {
	// Region is used by calls that name none. Default: that of the
	// credentials, else the first in Keystone's catalogue.
	Region string
	// Endpoint replaces the credentials' auth_url: the root of Keystone, with
	// or without /v3.
	Endpoint string
	// Credentials are the bytes of a clouds.yaml. Its only entry is used, or
	// the one that Cloud names.
	Credentials []byte
	Cloud       string
	// Ambient reads the environment and clouds.yaml where OpenStack's own
	// client looks for them instead.
	Ambient bool
	// ExternalNetwork is the name of the network that routers and floating IPs
	// use. Default: the only one, or the first by name.
	ExternalNetwork string
	// Transport carries the requests. Default: http.DefaultTransport with the
	// TLS settings of the credentials.
	Transport http.RoundTripper
	// Wrap goes around the transport. Default: nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Driver is one project of an OpenStack. It is safe for concurrent use.
type Driver struct {
	region   string
	external string
	auth     gophercloud.AuthOptions
	iface    string // interface of the catalogue: public, internal, admin
	client   http.Client

	// login holds the one token while nobody logs in; it guards session.
	login   chan struct{}
	session *session
	known   known
}

var (
	_ cloud.Driver  = (*Driver)(nil)
	_ cloud.Catalog = (*Driver)(nil)
	_ cloud.Console = (*Driver)(nil)
	_ cloud.Power   = (*Driver)(nil)
	_ cloud.NAT     = (*Driver)(nil)
	_ cloud.Quoter  = (*Driver)(nil)
)

// New returns a driver. It makes no request: the first call logs in. Errors
// wrap [cloud.ErrInvalid].
func New(_ context.Context, cfg Config) (*Driver, error) {
	c, err := readCredentials(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Endpoint != "" {
		c.auth.IdentityEndpoint = cfg.Endpoint
	}
	u, err := url.Parse(c.auth.IdentityEndpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("openstack endpoint %q: %w: want the URL of Keystone", c.auth.IdentityEndpoint, cloud.ErrInvalid)
	}
	if u.User != nil {
		return nil, fmt.Errorf("openstack endpoint: %w: a URL with a password in it", cloud.ErrInvalid)
	}
	c.auth.IdentityEndpoint = strings.TrimSuffix(strings.TrimRight(c.auth.IdentityEndpoint, "/"), "/v3") + "/v3/"
	c.auth.AllowReauth = c.auth.TokenID == ""
	rt := transport(cfg.Transport, c.tls)
	if cfg.Wrap != nil {
		rt = cfg.Wrap(rt)
	}
	d := &Driver{
		region: c.region, external: cfg.ExternalNetwork, auth: c.auth, iface: c.iface,
		client: http.Client{Transport: strict{rt}},
		login:  make(chan struct{}, 1),
	}
	if cfg.Region != "" {
		d.region = cfg.Region
	}
	return d, nil
}

func transport(given http.RoundTripper, conf *tls.Config) http.RoundTripper {
	if given != nil {
		return given
	}
	def, ok := http.DefaultTransport.(*http.Transport)
	if conf == nil || !ok {
		return http.DefaultTransport
	}
	t := def.Clone()
	t.TLSClientConfig = conf
	return t
}

// Provider implements cloud.Driver.
func (d *Driver) Provider() string { return Provider }
