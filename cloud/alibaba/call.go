package alibaba

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"github.com/cbnet-io/cbnet/cloud"
)

// callTimeout is more than any caller's context allows, which is what bounds a
// request. The SDK's own 10 s would count the time in which a request is paced.
const callTimeout = time.Hour

var regionRule = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// endpoints are the hosts of regions that do not follow the rule
// PRODUCT.REGION.aliyuncs.com, by product. They are copied once: the SDK builds
// its maps without a lock.
var endpoints = map[string]map[string]string{"Ecs": ecs.GetEndpointMap(), "Vpc": vpc.GetEndpointMap()}

// call makes one request in a region, "" for the default one, and reads the
// answer into resp.
//
// Each call has a client of its own, which costs nothing beside the request:
// the SDK's clients know no contexts, and are not safe for concurrent use.
func (d *Driver) call(ctx context.Context, region string, req requests.AcsRequest, resp responses.AcsResponse) error {
	region = cmp.Or(region, d.region)
	op := req.GetActionName()
	if !regionRule.MatchString(region) {
		return d.noRegion(ctx, region, fmt.Errorf("%s: %w", op, cloud.ErrInvalid))
	}
	cfg := sdk.NewConfig().WithAutoRetry(false).WithMaxRetryTime(0).WithTimeout(callTimeout).WithUserAgent("cbnet")
	cfg.Transport = &strict{ctx: ctx, next: d.transport}
	c, err := sdk.NewClientWithOptions(region, cfg, d.creds)
	if err != nil {
		return fmt.Errorf("%s %s: %w: %w", Provider, op, cloud.ErrInvalid, err)
	}
	if d.endpoint != nil {
		req.SetScheme(d.endpoint.Scheme)
		req.SetDomain(d.endpoint.Host + d.endpoint.EscapedPath())
	} else {
		req.SetScheme("https")
		req.SetDomain(host(req.GetProduct(), region))
	}
	err = wrap(op, c.DoAction(req, resp))
	if unknownRegion(err) {
		return d.noRegion(ctx, region, err)
	}
	return err
}

// host returns the public endpoint of a product in a region.
func host(product, region string) string {
	if h := endpoints[product][region]; h != "" {
		return h
	}
	return map[string]string{"Ecs": "ecs", "Vpc": "vpc"}[product] + "." + region + ".aliyuncs.com"
}

// unknownRegion reports whether err says that there is no such region: by its
// code, or since the host of its endpoint has no address.
func unknownRegion(err error) bool {
	var dns *net.DNSError
	return already(err, "InvalidRegionId", "InvalidRegionId.NotFound") || errors.As(err, &dns) && dns.IsNotFound
}

// noRegion is the error for a region that does not exist, with those that do.
func (d *Driver) noRegion(ctx context.Context, region string, err error) error {
	if region == d.region {
		return err // the very region that would be asked
	}
	regions, listErr := d.Regions(ctx)
	if listErr != nil {
		return err // no network at all looks like no such region
	}
	if _, unknown := cloud.ResolveRegion(regions, region); unknown != nil {
		return fmt.Errorf("%w (%v)", unknown, err) // the class of err may say repeat, and is not kept
	}
	return err
}
