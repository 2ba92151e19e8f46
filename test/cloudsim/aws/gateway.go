package aws

// gateway is an internet gateway.
type gateway struct {
	id       string
	vpc      string // "" while detached
	implicit bool   // the default VPC's
}

func createInternetGateway(c *call) (any, error) {
	tags, err := tagSpecs(c.q, "internet-gateway")
	if err != nil {
		return nil, err
	}
	own := c.r.gateways.Where(func(g *gateway) bool { return !g.implicit })
	if max, ok := c.opts.Faults.Quota(Name, c.r.name, "router"); ok && len(own) >= max {
		return nil, fault(400, "InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	g := &gateway{id: newID("igw-")}
	c.r.gateways.Put(g.id, g)
	c.r.setTags(g.id, tags["internet-gateway"])
	return struct {
		Gateway xmlGateway `xml:"internetGateway"`
	}{c.r.xmlGateway(g)}, nil
}

func attachInternetGateway(c *call) (any, error) {
	g, err := findParam(c, &c.r.gateways, "igw-", "InternetGatewayId")
	if err != nil {
		return nil, err
	}
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	if g.vpc != "" {
		return nil, fault(400, "Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.id, g.vpc)
	}
	if c.r.gateways.Any(func(o *gateway) bool { return o.vpc == v.id }) {
		return nil, fault(400, "InvalidParameterValue", "Network %s already has an internet gateway attached", v.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	g.vpc = v.id
	return done{true}, c.rewire(v.id)
}

func detachInternetGateway(c *call) (any, error) {
	g, err := findParam(c, &c.r.gateways, "igw-", "InternetGatewayId")
	if err != nil {
		return nil, err
	}
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	if g.vpc != v.id {
		return nil, fault(400, "Gateway.NotAttached", "resource %s is not attached to network %s", g.id, v.id)
	}
	if c.r.enis.Any(func(e *eni) bool { return e.vpc == v.id && e.public.IsValid() }) {
		return nil, fault(400, "DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", v.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	g.vpc = ""
	return done{true}, c.rewire(v.id)
}

func deleteInternetGateway(c *call) (any, error) {
	g, err := findParam(c, &c.r.gateways, "igw-", "InternetGatewayId")
	if err != nil {
		return nil, err
	}
	if g.vpc != "" {
		return nil, dependency("internetGateway", g.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	c.r.gateways.Delete(g.id)
	c.r.forget(g.id)
	return done{true}, nil
}

type xmlGateway struct {
	ID          string             `xml:"internetGatewayId"`
	OwnerID     string             `xml:"ownerId"`
	Attachments set[xmlAttachment] `xml:"attachmentSet"`
	Tags        set[xmlTag]        `xml:"tagSet"`
}

type xmlAttachment struct {
	VPC   string `xml:"vpcId"`
	State string `xml:"state"`
}

// xmlGateway prints an internet gateway.
func (r *region) xmlGateway(g *gateway) xmlGateway {
	x := xmlGateway{ID: g.id, OwnerID: account, Tags: r.xmlTags(g.id)}
	if g.vpc != "" {
		x.Attachments.Items = []xmlAttachment{{g.vpc, "available"}}
	}
	return x
}

func describeInternetGateways(c *call) (any, error) {
	rows, err := selected(c, &c.r.gateways, selection[*gateway]{
		param: "InternetGatewayId", prefix: "igw-",
		id: func(g *gateway) string { return g.id },
		attrs: func(g *gateway, f string) ([]string, bool) {
			var attached, state []string
			if g.vpc != "" {
				attached, state = []string{g.vpc}, []string{"available"}
			}
			return fields(map[string][]string{
				"internet-gateway-id": {g.id}, "attachment.vpc-id": attached, "attachment.state": state, "owner-id": {account},
			})(f)
		},
	})
	if err != nil {
		return nil, err
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Gateways set[xmlGateway] `xml:"internetGatewaySet"`
		Next     string          `xml:"nextToken,omitempty"`
	}{setOf(rows, c.r.xmlGateway), next}, err
}
