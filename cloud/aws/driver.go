// Package aws is the driver of Amazon EC2.
//
// A network is a VPC whose one subnet has the same range, an internet gateway,
// a default route in the VPC's main route table, a security group and, for a
// key, a key pair. All of them are tagged in the call that creates them. EC2 takes a ClientToken for
// machines alone, so everything else is looked up by its tags first; inside a
// VPC the subnet's range and the security group's name are natural keys that
// EC2 gives out once, and so is a key pair's name in a region.
//
// A terminated machine stays visible for about an hour. List hides it, except
// when EC2 itself ended it: then it is [cloud.VMFailed] with EC2's reason, and
// Delete takes its tags away so that it leaves the list.
//
// The driver tells no quotas. The limit that machines count against, vCPUs of a
// family, is known to the Service Quotas API alone; what EC2 itself tells
// (DescribeAccountAttributes, max-instances) has had no effect since 2019:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAccountAttributes.html
package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/cbnet-io/cbnet/cloud"
)

// Provider is the name of this kind of cloud.
const Provider = "aws"

// MaxUserData is EC2's limit of user-data in bytes, before encoding.
const MaxUserData = 16384

// Config says which account to use and how.
type Config struct {
	// Region is used by calls that name none. Default: the credentials' own
	// region, else us-east-1.
	Region string
	// Endpoint replaces Amazon's endpoints; only here http is accepted.
	Endpoint string
	// Credentials are the bytes of a shared credentials file; its profile
	// "default" is used, or the only one.
	Credentials []byte
	// Ambient takes credentials from the SDK's default chain instead
	// (environment, profiles, instance role).
	Ambient bool
	// Transport carries the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper
}

// Driver is EC2 of one account. It is safe for concurrent use.
type Driver struct {
	region string
	base   ec2.Options
	custom bool // an endpoint that is not Amazon's

	mu      sync.Mutex // guards clients
	clients map[string]*ec2.Client
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Catalog  = (*Driver)(nil)
	_ cloud.Console  = (*Driver)(nil)
	_ cloud.KeyTypes = (*Driver)(nil)
	_ cloud.Power    = (*Driver)(nil)
)

// New returns a driver. It makes no request, except that with Config.Ambient
// the default chain may ask the instance metadata service. Errors wrap
// [cloud.ErrInvalid] (configuration) or [cloud.ErrAuth] (no credentials).
func New(ctx context.Context, cfg Config) (*Driver, error) {
	d := &Driver{region: cfg.Region, clients: map[string]*ec2.Client{}}
	transport := cfg.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	d.base = ec2.Options{
		HTTPClient:       &http.Client{Transport: strict{transport}},
		Retryer:          aws.NopRetryer{},
		RetryMaxAttempts: 1,
		AppID:            "cbnet",
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("aws endpoint %q: %w: want http://HOST:PORT or https://HOST", cfg.Endpoint, cloud.ErrInvalid)
		}
		d.custom = true
		d.base.BaseEndpoint = aws.String(cfg.Endpoint)
	}
	if err := d.credentials(ctx, cfg, transport); err != nil {
		return nil, err
	}
	if d.region == "" {
		d.region = "us-east-1"
	}
	return d, nil
}

func (d *Driver) credentials(ctx context.Context, cfg Config, transport http.RoundTripper) error {
	if cfg.Ambient {
		c, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(&http.Client{Transport: transport}))
		if err != nil {
			return fmt.Errorf("aws credentials: %w: %w", cloud.ErrAuth, err)
		}
		if _, err := c.Credentials.Retrieve(ctx); err != nil {
			return fmt.Errorf("aws credentials: %w: %w", cloud.ErrAuth, err)
		}
		d.base.Credentials = c.Credentials
		if d.region == "" {
			d.region = c.Region
		}
		return nil
	}
	p, err := parseCredentials(cfg.Credentials)
	if err != nil {
		return err
	}
	d.base.Credentials = credentials.NewStaticCredentialsProvider(p.key, p.secret, p.session)
	if d.region == "" {
		d.region = p.region
	}
	return nil
}

// Provider implements cloud.Driver.
func (d *Driver) Provider() string { return Provider }

// client returns the client of a region, "" for the default one.
func (d *Driver) client(region string) *ec2.Client {
	if region == "" {
		region = d.region
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.clients[region]
	if c == nil {
		o := d.base.Copy()
		o.Region = region
		c = ec2.New(o)
		d.clients[region] = c
	}
	return c
}

// notYet turns the absence of something that this very call has seen or made
// into ErrUnavailable: EC2 will show it in a moment.
func notYet(err error) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, err)
	}
	return err
}
