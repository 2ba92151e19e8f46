package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/cloud"
)

// Accounts of the images' makers: https://wiki.debian.org/Cloud/AmazonEC2Image
// and https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/.
const (
	ownerDebian    = "136693071363"
	ownerCanonical = "099720109477"
)

// imageNames are the names of the images that have an alias.
var imageNames = []string{
	"debian-*-amd64-20*",
	"ubuntu/images/hvm-ssd*/ubuntu-*-amd64-server-20*",
}

// Regions implements cloud.Driver. It leaves Region.Zones empty: EC2 tells them
// region by region.
func (d *Driver) Regions(ctx context.Context) ([]cloud.Region, error) {
	have, err := d.client("").DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return nil, wrap("DescribeRegions", err)
	}
	out := make([]cloud.Region, 0, len(have.Regions))
	for _, r := range have.Regions {
		out = append(out, cloud.Region{Name: aws.ToString(r.RegionName)})
	}
	slices.SortFunc(out, func(a, b cloud.Region) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Specs implements cloud.Catalog: the current virtual machine types for x86-64,
// the general purpose families first.
func (d *Driver) Specs(ctx context.Context, region string) ([]cloud.Spec, error) {
	var out []cloud.Spec
	p := ec2.NewDescribeInstanceTypesPaginator(d.client(region), &ec2.DescribeInstanceTypesInput{Filters: []types.Filter{
		filter("current-generation", "true"),
		filter("bare-metal", "false"),
		filter("processor-info.supported-architecture", "x86_64"),
	}})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("machine types in %s: %w", region, d.in(ctx, region, wrap("DescribeInstanceTypes", err)))
		}
		for _, t := range page.InstanceTypes {
			if t.VCpuInfo == nil || t.MemoryInfo == nil {
				continue
			}
			out = append(out, cloud.Spec{
				Name:      string(t.InstanceType),
				VCPU:      int(aws.ToInt32(t.VCpuInfo.DefaultVCpus)),
				MemoryMiB: int(aws.ToInt64(t.MemoryInfo.SizeInMiB)),
			})
		}
	}
	slices.SortFunc(out, func(a, b cloud.Spec) int {
		return cmp.Or(cmp.Compare(family(a.Name), family(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

// family ranks the machine families, cheap and common ones first; it decides
// between types of equal size.
func family(name string) int {
	prefix, _, _ := strings.Cut(name, ".")
	order := []string{"t3", "t3a", "t2", "m7i-flex", "c7i-flex", "m6i", "c6i", "m5", "c5", "r5"}
	if i := slices.Index(order, prefix); i >= 0 {
		return i
	}
	return len(order)
}

// Images implements cloud.Catalog.
func (d *Driver) Images(ctx context.Context, region string) ([]cloud.Image, error) {
	out, err := d.images(ctx, region, []string{ownerDebian, ownerCanonical}, imageNames)
	if err == nil && len(out) == 0 && d.custom {
		// A simulated cloud has other owners. Never so at Amazon, where anyone
		// can publish an image under any name.
		out, err = d.images(ctx, region, nil, []string{"debian-*", "ubuntu-*", "ubuntu/images/*"})
	}
	if err != nil {
		return nil, fmt.Errorf("images in %s: %w", region, d.in(ctx, region, err))
	}
	return out, nil
}

func (d *Driver) images(ctx context.Context, region string, owners, names []string) ([]cloud.Image, error) {
	var out []cloud.Image
	p := ec2.NewDescribeImagesPaginator(d.client(region), &ec2.DescribeImagesInput{Owners: owners, Filters: []types.Filter{
		filter("name", names...),
		filter("architecture", "x86_64"),
		filter("state", "available"),
	}})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap("DescribeImages", err)
		}
		for _, i := range page.Images {
			alias := cloud.ImageAlias(aws.ToString(i.Name))
			if alias == "" {
				continue
			}
			created, _ := time.Parse(time.RFC3339, aws.ToString(i.CreationDate)) // zero if EC2 tells none
			out = append(out, cloud.Image{ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), Alias: alias, Created: created})
		}
	}
	return out, nil
}
