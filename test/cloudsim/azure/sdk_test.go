package azure_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// bearer is a token that is there already.
type bearer string

// GetToken implements azcore.TokenCredential.
func (b bearer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(b), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// TestPollers follows operations with the pollers of Microsoft's SDK for Go, to
// the end and with the last GET: those of Network and Compute by
// Azure-AsyncOperation, that of a resource group by Location, and one that
// fails.
func TestPollers(t *testing.T) {
	s := open(t)
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	o := &arm.ClientOptions{ClientOptions: policy.ClientOptions{
		Cloud:                           azcloud.Configuration{Services: map[azcloud.ServiceName]azcloud.ServiceConfiguration{azcloud.ResourceManager: {Endpoint: s.url, Audience: s.url}}},
		InsecureAllowCredentialWithHTTP: true, Retry: policy.RetryOptions{MaxRetries: -1},
	}, DisableRPRegistration: true}
	network, err := armnetwork.NewClientFactory(s.who.SubscriptionID, bearer(s.token), o)
	if err != nil {
		t.Fatal(err)
	}
	compute, err := armcompute.NewClientFactory(s.who.SubscriptionID, bearer(s.token), o)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := armresources.NewResourceGroupsClient(s.who.SubscriptionID, bearer(s.token), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	security := waitFor[armnetwork.SecurityGroupsClientCreateOrUpdateResponse](t)(network.NewSecurityGroupsClient().BeginCreateOrUpdate(ctx, "g", "s2", armnetwork.SecurityGroup{Location: to.Ptr(location)}, nil))
	if got := *security.Properties.ProvisioningState; got != armnetwork.ProvisioningStateSucceeded || len(security.Properties.DefaultSecurityRules) != 6 {
		t.Errorf("got %+v", security.Properties)
	}
	var body armcompute.VirtualMachine
	if err := body.UnmarshalJSON([]byte(s.vmBody())); err != nil {
		t.Fatal(err)
	}
	machines := compute.NewVirtualMachinesClient()
	machine := waitFor[armcompute.VirtualMachinesClientCreateOrUpdateResponse](t)(machines.BeginCreateOrUpdate(ctx, "g", "v", body, nil))
	if *machine.Properties.ProvisioningState != "Succeeded" || *machine.Properties.StorageProfile.ImageReference.ExactVersion == "" {
		t.Errorf("got %+v", machine.Properties)
	}
	stop, err := machines.BeginDeallocate(ctx, "g", "v", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stop.PollUntilDone(ctx, nil); err != nil {
		t.Error(err)
	}
	remove, err := machines.BeginDelete(ctx, "g", "v", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remove.PollUntilDone(ctx, nil); err != nil {
		t.Error(err)
	}
	simtest.Until(t, "the interface gone", func() bool { return s.do("GET", address, "")["httpStatus"] == 404 })
	s.ground()
	s.must("PUT", nic, s.nicBody("10.0.1.10"))
	s.faults.Set(faults.Config{AsyncFail: 1})
	p, err := machines.BeginCreateOrUpdate(ctx, "g", "v", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.PollUntilDone(ctx, nil)
	if answer := new(azcore.ResponseError); !errors.As(err, &answer) || answer.ErrorCode != "OSProvisioningInternalError" {
		t.Errorf("got %v", err)
	}
	all, err := groups.BeginDelete(ctx, "g", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all.PollUntilDone(ctx, nil); err != nil {
		t.Error(err)
	}
	simtest.Until(t, "all gone", func() bool { return len(s.cloud.Inventory()) == 0 })
}

// waitFor polls as the SDK does, with no frequency of the test's own.
func waitFor[T any](t *testing.T) func(*runtime.Poller[T], error) T {
	return func(p *runtime.Poller[T], err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.PollUntilDone(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}
