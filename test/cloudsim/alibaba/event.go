package alibaba

import (
	"slices"
	"time"
)

// failedToCreate is the type of the event of an instance that could not be
// created.
const failedToCreate = "SystemFailure.Delete"

// event is a system event of an instance.
type event struct {
	id, instance string
	made         time.Time
	done         time.Time // when the instance was released, zero before
}

func (e *event) cycle() string {
	if e.done.IsZero() {
		return "Executing"
	}
	return "Executed"
}

// settleDoomed lets an instance fail, and go after a while.
func (c *call) settleDoomed(i *instance) error {
	e, failed := c.r.events.Get(i.id)
	switch now := c.now(); {
	case !failed && now.Sub(i.made) >= doomDelay:
		c.r.events.Put(i.id, &event{id: newID("e-"), instance: i.id, made: now})
	case failed && (i.releasing || now.Sub(e.made) >= c.opts.Release):
		e.done = now
		return c.drop(i)
	}
	return nil
}

func describeInstanceHistoryEvents(c *call) (obj, error) {
	if t := c.q.str("ResourceType"); t != "" && t != "instance" {
		return nil, fault(400, "UnsupportedParameter", "ResourceType %.40q is not simulated.", t)
	}
	ids := c.q.list("ResourceId")
	if id := c.q.str("InstanceId"); id != "" {
		ids = append(ids, id)
	}
	cycles := c.q.list("InstanceEventCycleStatus")
	if len(cycles) == 0 {
		cycles = []string{"Avoided", "Executed", "Canceled", "Failed"} // the past alone, as the real one
	}
	types := c.q.list("InstanceEventType")
	rows := c.r.events.Where(func(e *event) bool {
		return (len(ids) == 0 || slices.Contains(ids, e.instance)) && slices.Contains(cycles, e.cycle()) &&
			(len(types) == 0 || slices.Contains(types, failedToCreate))
	})
	rows, out, err := following(c.q, rows, func(e *event) string { return e.id }, 100)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, e := range rows {
		finished := ""
		if !e.done.IsZero() {
			finished = second(e.done)
		}
		list = append(list, obj{
			"EventId": e.id, "InstanceId": e.instance, "ResourceType": "instance", "EventPublishTime": second(e.made), "EventFinishTime": finished,
			"NotBefore": second(e.made), "Reason": "The instance could not be created: the resources are out of usage.", "ReasonCode": "",
			"EventType":         obj{"Code": 34, "Name": failedToCreate},
			"EventCycleStatus":  obj{"Code": 5, "Name": e.cycle()},
			"ExtendedAttribute": obj{"Code": "InsufficientResource"},
		})
	}
	out["InstanceSystemEventSet"] = obj{"InstanceSystemEventType": list}
	return out, nil
}
