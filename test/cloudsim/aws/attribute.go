package aws

import "slices"

func modifyInstanceAttribute(c *call) (any, error) {
	i, err := findParam(c, &c.r.instances, "i-", "InstanceId")
	if err != nil {
		return nil, err
	}
	if i.state == stateTerminated || i.state == stateShuttingDown {
		return nil, wrongState(i, "modified")
	}
	e, _ := c.r.enis.Get(i.eni)
	name, text := c.modified()
	flag := node{below: map[string]*node{"Value": {value: text, sent: true}}}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	switch name {
	case "sourceDestCheck":
		on, err := flag.boolean("Value", true)
		if err != nil {
			return nil, err
		}
		e.noCheck = !on
	case "disableApiTermination":
		i.protected, err = flag.boolean("Value", i.protected)
	case "disableApiStop":
		i.stopGuard, err = flag.boolean("Value", i.stopGuard)
	case "instanceInitiatedShutdownBehavior":
		if text != "stop" && text != "terminate" {
			return nil, invalid(name, text)
		}
		i.shutdown = text
	case "groupSet":
		err = c.modifyGroups(e)
	case "instanceType":
		m, ok := machineNamed(text)
		switch {
		case i.state != stateStopped:
			err = fault(400, "IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.id)
		case !ok:
			err = fault(400, "InvalidInstanceAttributeValue", "The instanceType '%s' is not valid", text)
		default:
			i.machine = m
		}
	case "userData":
		if i.state != stateStopped {
			err = fault(400, "IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.id)
			break
		}
		o := &order{}
		sub := *c
		sub.q = &node{below: map[string]*node{"UserData": {value: text, sent: true}}}
		if err = sub.orderUserData(o); err == nil {
			i.userData = o.userData
		}
	default:
		err = fault(400, "InvalidParameterCombination", "No attributes specified.")
	}
	return done{true}, err
}

// modified returns the attribute that a call changes, in either of the two
// forms that there are for it, and the value.
func (c *call) modified() (name, text string) {
	if name = c.q.str("Attribute"); name != "" {
		return name, c.q.str("Value")
	}
	for _, p := range []string{
		"SourceDestCheck", "DisableApiTermination", "DisableApiStop", "InstanceInitiatedShutdownBehavior", "InstanceType", "UserData",
	} {
		if c.q.has(p) {
			return lowerFirst(p), c.q.str(p + ".Value")
		}
	}
	if c.q.has("GroupId") {
		return "groupSet", ""
	}
	return "", ""
}

// modifyGroups puts an interface into other groups.
func (c *call) modifyGroups(e *eni) error {
	ids := c.q.list("GroupId")
	for _, id := range ids {
		g, err := find(&c.r.groups, "sg-", id)
		if err != nil {
			return err
		}
		if g.vpc != e.vpc {
			return fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, e.vpc)
		}
	}
	if len(ids) == 0 {
		return missing("GroupId")
	}
	e.groups = slices.Clone(ids)
	return c.enforce(e.vpc)
}

func describeInstanceAttribute(c *call) (any, error) {
	i, err := findParam(c, &c.r.instances, "i-", "InstanceId")
	if err != nil {
		return nil, err
	}
	name, err := c.q.need("Attribute")
	if err != nil {
		return nil, err
	}
	out := struct {
		ID        string             `xml:"instanceId"`
		Check     *value[bool]       `xml:"sourceDestCheck"`
		Protected *value[bool]       `xml:"disableApiTermination"`
		StopGuard *value[bool]       `xml:"disableApiStop"`
		Shutdown  *value[string]     `xml:"instanceInitiatedShutdownBehavior"`
		Type      *value[string]     `xml:"instanceType"`
		UserData  *value[string]     `xml:"userData"`
		Groups    *set[xmlGroupName] `xml:"groupSet"`
	}{ID: i.id}
	e, hasENI := c.r.enis.Get(i.eni)
	switch name {
	case "sourceDestCheck":
		out.Check = &value[bool]{hasENI && !e.noCheck}
	case "disableApiTermination":
		out.Protected = &value[bool]{i.protected}
	case "disableApiStop":
		out.StopGuard = &value[bool]{i.stopGuard}
	case "instanceInitiatedShutdownBehavior":
		out.Shutdown = &value[string]{i.shutdown}
	case "instanceType":
		out.Type = &value[string]{i.machine.name}
	case "userData":
		out.UserData = &value[string]{i.userData}
	case "groupSet":
		var ids []string
		if hasENI {
			ids = e.groups
		}
		groups := c.r.xmlGroupNames(ids)
		out.Groups = &groups
	default:
		return nil, fault(400, "InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", name)
	}
	return out, nil
}

func modifyInstanceMetadataOptions(c *call) (any, error) {
	i, err := findParam(c, &c.r.instances, "i-", "InstanceId")
	if err != nil {
		return nil, err
	}
	o := &order{}
	sub := *c
	sub.q = &node{below: map[string]*node{"MetadataOptions": {below: c.q.below}}}
	if err := sub.orderAttributes(o); err != nil {
		return nil, err
	}
	if c.q.has("HttpTokens") {
		i.tokens = o.model.tokens
	}
	if c.q.has("HttpEndpoint") {
		i.imds = o.model.imds
	}
	if c.q.has("HttpPutResponseHopLimit") {
		i.hops = o.model.hops
	}
	return struct {
		ID      string      `xml:"instanceId"`
		Options xmlMetadata `xml:"instanceMetadataOptions"`
	}{i.id, c.r.xmlInstance(i).Metadata}, nil
}
