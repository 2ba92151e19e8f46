package azure

import (
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/v2"
)

// clients are the SDK's clients of one subscription.
type clients struct {
	subscriptions *armsubscriptions.Client
	providers     *armresources.ProvidersClient
	groups        *armresources.ResourceGroupsClient
	resources     *armresources.Client

	networks     *armnetwork.VirtualNetworksClient
	securities   *armnetwork.SecurityGroupsClient
	interfaces   *armnetwork.InterfacesClient
	addresses    *armnetwork.PublicIPAddressesClient
	networkUsage *armnetwork.UsagesClient

	machines     *armcompute.VirtualMachinesClient
	images       *armcompute.VirtualMachineImagesClient
	skus         *armcompute.ResourceSKUsClient
	computeUsage *armcompute.UsageClient
}

// newClients makes all clients. They repeat nothing and register nothing by
// themselves.
func newClients(acc account, credential azcore.TokenCredential, transport http.RoundTripper) (clients, error) {
	o := &arm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: azcloud.Configuration{
				ActiveDirectoryAuthorityHost: acc.AuthorityURL,
				Services: map[azcloud.ServiceName]azcloud.ServiceConfiguration{
					azcloud.ResourceManager: {Endpoint: acc.ManagerURL, Audience: acc.audience()},
				},
			},
			InsecureAllowCredentialWithHTTP: acc.plain(),
			Retry:                           policy.RetryOptions{MaxRetries: -1},
			Telemetry:                       policy.TelemetryOptions{ApplicationID: "cbnet"},
			Transport:                       &http.Client{Transport: strict{transport}},
		},
		DisableRPRegistration: true,
	}
	subscriptions, err := armsubscriptions.NewClient(credential, o)
	if err != nil {
		return clients{}, err
	}
	resources, err := armresources.NewClientFactory(acc.SubscriptionID, credential, o)
	if err != nil {
		return clients{}, err
	}
	network, err := armnetwork.NewClientFactory(acc.SubscriptionID, credential, o)
	if err != nil {
		return clients{}, err
	}
	compute, err := armcompute.NewClientFactory(acc.SubscriptionID, credential, o)
	if err != nil {
		return clients{}, err
	}
	return clients{
		subscriptions: subscriptions,
		providers:     resources.NewProvidersClient(),
		groups:        resources.NewResourceGroupsClient(),
		resources:     resources.NewClient(),
		networks:      network.NewVirtualNetworksClient(),
		securities:    network.NewSecurityGroupsClient(),
		interfaces:    network.NewInterfacesClient(),
		addresses:     network.NewPublicIPAddressesClient(),
		networkUsage:  network.NewUsagesClient(),
		machines:      compute.NewVirtualMachinesClient(),
		images:        compute.NewVirtualMachineImagesClient(),
		skus:          compute.NewResourceSKUsClient(),
		computeUsage:  compute.NewUsageClient(),
	}, nil
}
