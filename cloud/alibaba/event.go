package alibaba

import (
	"context"
	"slices"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
)

// failedToCreate is the event of an instance that RunInstances promised and ECS
// could not make. It is released some minutes after:
// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-creation-failure-events.
const failedToCreate = "SystemFailure.Delete"

// failures returns the reasons why instances could not be created, by id. It
// makes no call without ids, and one for every hundred.
func (d *Driver) failures(ctx context.Context, region string, ids []string) (map[string]string, error) {
	reasons := map[string]string{}
	for some := range slices.Chunk(ids, 100) {
		for next := ""; ; {
			req, resp := ecs.CreateDescribeInstanceHistoryEventsRequest(), ecs.CreateDescribeInstanceHistoryEventsResponse()
			req.ResourceType, req.ResourceId = "instance", &some
			req.InstanceEventType = &[]string{failedToCreate}
			req.InstanceEventCycleStatus = &[]string{"Scheduled", "Executing", "Executed"}
			req.MaxResults, req.NextToken = pageSize(100), next
			if err := d.call(ctx, region, req, resp); err != nil {
				return nil, err
			}
			for _, e := range resp.InstanceSystemEventSet.InstanceSystemEventType {
				reasons[e.InstanceId] = reason(e)
			}
			if next = resp.NextToken; next == "" {
				break
			}
		}
	}
	return reasons, nil
}

// reason is what the event says, in the vendor's words.
func reason(e ecs.InstanceSystemEventType) string {
	text := failedToCreate
	for _, s := range []string{e.ReasonCode, e.Reason, e.ExtendedAttribute.Code, e.ExtendedAttribute.ResponseResult} {
		if s != "" {
			text += ": " + s
		}
	}
	return text
}
