package openstack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"

	"github.com/cbnet-io/cbnet/cloud"
)

// session is a login: a token, renewed by gophercloud when it expires, and the
// catalogue of services.
type session struct {
	client  *gophercloud.ProviderClient
	catalog []tokens.CatalogEntry
}

// services are a region's services.
type services struct {
	name    string
	compute *gophercloud.ServiceClient
	network *gophercloud.ServiceClient
	image   *gophercloud.ServiceClient
}

// known remembers names that seldom change; what is not in it is asked for.
type known struct {
	mu       sync.Mutex
	flavors  map[[2]string]string // region, name -> id
	external map[string]string    // region -> network id
}

func (d *Driver) logIn(ctx context.Context) (*session, error) {
	select {
	case d.login <- struct{}{}:
		defer func() { <-d.login }()
	case <-ctx.Done():
		return nil, fmt.Errorf("openstack login: %w: %w", cloud.ErrUnavailable, ctx.Err())
	}
	if d.session != nil {
		return d.session, nil
	}
	client, err := openstack.NewClient(d.auth.IdentityEndpoint)
	if err != nil {
		return nil, fmt.Errorf("openstack endpoint: %w: %w", cloud.ErrInvalid, err)
	}
	client.HTTPClient = d.client
	client.UseTokenLock()
	auth := d.auth
	if err := openstack.AuthenticateV3(ctx, client, &auth, gophercloud.EndpointOpts{}); err != nil {
		return nil, wrap("POST /auth/tokens", err)
	}
	s := &session{client: client}
	if r, ok := client.GetAuthResult().(interface {
		ExtractServiceCatalog() (*tokens.ServiceCatalog, error)
	}); ok {
		c, err := r.ExtractServiceCatalog()
		if err != nil {
			return nil, wrap("POST /auth/tokens", err)
		}
		s.catalog = c.Entries
	}
	d.session = s
	return s, nil
}

// in returns the services of a region, "" for the default one.
func (d *Driver) in(ctx context.Context, name string) (services, error) {
	s, err := d.logIn(ctx)
	if err != nil {
		return services{}, err
	}
	regions := s.regions()
	if name == "" {
		name = d.region
	}
	if name == "" && len(regions) > 0 {
		name = regions[0]
	}
	r := services{name: name}
	for _, svc := range []struct {
		client  **gophercloud.ServiceClient
		types   []string
		version string // in the path; added if the catalogue's URL lacks one
	}{
		{&r.compute, []string{"compute"}, "v2.1/"},
		{&r.network, []string{"network"}, "v2.0/"},
		{&r.image, []string{"image"}, "v2/"},
	} {
		url := s.endpoint(svc.types, name, d.iface)
		if url == "" {
			return services{}, fmt.Errorf("openstack region %q: %w: Keystone's catalogue has no %s service there; regions: %s",
				name, cloud.ErrInvalid, svc.types[0], strings.Join(regions, ", "))
		}
		if strings.HasPrefix(d.auth.IdentityEndpoint, "https:") && !strings.HasPrefix(url, "https:") {
			return services{}, fmt.Errorf("openstack %s: %w: Keystone is reached by https and names the service by %s", svc.types[0], cloud.ErrInvalid, url)
		}
		if !strings.Contains(url, "/v2") {
			url += svc.version
		}
		*svc.client = &gophercloud.ServiceClient{ProviderClient: s.client, Endpoint: url, Type: svc.types[0]}
	}
	return r, nil
}

// endpoint returns the URL of a service, with a slash at its end.
func (s *session) endpoint(types []string, region, iface string) string {
	for _, e := range s.catalog {
		if !slices.Contains(types, e.Type) {
			continue
		}
		for _, p := range e.Endpoints {
			if p.Interface == iface && (p.Region == region || p.RegionID == region) {
				return gophercloud.NormalizeURL(p.URL)
			}
		}
	}
	return ""
}

// regions returns the names of the regions that have a compute service.
func (s *session) regions() []string {
	var out []string
	for _, e := range s.catalog {
		for _, p := range e.Endpoints {
			if e.Type == "compute" {
				out = append(out, p.Region)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// flavor returns the id of a flavor.
func (d *Driver) flavor(ctx context.Context, r services, name string) (string, error) {
	key := [2]string{r.name, name}
	d.known.mu.Lock()
	id := d.known.flavors[key]
	d.known.mu.Unlock()
	if id != "" {
		return id, nil
	}
	list, err := allFlavors(ctx, r)
	if err != nil {
		return "", err
	}
	var specs []cloud.Spec
	byName := map[[2]string]string{}
	for _, f := range list {
		byName[[2]string{r.name, f.Name}] = f.ID
		specs = append(specs, spec(f))
	}
	if _, err := cloud.ResolveSpec(specs, name, 0, 0); err != nil {
		return "", fmt.Errorf("%s: %w", Provider, err)
	}
	d.known.mu.Lock()
	d.known.flavors = byName
	d.known.mu.Unlock()
	return byName[key], nil
}

// forget drops what is remembered, after Nova or Neutron did not know it.
func (d *Driver) forget() {
	d.known.mu.Lock()
	d.known.flavors, d.known.external = nil, nil
	d.known.mu.Unlock()
}

// externalNetwork returns the id of the network that leads out.
func (d *Driver) externalNetwork(ctx context.Context, r services) (string, error) {
	d.known.mu.Lock()
	id := d.known.external[r.name]
	d.known.mu.Unlock()
	if id != "" {
		return id, nil
	}
	yes := true
	pages, err := networks.List(r.network, external.ListOptsExt{
		ListOptsBuilder: networks.ListOpts{Name: d.external}, External: &yes,
	}).AllPages(ctx)
	if err != nil {
		return "", wrap("GET /networks", err)
	}
	list, err := networks.ExtractNetworks(pages)
	if err != nil {
		return "", wrap("GET /networks", err)
	}
	if len(list) == 0 {
		return "", fmt.Errorf("openstack region %s: %w: there is no external network %q for routers", r.name, cloud.ErrInvalid, d.external)
	}
	best := slices.MinFunc(list, func(a, b networks.Network) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	d.known.mu.Lock()
	defer d.known.mu.Unlock()
	if d.known.external == nil {
		d.known.external = map[string]string{}
	}
	d.known.external[r.name] = best.ID
	return best.ID, nil
}

func allFlavors(ctx context.Context, r services) ([]flavors.Flavor, error) {
	pages, err := flavors.ListDetail(r.compute, flavors.ListOpts{}).AllPages(ctx)
	if err != nil {
		return nil, wrap("GET /flavors/detail", err)
	}
	list, err := flavors.ExtractFlavors(pages)
	return list, wrap("GET /flavors/detail", err)
}
