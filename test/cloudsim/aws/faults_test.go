package aws_test

import (
	"fmt"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestFaults(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	l := newLand(t, c)
	ctx := t.Context()
	s.faults.Set(faults.Config{Throttle: 1})
	_, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	wantCode(t, "throttled", err, "RequestLimitExceeded")

	s.faults.Set(faults.Config{NoCapacity: []string{"aws/us-east-1a"}})
	_, err = c.RunInstances(ctx, l.order(t, "full"))
	wantCode(t, "a full zone", err, "InsufficientInstanceCapacity")
	s.faults.Set(faults.Config{Quota: map[string]int{"aws/vm": 0}})
	_, err = c.RunInstances(ctx, l.order(t, "quota"))
	wantCode(t, "no quota", err, "InstanceLimitExceeded")

	s.faults.Set(faults.Config{DropNext: map[string]int{"RunInstances": 1}})
	in := l.order(t, "dropped")
	if _, err := c.RunInstances(ctx, in); err == nil {
		t.Error("a dropped answer arrived")
	}
	kept, err := c.RunInstances(ctx, in)
	if err != nil || len(kept.Instances) != 1 {
		t.Fatalf("after a dropped answer: %+v, %v", kept, err)
	}
	found, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: sdk.String("client-token"), Values: []string{"dropped"}}}})
	if err != nil || len(found.Reservations) != 1 || len(found.Reservations[0].Instances) != 1 {
		t.Errorf("by the token: %+v, %v", found, err)
	}

	s.faults.Set(faults.Config{AsyncFail: 1})
	doomed, err := c.RunInstances(ctx, l.order(t, "doomed"))
	if err != nil {
		t.Fatal(err)
	}
	id := *doomed.Instances[0].InstanceId
	if got := doomed.Instances[0].State.Name; got != types.InstanceStateNamePending {
		t.Errorf("a launch that fails later begins %s", got)
	}
	simtest.Until(t, "the launch fails", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameTerminated })
	if why := state(t, c, id).StateReason; why == nil || *why.Code != "Server.InternalError" {
		t.Errorf("the reason of a failed launch: %+v", why)
	}
}

func TestHidden(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *aws.Options) {
		o.Hidden = time.Minute
		o.Now = func() time.Time { return now }
	})
	c := s.client("us-east-1")
	l := newLand(t, c)
	made, err := c.RunInstances(t.Context(), l.order(t, "shy"))
	if err != nil {
		t.Fatal(err)
	}
	by := &ec2.DescribeInstancesInput{InstanceIds: []string{*made.Instances[0].InstanceId}}
	_, err = c.DescribeInstances(t.Context(), by)
	wantCode(t, "just after the launch", err, "InvalidInstanceID.NotFound")
	now = now.Add(time.Minute)
	if _, err := c.DescribeInstances(t.Context(), by); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	s.faults.Set(faults.Config{Hidden: faults.Duration(2 * time.Minute)})
	_, err = c.DescribeInstances(t.Context(), by)
	wantCode(t, "by the fault's will for two minutes", err, "InvalidInstanceID.NotFound")
}

func TestAddresses(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	l := newLand(t, c)
	ctx := t.Context()
	made, err := c.RunInstances(ctx, l.order(t, "one"))
	if err != nil {
		t.Fatal(err)
	}
	id := *made.Instances[0].InstanceId
	simtest.Until(t, "running", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameRunning })
	a, err := c.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: a.AllocationId, InstanceId: &id}); err != nil {
		t.Fatal(err)
	}
	if got := state(t, c, id).PublicIpAddress; got == nil || *got != *a.PublicIp {
		t.Errorf("public address %v, want %s", got, *a.PublicIp)
	}
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	wantCode(t, "release an address in use", err, "InvalidIPAddress.InUse")
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	simtest.Until(t, "the address is free", func() bool {
		_, err := c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
		return err == nil
	})
	var left []string
	for _, o := range s.cloud.Inventory() {
		if o.State != "terminated" {
			left = append(left, fmt.Sprint(o.Kind, " ", o.ID))
		}
	}
	if len(left) != 3 { // VPC, subnet, gateway
		t.Errorf("left: %v", left)
	}
}
