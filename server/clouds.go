package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/store/kv"
)

const prefixClouds = "server/cloud/"

// Account is what a driver is made from.
type Account struct {
	Name        string
	Provider    string
	Region      string // default of the account; may be empty
	Endpoint    string // empty: the vendor's own
	Credentials []byte // content of a credentials file; empty: the ecosystem's own ways
}

// LogValue implements slog.LogValuer: credentials never reach a log.
func (a Account) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", a.Name), slog.String("provider", a.Provider),
		slog.String("region", a.Region), slog.String("endpoint", a.Endpoint), slog.String("credentials", "REDACTED"))
}

// NewDriver makes the driver of an account. Its errors never repeat the
// credentials.
type NewDriver func(ctx context.Context, a Account) (cloud.Driver, error)

// Clouds keeps the accounts that users added, their credentials sealed, and
// makes their drivers. It is safe for concurrent use.
type Clouds struct {
	store pki.Store
	make  NewDriver
	now   func() time.Time

	mu      sync.Mutex // guards drivers
	drivers map[string]madeDriver
}

// madeDriver is a driver and the revision of the account that it was made from.
type madeDriver struct {
	revision int64
	driver   cloud.Driver
	region   string
}

var _ mcis.Clouds = (*Clouds)(nil)

// NewClouds returns the accounts in a store.
func NewClouds(store pki.Store, newDriver NewDriver) *Clouds {
	return &Clouds{store: store, make: newDriver, now: time.Now, drivers: make(map[string]madeDriver)}
}

// storedCloud is an account as the store holds it.
type storedCloud struct {
	Format      int       `json:"format"`
	Name        string    `json:"name"`
	Provider    string    `json:"provider"`
	Region      string    `json:"region,omitempty"`
	Endpoint    string    `json:"endpoint,omitempty"`
	Credentials []byte    `json:"credentials,omitempty"` // sealed
	Added       time.Time `json:"added"`
}

func (c storedCloud) public() api.Cloud {
	return api.Cloud{Name: c.Name, Provider: c.Provider, Region: c.Region, Endpoint: c.Endpoint, Added: c.Added}
}

// accountError is why an account cannot be used as it was given.
type accountError struct{ error }

// Unwrap returns the cause.
func (e accountError) Unwrap() error { return e.error }

// Add stores an account, or replaces the one of the same name. The same again
// changes nothing. The driver is made once, to find out what is wrong with it.
func (c *Clouds) Add(ctx context.Context, a Account) (api.Cloud, error) {
	if err := identity.ParseName(a.Name); err != nil {
		return api.Cloud{}, accountError{fmt.Errorf("cloud: %w", err)}
	}
	if u, err := url.Parse(a.Endpoint); err != nil || u.User != nil {
		// Endpoints are shown and logged; what is wrong with it stays unsaid.
		return api.Cloud{}, accountError{fmt.Errorf("cloud %s: endpoint: want a URL without user and password", a.Name)}
	}
	if _, err := c.make(ctx, a); err != nil {
		return api.Cloud{}, accountError{fmt.Errorf("cloud %s: %w", a.Name, err)}
	}
	old, revision, err := c.load(ctx, a.Name)
	if err != nil && !errors.Is(err, mcis.ErrNoCloud) {
		return api.Cloud{}, err
	}
	if err == nil && c.same(old, a) {
		return old.public(), nil
	}
	st := storedCloud{Format: identity.Format, Name: a.Name, Provider: a.Provider, Region: a.Region, Endpoint: a.Endpoint, Added: c.now().UTC()}
	if len(a.Credentials) > 0 {
		if st.Credentials, err = c.store.Seal(a.Credentials); err != nil {
			return api.Cloud{}, fmt.Errorf("seal credentials of cloud %s: %w", a.Name, err)
		}
	}
	value, err := json.Marshal(st)
	if err != nil {
		return api.Cloud{}, fmt.Errorf("cloud %s: %w", a.Name, err)
	}
	op := kv.Update(prefixClouds+a.Name, value, revision)
	if revision == 0 {
		op = kv.Create(op.Key, value)
	}
	if err := c.store.Txn(ctx, op); err != nil {
		return api.Cloud{}, fmt.Errorf("store cloud %s: %w", a.Name, err)
	}
	return st.public(), nil
}

func (c *Clouds) same(st storedCloud, a Account) bool {
	old, err := c.account(st)
	return err == nil && old.Provider == a.Provider && old.Region == a.Region && old.Endpoint == a.Endpoint &&
		bytes.Equal(old.Credentials, a.Credentials)
}

// account unseals.
func (c *Clouds) account(st storedCloud) (Account, error) {
	a := Account{Name: st.Name, Provider: st.Provider, Region: st.Region, Endpoint: st.Endpoint}
	if len(st.Credentials) == 0 {
		return a, nil
	}
	var err error
	if a.Credentials, err = c.store.Unseal(st.Credentials); err != nil {
		return a, fmt.Errorf("unseal credentials of cloud %s: %w", st.Name, err)
	}
	return a, nil
}

// load returns an account and its revision; it wraps mcis.ErrNoCloud.
func (c *Clouds) load(ctx context.Context, name string) (storedCloud, int64, error) {
	var st storedCloud
	item, err := c.store.Get(ctx, prefixClouds+name)
	if errors.Is(err, kv.ErrNotFound) {
		return st, 0, fmt.Errorf("%w %q", mcis.ErrNoCloud, name)
	}
	if err != nil {
		return st, 0, fmt.Errorf("cloud %s: %w", name, err)
	}
	if err := json.Unmarshal(item.Value, &st); err != nil {
		return st, 0, fmt.Errorf("cloud %s: %w", name, err)
	}
	return st, item.Revision, nil
}

// Cloud implements mcis.Clouds. The driver is made once for each change of the
// account, so that its limits hold across calls.
func (c *Clouds) Cloud(ctx context.Context, name string) (mcis.Cloud, error) {
	st, revision, err := c.load(ctx, name)
	if err != nil {
		return mcis.Cloud{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.drivers[name]; ok && d.revision == revision {
		return mcis.Cloud{Driver: d.driver, Region: d.region}, nil
	}
	a, err := c.account(st)
	if err != nil {
		return mcis.Cloud{}, err
	}
	driver, err := c.make(ctx, a)
	if err != nil {
		return mcis.Cloud{}, &mcis.CloudError{Cloud: name, Object: "credentials", Err: err}
	}
	c.drivers[name] = madeDriver{revision: revision, driver: driver, region: st.Region}
	return mcis.Cloud{Driver: driver, Region: st.Region}, nil
}

// List returns the accounts without their credentials, sorted by name.
func (c *Clouds) List(ctx context.Context) ([]api.Cloud, error) {
	items, err := c.store.List(ctx, prefixClouds)
	if err != nil {
		return nil, fmt.Errorf("clouds: %w", err)
	}
	out := make([]api.Cloud, 0, len(items))
	for _, it := range items {
		var st storedCloud
		if err := json.Unmarshal(it.Value, &st); err != nil {
			return nil, fmt.Errorf("cloud %s: %w", strings.TrimPrefix(it.Key, prefixClouds), err)
		}
		out = append(out, st.public())
	}
	return out, nil
}

// Names implements mcis.Clouds.
func (c *Clouds) Names(ctx context.Context) ([]string, error) {
	list, err := c.List(ctx)
	names := make([]string, 0, len(list))
	for _, cl := range list {
		names = append(names, cl.Name)
	}
	return names, err
}
