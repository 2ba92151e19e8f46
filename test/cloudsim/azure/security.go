package azure

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// security is a network security group.
type security struct {
	resource
	rules []rule // the client's own, by priority
}

func (s *security) doc(c *call) armnetwork.SecurityGroup {
	state := armnetwork.ProvisioningState(s.state)
	d := armnetwork.SecurityGroup{
		ID: ptr(s.id()), Name: ptr(s.name), Type: ptr(networking + "/networkSecurityGroups"), Location: ptr(s.location), Tags: maps.Clone(s.tags), Etag: s.etag(s.rules),
		Properties: &armnetwork.SecurityGroupPropertiesFormat{ProvisioningState: &state, ResourceGUID: ptr(s.guid)},
	}
	for _, r := range s.rules {
		d.Properties.SecurityRules = append(d.Properties.SecurityRules, r.doc(s, "securityRules", state))
	}
	for _, r := range defaultRules {
		d.Properties.DefaultSecurityRules = append(d.Properties.DefaultSecurityRules, r.doc(s, "defaultSecurityRules", state))
	}
	for _, v := range c.nics.Where(func(v *nic) bool { return v.security == s.key() }) {
		d.Properties.NetworkInterfaces = append(d.Properties.NetworkInterfaces, &armnetwork.Interface{ID: ptr(v.id())})
	}
	return d
}

// readSecurity checks a group that a client sent.
func (c *call) readSecurity(p armnetwork.SecurityGroup) (*security, *apiError) {
	r, err := c.newResource(p.Location, p.Tags, nil, 80)
	if err != nil {
		return nil, err
	}
	s := &security{resource: r}
	if p.Properties == nil {
		return s, nil
	}
	for _, in := range p.Properties.SecurityRules {
		r, err := readRule(in)
		if err != nil {
			return nil, err
		}
		for _, o := range s.rules {
			switch {
			case strings.EqualFold(o.name, r.name):
				return nil, fault(400, "InvalidRequestFormat", "Cannot parse the request: security rule %s is there twice.", r.name)
			case o.ingress == r.ingress && o.priority == r.priority:
				return nil, fault(400, "SecurityRuleConflict", "Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction.", r.name, o.name)
			}
		}
		s.rules = append(s.rules, r)
	}
	slices.SortFunc(s.rules, func(a, b rule) int { return cmp.Compare(a.priority, b.priority) })
	return s, s.expressible()
}

func (c *call) putSecurity(_ context.Context, _, _ string, p armnetwork.SecurityGroup, _ *armnetwork.SecurityGroupsClientBeginCreateOrUpdateOptions) (fake.PollerResponder[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], fake.ErrorResponder) {
	type response = armnetwork.SecurityGroupsClientCreateOrUpdateResponse
	s, err := c.readSecurity(p)
	if err != nil {
		return refused[response](err)
	}
	old, ok := c.securities.Get(s.key())
	status := 200
	if !ok {
		if err := c.overQuota("securityGroup", s.location, c.securities.Len(), "NetworkSecurityGroupCountLimitReached", "Cannot create more than %d network security groups for this subscription in this region."); err != nil {
			return refused[response](err)
		}
		old, status = s, 201
		c.securities.Put(s.key(), s)
	} else {
		if err := old.same(s.resource); err != nil {
			return refused[response](err)
		}
		old.rules, old.tags = s.rules, s.tags
	}
	old.state = stateUpdating
	if err := c.enforce(); err != nil {
		return refused[response](err)
	}
	c.later(networking, old.location, func(*call) *apiError {
		if old.state == stateUpdating {
			old.state = stateSucceeded
		}
		return nil
	})
	return accepted(status, response{SecurityGroup: old.doc(c)})
}

func (c *call) getSecurity(context.Context, string, string, *armnetwork.SecurityGroupsClientGetOptions) (fake.Responder[armnetwork.SecurityGroupsClientGetResponse], fake.ErrorResponder) {
	s, ok := c.securities.Get(c.path.key())
	if !ok {
		return denied[armnetwork.SecurityGroupsClientGetResponse](notFound(c.path))
	}
	return done(200, armnetwork.SecurityGroupsClientGetResponse{SecurityGroup: s.doc(c)})
}

func (c *call) deleteSecurity(context.Context, string, string, *armnetwork.SecurityGroupsClientBeginDeleteOptions) (fake.PollerResponder[armnetwork.SecurityGroupsClientDeleteResponse], fake.ErrorResponder) {
	type response = armnetwork.SecurityGroupsClientDeleteResponse
	s, ok := c.securities.Get(c.path.key())
	if !ok {
		return accepted(204, response{})
	}
	for _, v := range c.nics.All() {
		if v.security == s.key() {
			return refused[response](fault(400, "InUseNetworkSecurityGroupCannotBeDeleted", "Network security group %s cannot be deleted because it is in use by the following resources: %s. In order to delete the Network security group, remove the association with the resource(s).", s.id(), v.id()))
		}
	}
	if s.state != stateDeleting {
		s.state = stateDeleting
		c.later(networking, s.location, func(c *call) *apiError {
			c.securities.Delete(s.key())
			return nil
		})
	}
	return accepted(202, response{})
}

func (c *call) pageSecurityGroup(keep func(*security) bool) ([]*armnetwork.SecurityGroup, *string) {
	return page(c, c.securities.Where(keep), func(s *security) *armnetwork.SecurityGroup { return ptr(s.doc(c)) })
}

func (c *call) listSecurities(string, *armnetwork.SecurityGroupsClientListOptions) fake.PagerResponder[armnetwork.SecurityGroupsClientListResponse] {
	var body armnetwork.SecurityGroupsClientListResponse
	body.Value, body.NextLink = c.pageSecurityGroup(func(s *security) bool { return s.groupID() == c.path.groupID() })
	return pager(body)
}

func (c *call) listAllSecurities(*armnetwork.SecurityGroupsClientListAllOptions) fake.PagerResponder[armnetwork.SecurityGroupsClientListAllResponse] {
	var body armnetwork.SecurityGroupsClientListAllResponse
	body.Value, body.NextLink = c.pageSecurityGroup(func(*security) bool { return true })
	return pager(body)
}
