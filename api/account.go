package api

import "time"

// CloudFault is what a cloud refused, with its place.
type CloudFault struct {
	Cloud     string `json:"cloud"`
	Region    string `json:"region,omitempty"`
	Object    string `json:"object" doc:"what was asked for: regions, machine types, inventory, ..."`
	Call      string `json:"call,omitempty" doc:"the vendor's name of the call"`
	Code      string `json:"code,omitempty" doc:"the vendor's"`
	Message   string `json:"message" doc:"the vendor's words, or what is wrong"`
	RequestID string `json:"requestId,omitempty" doc:"the vendor's"`
	Hint      string `json:"hint,omitempty" doc:"what to do about it"`
}

// Error returns "cloud NAME, region REGION, OBJECT: CALL: CODE: MESSAGE
// (request ID); HINT".
func (f CloudFault) Error() string {
	s := "cloud " + f.Cloud
	if f.Region != "" {
		s += ", region " + f.Region
	}
	s += ", " + f.Object
	for _, part := range []string{f.Call, f.Code, f.Message} {
		if part != "" {
			s += ": " + part
		}
	}
	if f.RequestID != "" {
		s += " (request " + f.RequestID + ")"
	}
	if f.Hint != "" {
		s += "; " + f.Hint
	}
	return s
}

// CloudCheck is the answer of GET /v1/clouds/{name}/check.
type CloudCheck struct {
	Cloud        string         `json:"cloud"`
	Provider     string         `json:"provider"`
	Endpoint     string         `json:"endpoint,omitempty"`
	OK           bool           `json:"ok" doc:"nothing is wrong"`
	Region       string         `json:"region,omitempty" doc:"that was looked at"`
	Regions      []string       `json:"regions" nullable:"false" doc:"that the account may use"`
	Capabilities []string       `json:"capabilities" nullable:"false" doc:"what the driver can do beside what all can"`
	Quotas       []CloudQuota   `json:"quotas" nullable:"false" doc:"of the region; empty where the cloud tells none"`
	Findings     []CloudFinding `json:"findings" nullable:"false" doc:"what was tried, in order"`
}

// CloudQuota is a limit of an account.
type CloudQuota struct {
	Name  string `json:"name" doc:"the vendor's own"`
	Used  int    `json:"used"`
	Limit int    `json:"limit" doc:"-1: none"`
}

// CloudFinding is one thing that a check tried.
type CloudFinding struct {
	Check  string      `json:"check" doc:"credentials, region, machine types, images, inventory, quotas"`
	Region string      `json:"region,omitempty"`
	OK     bool        `json:"ok"`
	Detail string      `json:"detail" doc:"what was seen"`
	Fault  *CloudFault `json:"fault,omitempty" doc:"what is wrong"`
}

// CloudRegion is a place where an account may create machines.
type CloudRegion struct {
	Name    string   `json:"name"`
	Zones   []string `json:"zones" nullable:"false" doc:"empty where the cloud tells them region by region"`
	Default bool     `json:"default" doc:"of groups that name none"`
}

// CloudRegions is the answer of GET /v1/clouds/{name}/regions.
type CloudRegions struct {
	Regions []CloudRegion `json:"regions" nullable:"false"`
}

// CloudMachine is a machine type.
type CloudMachine struct {
	Name        string   `json:"name"`
	VCPU        int      `json:"vcpu"`
	MemoryMiB   int      `json:"memoryMiB"`
	CostPerHour *float64 `json:"costPerHour" doc:"US dollars; null where it is not known"`
}

// CloudSpecs is the answer of GET /v1/clouds/{name}/specs.
type CloudSpecs struct {
	Region string         `json:"region"`
	Specs  []CloudMachine `json:"specs" nullable:"false" doc:"smallest first"`
}

// CloudImage is a bootable image.
type CloudImage struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Alias   string     `json:"alias" doc:"what specs call it on every cloud; empty: it has none"`
	Created *time.Time `json:"created,omitempty"`
}

// CloudImages is the answer of GET /v1/clouds/{name}/images.
type CloudImages struct {
	Region string       `json:"region"`
	Images []CloudImage `json:"images" nullable:"false"`
}

// Orphan is what CloudObject.MCIS says of an object of no known MCIS.
const Orphan = "orphan"

// CloudObject is one thing in a cloud that bears the mesh's mark.
type CloudObject struct {
	Cloud     string            `json:"cloud"`
	Region    string            `json:"region"`
	Kind      string            `json:"kind" doc:"vm, network, subnet, securityGroup, publicIp, port, router, key, group"`
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	MCIS      string            `json:"mcis" doc:"name of the MCIS that it belongs to; orphan: none that the server knows"`
	MCISUID   string            `json:"mcisUid" doc:"from the mark"`
	Node      string            `json:"node,omitempty"`
	State     string            `json:"state,omitempty" doc:"of a machine: pending, running, stopped, deleting, failed"`
	Reason    string            `json:"reason,omitempty" doc:"the vendor's words when the state is failed"`
	PublicIP  string            `json:"publicIp,omitempty"`
	PrivateIP string            `json:"privateIp,omitempty"`
	Zone      string            `json:"zone,omitempty"`
	Created   *time.Time        `json:"created,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Outcome   string            `json:"outcome,omitempty" enum:"found,gone,left" doc:"of a sweep"`
	Why       string            `json:"why,omitempty" doc:"of an outcome"`
}

// CloudInventory is the answer of GET /v1/clouds/{name}/inventory.
type CloudInventory struct {
	Regions []string      `json:"regions" nullable:"false" doc:"that were asked"`
	Objects []CloudObject `json:"objects" nullable:"false" doc:"by region, in the order in which they can be deleted"`
	Failed  []CloudFault  `json:"failed" nullable:"false" doc:"regions that did not answer: what they hold is not in objects"`
}

// SweepRequest is the body of POST /v1/clouds/{name}/sweep.
type SweepRequest struct {
	Region         string `json:"region,omitempty" maxLength:"64" doc:"only this one; empty: all"`
	Delete         bool   `json:"delete,omitempty" doc:"delete the orphans; without it they are listed"`
	GraceSeconds   *int   `json:"graceSeconds,omitempty" minimum:"0" maximum:"86400" doc:"least age of an orphan's machines, where the cloud tells it; default 60"`
	TimeoutSeconds int    `json:"timeoutSeconds,omitempty" minimum:"0" maximum:"86400" doc:"default 600"`
}

// SweepEvent is one line of progress of a sweep.
type SweepEvent struct {
	Step    string       `json:"step" enum:"found,wait,delete,gone,failed,result,done"`
	Region  string       `json:"region,omitempty"`
	Object  *CloudObject `json:"object,omitempty"`
	Message string       `json:"message,omitempty"`
	Result  *CloudSweep  `json:"result,omitempty" doc:"a part of it; the last one comes with done"`
	Error   string       `json:"error,omitempty" doc:"of the last event: why the sweep was given up"`
}

// CloudSweep is what a sweep came to.
type CloudSweep struct {
	Deleted bool          `json:"deleted" doc:"false: it was a dry run"`
	Objects []CloudObject `json:"objects" nullable:"false" doc:"the orphans, by region, in the order in which they can be deleted"`
	Failed  []CloudFault  `json:"failed" nullable:"false" doc:"regions that did not answer"`
}
