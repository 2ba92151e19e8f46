package gcp

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// firewall is a rule of a network's firewall: it allows traffic to machines.
type firewall struct {
	header
	network *network
	rule
}

// rule is the part of a firewall that can be changed.
type rule struct {
	Description string    `json:"description,omitempty"`
	Priority    int       `json:"priority"`
	Direction   string    `json:"direction"`
	Sources     []string  `json:"sourceRanges,omitempty"`
	Dests       []string  `json:"destinationRanges,omitempty"`
	SourceTags  []string  `json:"sourceTags,omitempty"`
	TargetTags  []string  `json:"targetTags,omitempty"`
	Allowed     []allowed `json:"allowed,omitempty"`
	Disabled    bool      `json:"disabled"`
	Log         logConfig `json:"logConfig"`
}

type allowed struct {
	Protocol string   `json:"IPProtocol"`
	Ports    []string `json:"ports,omitempty"`
}

type logConfig struct {
	Enable bool `json:"enable"`
}

// firewallIn is a firewall as clients send it.
type firewallIn struct {
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	Network string    `json:"network"`
	Denied  []allowed `json:"denied"`
	rule
}

func insertFirewall(c *call) (any, error) {
	in := firewallIn{rule: rule{Priority: 1000, Direction: "INGRESS"}}
	f := &firewall{}
	return c.insert(insertion{
		body: &in,
		check: func() (*header, error) {
			f.header = header{name: in.Name, path: "global/firewalls/" + in.Name}
			if err := in.check(); err != nil {
				return nil, err
			}
			var err error
			f.rule = in.rule
			f.network, err = c.networkOf("resource.network", in.Network)
			return &f.header, err
		},
		taken: func() bool { return has(&c.p.firewalls, f.path) },
		admit: func() error { return c.checkQuota("securityGroup", "FIREWALLS", "", c.p.firewalls.Len()) },
		put:   func() error { c.p.firewalls.Put(f.path, f); return c.p.enforce(c.ctx) },
	})
}

// check validates a rule and fills in what it leaves out.
func (in *firewallIn) check() error {
	switch {
	case len(in.Denied) > 0:
		return invalid("resource.denied", in.Denied[0].Protocol, "Rules that deny are not simulated.")
	case len(in.Allowed) == 0:
		return required("resource.allowed")
	case in.Priority < 0 || in.Priority > 65535:
		return invalid("resource.priority", itoa(in.Priority), "Must be between 0 and 65535, inclusive.")
	case in.Direction != "INGRESS" && in.Direction != "EGRESS":
		return invalid("resource.direction", in.Direction, "Must be INGRESS or EGRESS.")
	case in.Direction == "INGRESS" && len(in.Dests) > 0 || in.Direction == "EGRESS" && len(in.Sources)+len(in.SourceTags) > 0:
		return invalid("resource.direction", in.Direction, "It does not go with the ranges of the rule.")
	}
	if in.Direction == "INGRESS" && len(in.Sources)+len(in.SourceTags) == 0 {
		in.Sources = []string{"0.0.0.0/0"}
	}
	if in.Direction == "EGRESS" && len(in.Dests) == 0 {
		in.Dests = []string{"0.0.0.0/0"}
	}
	for _, r := range slices.Concat(in.Sources, in.Dests) {
		if p, err := netip.ParsePrefix(r); err != nil || p != p.Masked() {
			return invalid("resource.sourceRanges", r, "Must be a CIDR address range.")
		}
	}
	for _, t := range slices.Concat(in.SourceTags, in.TargetTags) {
		if !nameRule.MatchString(t) {
			return invalid("resource.targetTags", t, "Must be a match of regex '%s'", nameRule)
		}
	}
	for i, a := range in.Allowed {
		in.Allowed[i].Protocol = strings.ToLower(a.Protocol)
		if err := in.Allowed[i].check(); err != nil {
			return err
		}
	}
	return checkDescription(in.Description)
}

// protocols are the names of protocols, with their numbers.
var protocols = map[string]int{"icmp": 1, "ipip": 94, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "sctp": 132, "all": -1}

func (a allowed) check() error {
	if _, ok := protocols[a.Protocol]; !ok {
		n, err := strconv.Atoi(a.Protocol)
		if err != nil || n < 0 || n > 255 {
			return invalid("resource.allowed[0].IPProtocol", a.Protocol, "Must be a protocol's name or number.")
		}
	}
	if len(a.Ports) > 0 && !isOneOf(a.Protocol, "tcp udp sctp 6 17 132") {
		return invalid("resource.allowed[0].ports", a.Ports[0], "Ports may only be specified on rules whose protocol is one of [TCP, UDP, SCTP].")
	}
	for _, p := range a.Ports {
		if _, _, ok := portRange(p); !ok {
			return invalid("resource.allowed[0].ports[0]", p, "Ports must be an integer or a range of integers between 0 and 65535.")
		}
	}
	return nil
}

// portRange reads "80" or "80-90".
func portRange(s string) (from, to int, ok bool) {
	a, b, isRange := strings.Cut(s, "-")
	from, errA := strconv.Atoi(a)
	to, errB := from, error(nil)
	if isRange {
		to, errB = strconv.Atoi(b)
	}
	return from, to, errA == nil && errB == nil && from >= 0 && to <= 65535 && from <= to
}

// changeFirewall updates a rule: by PATCH what is given, by PUT all of it.
func changeFirewall(c *call) (any, error) {
	f, err := find(c, &c.p.firewalls, c.firewallPath())
	if err != nil {
		return nil, err
	}
	in, kind := firewallIn{rule: rule{Priority: 1000, Direction: "INGRESS"}}, "update"
	if c.r.Method == http.MethodPatch {
		in.rule, kind = f.rule, "patch"
		in.Allowed = nil // what is given takes the place of the old list
	}
	return c.change(kind, &f.header, func() error {
		if err := decode(c, &in); err != nil {
			return err
		}
		if in.Allowed == nil {
			in.Allowed = f.Allowed
		}
		switch {
		case in.Name != "" && in.Name != f.name:
			return invalid("resource.name", in.Name, "The name cannot be changed.")
		case in.Direction != f.Direction:
			return invalid("resource.direction", in.Direction, "The direction cannot be changed.")
		}
		if err := in.check(); err != nil {
			return err
		}
		f.rule = in.rule
		return c.p.enforce(c.ctx)
	})
}

// firewallPath is the path of the firewall that a call names.
func (c *call) firewallPath() string { return "global/firewalls/" + c.path("firewall") }

func deleteFirewall(c *call) (any, error) {
	f, err := find(c, &c.p.firewalls, c.firewallPath())
	if err != nil {
		return nil, err
	}
	return c.remove(&f.header, func() error { return nil }, func(ctx context.Context) error {
		c.p.firewalls.Delete(f.path)
		return c.p.enforce(ctx)
	})
}

type firewallDoc struct {
	Kind     string `json:"kind"`
	ID       uint64 `json:"id,string"`
	Created  string `json:"creationTimestamp"`
	Name     string `json:"name"`
	Network  string `json:"network"`
	SelfLink string `json:"selfLink"`
	rule
}

func (p *project) firewallDoc(f *firewall) firewallDoc {
	return firewallDoc{
		Kind: "compute#firewall", ID: f.id, Created: stamp(f.created), Name: f.name, Network: p.link(f.network.path),
		SelfLink: p.link(f.path), rule: f.rule,
	}
}

func getFirewall(c *call) (any, error) {
	return get(c, &c.p.firewalls, c.firewallPath(), c.p.firewallDoc)
}

func listFirewalls(c *call) (any, error) {
	return listOf(c, "compute#firewallList", "global/firewalls", c.p.firewalls.All(), c.p.firewallDoc)
}
