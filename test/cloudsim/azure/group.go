package azure

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

// group is a resource group.
type group struct {
	path
	location string
	tags     map[string]*string
	deleting bool
	seq      int
}

func (g *group) number() int { return g.seq }

var groupRule = regexp.MustCompile(`^[-\p{L}\p{N}_.()]{0,89}[-\p{L}\p{N}_()]$`)

func (g *group) doc() armresources.ResourceGroup {
	state := stateSucceeded
	if g.deleting {
		state = stateDeleting
	}
	return armresources.ResourceGroup{
		ID: ptr(g.groupPath()), Name: ptr(g.group), Type: ptr(resources + "/resourceGroups"), Location: &g.location,
		Tags: maps.Clone(g.tags), Properties: &armresources.ResourceGroupProperties{ProvisioningState: &state},
	}
}

func (c *call) putGroup(_ context.Context, name string, p armresources.ResourceGroup, _ *armresources.ResourceGroupsClientCreateOrUpdateOptions) (fake.Responder[armresources.ResourceGroupsClientCreateOrUpdateResponse], fake.ErrorResponder) {
	type response = armresources.ResourceGroupsClientCreateOrUpdateResponse
	if !groupRule.MatchString(name) {
		return denied[response](fault(400, "InvalidResourceGroup", "The provided resource group name '%s' has these invalid characters, or is longer than 90.", name))
	}
	r := c.regionOf(or(p.Location, ""))
	if r == nil {
		return denied[response](fault(400, "LocationNotAvailableForResourceGroup", "The provided location '%s' is not available for resource group. List of available regions is '%s'.",
			or(p.Location, ""), strings.Join(c.regionNames(), ",")))
	}
	if err := checkTags(p.Tags); err != nil {
		return denied[response](err)
	}
	g, ok := c.groups.Get(c.path.groupID())
	switch {
	case !ok:
		c.created++
		g = &group{path: c.path, location: r.name, tags: maps.Clone(p.Tags), seq: c.created}
		c.groups.Put(c.path.groupID(), g)
		return done(201, response{ResourceGroup: g.doc()})
	case g.deleting:
		return denied[response](fault(409, "ResourceGroupBeingDeleted", "The resource group '%s' is in deprovisioning state and cannot perform this operation.", name))
	case g.location != r.name:
		return denied[response](fault(409, "InvalidResourceGroupLocation", "Invalid resource group location '%s'. The Resource group already exists in location '%s'.", r.name, g.location))
	}
	g.tags = maps.Clone(p.Tags)
	return done(200, response{ResourceGroup: g.doc()})
}

// ownGroup finds the group that the request names.
func (c *call) ownGroup() (*group, *apiError) {
	g, ok := c.groups.Get(c.path.groupID())
	if !ok {
		return nil, fault(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.path.group)
	}
	return g, nil
}

func (c *call) getGroup(context.Context, string, *armresources.ResourceGroupsClientGetOptions) (fake.Responder[armresources.ResourceGroupsClientGetResponse], fake.ErrorResponder) {
	g, err := c.ownGroup()
	if err != nil {
		return denied[armresources.ResourceGroupsClientGetResponse](err)
	}
	return done(200, armresources.ResourceGroupsClientGetResponse{ResourceGroup: g.doc()})
}

func (c *call) checkGroup(context.Context, string, *armresources.ResourceGroupsClientCheckExistenceOptions) (fake.Responder[armresources.ResourceGroupsClientCheckExistenceResponse], fake.ErrorResponder) {
	_, err := c.ownGroup()
	if err != nil {
		return denied[armresources.ResourceGroupsClientCheckExistenceResponse](err)
	}
	return done(204, armresources.ResourceGroupsClientCheckExistenceResponse{Success: true})
}

// deleteGroup deletes a group and everything that is in it.
func (c *call) deleteGroup(context.Context, string, *armresources.ResourceGroupsClientBeginDeleteOptions) (fake.PollerResponder[armresources.ResourceGroupsClientDeleteResponse], fake.ErrorResponder) {
	type response = armresources.ResourceGroupsClientDeleteResponse
	g, err := c.ownGroup()
	if err != nil {
		return refused[response](err)
	}
	g.deleting = true
	c.later(resources, "", func(c *call) *apiError { return c.emptyGroup(g) })
	return accepted(202, response{})
}

// emptyGroup takes one more step in the deletion of a group.
func (c *call) emptyGroup(g *group) *apiError {
	key := g.groupID()
	again := func() { c.later(resources, "", func(c *call) *apiError { return c.emptyGroup(g) }) }
	in := func(r *resource) bool { return r.groupID() == key }
	busy := false
	for _, m := range c.machines.Where(func(m *machine) bool { return in(&m.resource) }) {
		c.beginMachineEnd(m)
		busy = true
	}
	if busy {
		again()
		return nil
	}
	for _, v := range c.nics.Where(func(v *nic) bool { return in(&v.resource) }) {
		if err := c.removeNIC(v); err != nil {
			return err
		}
	}
	for _, v := range c.addresses.Where(func(v *address) bool { return in(&v.resource) }) {
		if err := c.removeAddress(v); err != nil {
			return err
		}
	}
	for _, v := range c.networks.Where(func(v *network) bool { return in(&v.resource) }) {
		if err := c.removeNetwork(v); err != nil {
			return err
		}
	}
	for _, v := range c.securities.Where(func(v *security) bool { return in(&v.resource) }) {
		c.securities.Delete(v.key())
	}
	for _, v := range c.disks.Where(func(v *disk) bool { return in(&v.resource) }) {
		c.disks.Delete(v.key())
	}
	c.groups.Delete(key)
	return nil
}

var tagFilter = regexp.MustCompile(`(?i)^\s*tagName eq '((?:[^']|'')*)'(?: and tagValue eq '((?:[^']|'')*)')?\s*$`)

func (c *call) listGroups(o *armresources.ResourceGroupsClientListOptions) (resp fake.PagerResponder[armresources.ResourceGroupsClientListResponse]) {
	keep := func(map[string]*string) bool { return true }
	if o != nil && o.Filter != nil {
		m := tagFilter.FindStringSubmatch(*o.Filter)
		if m == nil {
			resp.AddError(fault(400, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", *o.Filter))
			return resp
		}
		name, value := strings.ReplaceAll(m[1], "''", "'"), strings.ReplaceAll(m[2], "''", "'")
		keep = func(tags map[string]*string) bool {
			for k, v := range tags {
				if strings.EqualFold(k, name) && (m[2] == "" || or(v, "") == value) {
					return true
				}
			}
			return false
		}
	}
	var body armresources.ResourceGroupsClientListResponse
	body.Value, body.NextLink = page(c, c.groups.Where(func(g *group) bool { return keep(g.tags) }), func(g *group) *armresources.ResourceGroup { return ptr(g.doc()) })
	return pager(body)
}

// everything lists what is in the subscription, whatever it is.
func (c *call) everything() []*resource {
	var all []*resource
	for _, v := range c.machines.All() {
		all = append(all, &v.resource)
	}
	for _, v := range c.disks.All() {
		all = append(all, &v.resource)
	}
	for _, v := range c.nics.All() {
		all = append(all, &v.resource)
	}
	for _, v := range c.addresses.All() {
		all = append(all, &v.resource)
	}
	for _, v := range c.securities.All() {
		all = append(all, &v.resource)
	}
	for _, v := range c.networks.All() {
		all = append(all, &v.resource)
	}
	return all
}

// generic pages through what is in a group, or everywhere.
func (c *call) generic(keep func(*resource) bool) ([]*armresources.GenericResourceExpanded, *string) {
	rows := slices.DeleteFunc(c.everything(), func(r *resource) bool { return !keep(r) })
	slices.SortFunc(rows, func(a, b *resource) int { return cmp.Compare(a.seq, b.seq) })
	return page(c, rows, func(r *resource) *armresources.GenericResourceExpanded {
		return &armresources.GenericResourceExpanded{
			ID: ptr(r.id()), Name: ptr(r.name), Type: ptr(r.provider + "/" + r.kind), Location: ptr(r.location), Tags: maps.Clone(r.tags),
		}
	})
}

func (c *call) listGroupResources(string, *armresources.ClientListByResourceGroupOptions) fake.PagerResponder[armresources.ClientListByResourceGroupResponse] {
	var body armresources.ClientListByResourceGroupResponse
	body.Value, body.NextLink = c.generic(func(r *resource) bool { return r.groupID() == c.path.groupID() })
	return pager(body)
}

func (c *call) listResources(*armresources.ClientListOptions) fake.PagerResponder[armresources.ClientListResponse] {
	var body armresources.ClientListResponse
	body.Value, body.NextLink = c.generic(func(*resource) bool { return true })
	return pager(body)
}
