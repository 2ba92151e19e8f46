package azure

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/v2"
)

func (c *call) subscriptionDoc() armsubscriptions.Subscription {
	return armsubscriptions.Subscription{
		ID: ptr("/subscriptions/" + c.subscription), SubscriptionID: ptr(c.subscription), TenantID: ptr(c.tenant),
		DisplayName: ptr("cloudsim"), State: ptr(armsubscriptions.SubscriptionStateEnabled), AuthorizationSource: ptr("RoleBased"),
	}
}

func (c *call) listSubscriptions(*armsubscriptions.ClientListOptions) fake.PagerResponder[armsubscriptions.ClientListResponse] {
	doc := c.subscriptionDoc()
	return pager(armsubscriptions.ClientListResponse{SubscriptionListResult: armsubscriptions.SubscriptionListResult{Value: []*armsubscriptions.Subscription{&doc}}})
}

func (c *call) getSubscription(context.Context, string, *armsubscriptions.ClientGetOptions) (fake.Responder[armsubscriptions.ClientGetResponse], fake.ErrorResponder) {
	return done(200, armsubscriptions.ClientGetResponse{Subscription: c.subscriptionDoc()})
}

func (c *call) listLocations(string, *armsubscriptions.ClientListLocationsOptions) fake.PagerResponder[armsubscriptions.ClientListLocationsResponse] {
	var list []*armsubscriptions.Location
	id := "/subscriptions/" + c.subscription + "/locations/"
	for _, r := range c.regions {
		l := &armsubscriptions.Location{
			ID: ptr(id + r.name), Name: &r.name, DisplayName: &r.display, RegionalDisplayName: &r.display, Type: ptr(armsubscriptions.LocationTypeRegion),
			Metadata: &armsubscriptions.LocationMetadata{RegionType: ptr(armsubscriptions.RegionTypePhysical), RegionCategory: ptr(armsubscriptions.RegionCategoryRecommended)},
		}
		for _, z := range r.zoneNames() {
			l.AvailabilityZoneMappings = append(l.AvailabilityZoneMappings, &armsubscriptions.AvailabilityZoneMappings{LogicalZone: &z, PhysicalZone: ptr(r.name + "-az" + z)})
		}
		list = append(list, l)
	}
	for name, display := range map[string]string{"global": "Global", "europe": "Europe", "asia": "Asia"} { // groups of regions are listed too
		list = append(list, &armsubscriptions.Location{
			ID: ptr(id + name), Name: &name, DisplayName: &display, RegionalDisplayName: &display, Type: ptr(armsubscriptions.LocationTypeRegion),
			Metadata: &armsubscriptions.LocationMetadata{RegionType: ptr(armsubscriptions.RegionTypeLogical), RegionCategory: ptr(armsubscriptions.RegionCategoryOther)},
		})
	}
	return pager(armsubscriptions.ClientListLocationsResponse{LocationListResult: armsubscriptions.LocationListResult{Value: list}})
}

func (c *call) providerDoc(name string) armresources.Provider {
	state := "NotRegistered"
	if c.registered[strings.ToLower(name)] {
		state = "Registered"
	}
	return armresources.Provider{ID: ptr("/subscriptions/" + c.subscription + "/providers/" + name), Namespace: &name, RegistrationState: &state}
}

func (c *call) getProvider(_ context.Context, name string, _ *armresources.ProvidersClientGetOptions) (fake.Responder[armresources.ProvidersClientGetResponse], fake.ErrorResponder) {
	if _, ok := c.registered[strings.ToLower(name)]; !ok {
		return denied[armresources.ProvidersClientGetResponse](fault(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", name))
	}
	return done(200, armresources.ProvidersClientGetResponse{Provider: c.providerDoc(name)})
}

// registerProvider makes a provider usable a moment later.
func (c *call) registerProvider(_ context.Context, name string, _ *armresources.ProvidersClientRegisterOptions) (fake.Responder[armresources.ProvidersClientRegisterResponse], fake.ErrorResponder) {
	low := strings.ToLower(name)
	if _, ok := c.registered[low]; !ok {
		return denied[armresources.ProvidersClientRegisterResponse](fault(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", name))
	}
	doc := c.providerDoc(name)
	if !c.registered[low] {
		doc.RegistrationState = ptr("Registering")
		header := c.header
		c.header = nil // nobody asks about it
		c.later(resources, "", func(c *call) *apiError {
			c.registered[low] = true
			return nil
		})
		c.header = header
	}
	return done(200, armresources.ProvidersClientRegisterResponse{Provider: doc})
}
