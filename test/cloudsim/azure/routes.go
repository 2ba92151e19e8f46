package azure

import (
	"net/http"
	"strings"

	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
	networkfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9/fake"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"
	subscriptionsfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/v2/fake"
)

// route is an entry of the table of what ARM does here: a method of the SDK's
// that one of Microsoft's fake servers answers, or own.
type route struct {
	method string
	path   string
	api    string // as the fake server knows it
	fake   func(*call) transport
	own    func(*call) (*http.Response, error)
	// ofGroup routes are about a resource group itself, not about what is in it.
	ofGroup bool
}

// name is what faults call the route: "PUT virtualMachines".
func (r route) name() string {
	segments := strings.Split(r.path, "/")
	last := segments[len(segments)-1]
	if strings.HasPrefix(last, "{") {
		last = segments[len(segments)-2]
	}
	return r.method + " " + last
}

// changes tells whether the route changes something, so that its answer may be
// lost.
func (r route) changes() bool {
	return r.method != http.MethodGet && r.method != http.MethodHead && !strings.HasSuffix(r.path, "/retrieveBootDiagnosticsData")
}

// Where resources are.
const (
	inSubscription = "/subscriptions/{subscription}"
	inGroup        = inSubscription + "/resourceGroups/{group}/providers/"
	inLocation     = "/locations/{location}"
	compute        = "Microsoft.Compute"
	networking     = "Microsoft.Network"
	resources      = "Microsoft.Resources"
)

func routes() []route {
	table := resourceRoutes()
	table = append(table, networkRoutes()...)
	return append(table, computeRoutes()...)
}

func resourceRoutes() []route {
	subscriptions := func(c *call) transport {
		return subscriptionsfake.NewServerTransport(&subscriptionsfake.Server{
			NewListPager: c.listSubscriptions, Get: c.getSubscription, NewListLocationsPager: c.listLocations,
		})
	}
	groups := func(c *call) transport {
		return resourcesfake.NewResourceGroupsServerTransport(&resourcesfake.ResourceGroupsServer{
			CreateOrUpdate: c.putGroup, Get: c.getGroup, BeginDelete: c.deleteGroup, NewListPager: c.listGroups, CheckExistence: c.checkGroup,
		})
	}
	generic := func(c *call) transport {
		return resourcesfake.NewServerTransport(&resourcesfake.Server{NewListByResourceGroupPager: c.listGroupResources, NewListPager: c.listResources})
	}
	providers := func(c *call) transport {
		return resourcesfake.NewProvidersServerTransport(&resourcesfake.ProvidersServer{Get: c.getProvider, Register: c.registerProvider})
	}
	const group = inSubscription + "/resourcegroups/{group}"
	return []route{
		{method: "GET", path: "/subscriptions", api: "Client.NewListPager", fake: subscriptions},
		{method: "GET", path: inSubscription, api: "Client.Get", fake: subscriptions},
		{method: "GET", path: inSubscription + "/locations", api: "Client.NewListLocationsPager", fake: subscriptions},
		{method: "GET", path: inSubscription + "/resourcegroups", api: "ResourceGroupsClient.NewListPager", fake: groups},
		{method: "PUT", path: group, api: "ResourceGroupsClient.CreateOrUpdate", fake: groups, ofGroup: true},
		{method: "GET", path: group, api: "ResourceGroupsClient.Get", fake: groups, ofGroup: true},
		{method: "HEAD", path: group, api: "ResourceGroupsClient.CheckExistence", fake: groups, ofGroup: true},
		{method: "DELETE", path: group, api: "ResourceGroupsClient.BeginDelete", fake: groups, ofGroup: true},
		{method: "GET", path: inSubscription + "/resourceGroups/{group}/resources", api: "Client.NewListByResourceGroupPager", fake: generic},
		{method: "GET", path: inSubscription + "/resources", api: "Client.NewListPager", fake: generic},
		{method: "GET", path: inSubscription + "/providers/{name}", api: "ProvidersClient.Get", fake: providers},
		{method: "POST", path: inSubscription + "/providers/{name}/register", api: "ProvidersClient.Register", fake: providers},
		{method: "GET", path: inSubscription + "/providers/{provider}/locations/{location}/operations/{name}", own: showOperation},
		{method: "GET", path: inSubscription + "/providers/{provider}/locations/{location}/operationResults/{name}", own: showResult},
		{method: "GET", path: inSubscription + "/operationResults/{name}", own: showResult},
	}
}

func networkRoutes() []route {
	networks := func(c *call) transport {
		return networkfake.NewVirtualNetworksServerTransport(&networkfake.VirtualNetworksServer{
			BeginCreateOrUpdate: c.putNetwork, Get: c.getNetwork, BeginDelete: c.deleteNetwork,
			NewListPager: c.listNetworks, NewListAllPager: c.listAllNetworks,
		})
	}
	securities := func(c *call) transport {
		return networkfake.NewSecurityGroupsServerTransport(&networkfake.SecurityGroupsServer{
			BeginCreateOrUpdate: c.putSecurity, Get: c.getSecurity, BeginDelete: c.deleteSecurity,
			NewListPager: c.listSecurities, NewListAllPager: c.listAllSecurities,
		})
	}
	nics := func(c *call) transport {
		return networkfake.NewInterfacesServerTransport(&networkfake.InterfacesServer{
			BeginCreateOrUpdate: c.putNIC, Get: c.getNIC, BeginDelete: c.deleteNIC,
			NewListPager: c.listNICs, NewListAllPager: c.listAllNICs,
		})
	}
	addresses := func(c *call) transport {
		return networkfake.NewPublicIPAddressesServerTransport(&networkfake.PublicIPAddressesServer{
			BeginCreateOrUpdate: c.putAddress, Get: c.getAddress, BeginDelete: c.deleteAddress,
			NewListPager: c.listAddresses, NewListAllPager: c.listAllAddresses,
		})
	}
	usages := func(c *call) transport {
		return networkfake.NewUsagesServerTransport(&networkfake.UsagesServer{NewListPager: c.listNetworkUsages})
	}
	table := []route{
		{method: "GET", path: inSubscription + "/providers/" + networking + inLocation + "/usages", api: "UsagesClient.NewListPager", fake: usages},
	}
	for _, r := range []struct {
		kind, api string
		fake      func(*call) transport
	}{
		{"virtualNetworks", "VirtualNetworksClient", networks},
		{"networkSecurityGroups", "SecurityGroupsClient", securities},
		{"networkInterfaces", "InterfacesClient", nics},
		{"publicIPAddresses", "PublicIPAddressesClient", addresses},
	} {
		table = append(table, crud(networking, r.kind, r.api, r.fake)...)
	}
	return table
}

func computeRoutes() []route {
	machines := func(c *call) transport {
		return computefake.NewVirtualMachinesServerTransport(&computefake.VirtualMachinesServer{
			BeginCreateOrUpdate: c.putMachine, Get: c.getMachine, BeginDelete: c.deleteMachine, InstanceView: c.viewMachine,
			NewListPager: c.listMachines, NewListAllPager: c.listAllMachines, NewListByLocationPager: c.listMachinesIn,
			BeginStart: c.startMachine, BeginDeallocate: c.deallocateMachine, BeginPowerOff: c.powerOffMachine, BeginRestart: c.restartMachine,
			RetrieveBootDiagnosticsData: c.bootDiagnostics,
		})
	}
	images := func(c *call) transport {
		return computefake.NewVirtualMachineImagesServerTransport(&computefake.VirtualMachineImagesServer{
			List: c.listImages, Get: c.getImage, ListPublishers: c.listPublishers, ListOffers: c.listOffers, ListSKUs: c.listImageSKUs,
		})
	}
	skus := func(c *call) transport {
		return computefake.NewResourceSKUsServerTransport(&computefake.ResourceSKUsServer{NewListPager: c.listSKUs})
	}
	usages := func(c *call) transport {
		return computefake.NewUsageServerTransport(&computefake.UsageServer{NewListPager: c.listComputeUsages})
	}
	const provider = inSubscription + "/providers/" + compute
	const publishers = provider + inLocation + "/publishers"
	const artifact = publishers + "/{publisher}/artifacttypes/vmimage/offers"
	table := crud(compute, "virtualMachines", "VirtualMachinesClient", machines)
	table = append(table,
		route{method: "GET", path: provider + inLocation + "/virtualMachines", api: "VirtualMachinesClient.NewListByLocationPager", fake: machines},
		route{method: "GET", path: provider + inLocation + "/usages", api: "UsageClient.NewListPager", fake: usages},
		route{method: "GET", path: provider + "/skus", api: "ResourceSKUsClient.NewListPager", fake: skus},
		route{method: "GET", path: publishers, api: "VirtualMachineImagesClient.ListPublishers", fake: images},
		route{method: "GET", path: artifact, api: "VirtualMachineImagesClient.ListOffers", fake: images},
		route{method: "GET", path: artifact + "/{offer}/skus", api: "VirtualMachineImagesClient.ListSKUs", fake: images},
		route{method: "GET", path: artifact + "/{offer}/skus/{sku}/versions", api: "VirtualMachineImagesClient.List", fake: images},
		route{method: "GET", path: artifact + "/{offer}/skus/{sku}/versions/{version}", api: "VirtualMachineImagesClient.Get", fake: images},
		route{method: "GET", path: inGroup + compute + "/virtualMachines/{name}/instanceView", api: "VirtualMachinesClient.InstanceView", fake: machines},
	)
	for verb, api := range map[string]string{
		"start": "BeginStart", "deallocate": "BeginDeallocate", "powerOff": "BeginPowerOff", "restart": "BeginRestart",
		"retrieveBootDiagnosticsData": "RetrieveBootDiagnosticsData",
	} {
		table = append(table, route{method: "POST", path: inGroup + compute + "/virtualMachines/{name}/" + verb, api: "VirtualMachinesClient." + api, fake: machines})
	}
	return table
}

// crud are the routes that every kind of resource has.
func crud(provider, kind, api string, fake func(*call) transport) []route {
	one := inGroup + provider + "/" + kind + "/{name}"
	return []route{
		{method: "PUT", path: one, api: api + ".BeginCreateOrUpdate", fake: fake},
		{method: "GET", path: one, api: api + ".Get", fake: fake},
		{method: "DELETE", path: one, api: api + ".BeginDelete", fake: fake},
		{method: "GET", path: inGroup + provider + "/" + kind, api: api + ".NewListPager", fake: fake},
		{method: "GET", path: inSubscription + "/providers/" + provider + "/" + kind, api: api + ".NewListAllPager", fake: fake},
	}
}
