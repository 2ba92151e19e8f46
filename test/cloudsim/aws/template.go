package aws

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// template is a launch template: parameters of RunInstances kept under a name.
type template struct {
	id, name string
	versions []*node // LaunchTemplateData, the first is version 1
	standard int     // the version called $Default
	created  time.Time
}

// templateParams are what LaunchTemplateData may have: parameters of
// RunInstances by the same names.
const templateParams = "ImageId InstanceType KeyName UserData SecurityGroupId SecurityGroup NetworkInterface Placement TagSpecification" +
	" MetadataOptions DisableApiTermination DisableApiStop InstanceInitiatedShutdownBehavior Monitoring EbsOptimized BlockDeviceMapping CreditSpecification"

// templateData reads LaunchTemplateData.
func (c *call) templateData() (*node, error) {
	data := c.q.at("LaunchTemplateData")
	if data == nil {
		return nil, missing("LaunchTemplateData")
	}
	known := strings.Fields(templateParams)
	for name := range data.below {
		if !slices.Contains(known, name) {
			return nil, fault(400, "UnknownParameter", "The parameter LaunchTemplateData.%s is not recognized", name)
		}
	}
	_, err := tagSpecs(data, "instance", "volume", "network-interface")
	return data, err
}

// template finds the template that q names by LaunchTemplateId or
// LaunchTemplateName.
func (c *call) template(q *node) (*template, error) {
	if id := q.str("LaunchTemplateId"); id != "" {
		return find(&c.r.templates, "lt-", id)
	}
	name, err := q.need("LaunchTemplateName")
	if err != nil {
		return nil, err
	}
	found := c.r.templates.Where(func(t *template) bool { return t.name == name })
	if len(found) == 0 {
		return nil, fault(400, "InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
	}
	return found[0], nil
}

// version returns the number of a template's version: a number, $Latest,
// $Default, or nothing, which is $Default.
func (t *template) version(name string) (int, error) {
	switch name {
	case "", "$Default":
		return t.standard, nil
	case "$Latest":
		return len(t.versions), nil
	}
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > len(t.versions) {
		return 0, fault(400, "InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", name, t.id)
	}
	return n, nil
}

// apply fills up a launch with what its template says and it does not, and
// returns the tags by which the instances tell where they come from.
func (c *call) apply(q *node) (map[string]string, error) {
	ref := q.at("LaunchTemplate")
	if ref == nil {
		return nil, nil
	}
	t, err := c.template(ref)
	if err != nil {
		return nil, err
	}
	n, err := t.version(ref.str("Version"))
	if err != nil {
		return nil, err
	}
	whole := maps.Clone(t.versions[n-1].below)
	maps.Copy(whole, q.below)
	c.q = &node{below: whole}
	return map[string]string{"aws:ec2launchtemplate:id": t.id, "aws:ec2launchtemplate:version": itoa(n)}, nil
}

type xmlTemplate struct {
	ID      string      `xml:"launchTemplateId"`
	Name    string      `xml:"launchTemplateName"`
	Created string      `xml:"createTime"`
	Creator string      `xml:"createdBy"`
	Default int         `xml:"defaultVersionNumber"`
	Latest  int         `xml:"latestVersionNumber"`
	Tags    set[xmlTag] `xml:"tagSet"`
}

// xmlTemplate prints a template.
func (r *region) xmlTemplate(t *template) xmlTemplate {
	return xmlTemplate{
		ID: t.id, Name: t.name, Created: stamp(t.created), Creator: "arn:aws:iam::" + account + ":user/example",
		Default: t.standard, Latest: len(t.versions), Tags: r.xmlTags(t.id),
	}
}

// oneTemplate is the answer to a call about one template.
type oneTemplate struct {
	Template xmlTemplate `xml:"launchTemplate"`
}

func createLaunchTemplate(c *call) (any, error) {
	name, err := c.q.need("LaunchTemplateName")
	if err != nil {
		return nil, err
	}
	data, err := c.templateData()
	if err != nil {
		return nil, err
	}
	tags, err := tagSpecs(c.q, "launch-template")
	if err != nil {
		return nil, err
	}
	if c.r.templates.Any(func(t *template) bool { return t.name == name }) {
		return nil, fault(400, "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t := &template{id: newID("lt-"), name: name, versions: []*node{data}, standard: 1, created: c.now()}
	c.r.templates.Put(t.id, t)
	c.r.setTags(t.id, tags["launch-template"])
	return oneTemplate{c.r.xmlTemplate(t)}, nil
}

func createLaunchTemplateVersion(c *call) (any, error) {
	t, err := c.template(c.q)
	if err != nil {
		return nil, err
	}
	data, err := c.templateData()
	if err != nil {
		return nil, err
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t.versions = append(t.versions, data)
	type version struct {
		ID      string `xml:"launchTemplateId"`
		Name    string `xml:"launchTemplateName"`
		Number  int    `xml:"versionNumber"`
		Default bool   `xml:"defaultVersion"`
	}
	return struct {
		Version version `xml:"launchTemplateVersion"`
	}{version{t.id, t.name, len(t.versions), false}}, nil
}

func modifyLaunchTemplate(c *call) (any, error) {
	t, err := c.template(c.q)
	if err != nil {
		return nil, err
	}
	name, err := c.q.need("SetDefaultVersion")
	if err != nil {
		return nil, err
	}
	n, err := t.version(name)
	if err != nil {
		return nil, err
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t.standard = n
	return oneTemplate{c.r.xmlTemplate(t)}, nil
}

func deleteLaunchTemplate(c *call) (any, error) {
	t, err := c.template(c.q)
	if err != nil {
		return nil, err
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	out := oneTemplate{c.r.xmlTemplate(t)}
	c.r.templates.Delete(t.id)
	c.r.forget(t.id)
	return out, nil
}

func describeLaunchTemplates(c *call) (any, error) {
	rows, err := selected(c, &c.r.templates, selection[*template]{
		param: "LaunchTemplateId", prefix: "lt-",
		id: func(t *template) string { return t.id },
		attrs: func(t *template, f string) ([]string, bool) {
			return fields(map[string][]string{"launch-template-name": {t.name}})(f)
		},
	})
	if err != nil {
		return nil, err
	}
	if names := c.q.list("LaunchTemplateName"); len(names) > 0 {
		rows = slices.DeleteFunc(rows, func(t *template) bool { return !slices.Contains(names, t.name) })
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Templates set[xmlTemplate] `xml:"launchTemplates"`
		Next      string           `xml:"nextToken,omitempty"`
	}{setOf(rows, c.r.xmlTemplate), next}, err
}
