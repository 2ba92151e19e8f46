package mcis

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits of a spec file. They bound what one request can cost the server.
const (
	MaxFile      = 1 << 20 // bytes of a file
	MaxDocuments = 32      // documents in a file
	MaxGroups    = 100     // groups of an MCIS
	MaxNodes     = 1000    // nodes of an MCIS: one gossip pool, and what one /22 subnet holds
)

// maxMCISName leaves room for group, region and number in a node's name.
const maxMCISName = 40

// ParseSpec reads the documents of kind MCIS in a YAML file. On error it is
// [Faults] with everything that is wrong; the specs that could be read, as far
// as they could, come back beside it. [Service.Parse] also checks them against
// the state of the server.
func ParseSpec(file string, data []byte) ([]Spec, error) {
	p := &parser{file: file}
	if len(data) > MaxFile {
		p.fault(0, "", fmt.Sprintf("the file has %d bytes, more than %d", len(data), MaxFile), "split it")
		return nil, p.faults.sorted()
	}
	var specs []Spec
	seen := make(map[string]bool)
	documents := 0
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.syntax(err)
			return specs, p.faults.sorted()
		}
		if documents++; documents > MaxDocuments {
			p.fault(doc.Line, "", fmt.Sprintf("more than %d documents", MaxDocuments), "split the file")
			break
		}
		if len(doc.Content) == 0 || isNull(doc.Content[0]) {
			continue
		}
		spec, ok := p.document(doc.Content[0])
		if !ok {
			continue
		}
		if seen[spec.Name] && spec.Name != "" {
			p.faults = append(p.faults, spec.fault("name", fmt.Sprintf("a second document for mcis %s", spec.Name), "merge them, or rename one"))
		}
		seen[spec.Name] = true
		specs = append(specs, spec)
	}
	if len(specs) == 0 && len(p.faults) == 0 {
		p.fault(0, "", "no document of kind MCIS", `begin with "kind: MCIS"`)
	}
	return specs, p.faults.sorted()
}

// parser reads nodes of YAML and gathers faults and lines.
type parser struct {
	file   string
	faults Faults
	lines  map[string]int // of the document being read
	nodes  int            // read so far: bounds documents that repeat aliases
}

// maxYAMLNodes is the number of values read from a file, aliases followed.
const maxYAMLNodes = 100_000

var (
	syntaxLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
	// fromZero matches the errors of the library's parser proper, which counts
	// lines from 0; its scanner counts from 1.
	fromZero = regexp.MustCompile(`^did not find expected (<|node content|'-' indicator|key|',')`)
)

// syntax reports an error of the YAML library, which gives lines only in text.
func (p *parser) syntax(err error) {
	text, line := err.Error(), 0
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits: an overflow leaves the line out
		if text = m[2]; fromZero.MatchString(text) {
			line++
		}
	}
	p.fault(line, "", "not valid YAML: "+strings.TrimPrefix(text, "yaml: "), "check indentation, quotes and brackets near here")
}

func (p *parser) fault(line int, path, what, fix string) {
	p.faults = append(p.faults, Fault{File: p.file, Line: line, Path: path, What: what, Fix: fix})
}

// document reads one document and reports whether it is an MCIS.
func (p *parser) document(n *yaml.Node) (Spec, bool) {
	if n.Kind != yaml.MappingNode {
		p.fault(n.Line, "", "a document is "+kindName(n)+", not a mapping", `begin with "kind: MCIS"`)
		return Spec{}, false
	}
	var kind *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "kind" {
			kind = n.Content[i+1]
			break
		}
	}
	switch {
	case kind == nil:
		p.fault(n.Line, "kind", "is missing", `add "kind: MCIS"`)
		return Spec{}, false
	case kind.Value == "App":
		p.fault(kind.Line, "kind", "App documents are not supported yet by this release", "remove the document, and start the application with: cbctl mcis exec")
		return Spec{}, false
	case kind.Value != "MCIS":
		p.fault(kind.Line, "kind", fmt.Sprintf("%q is no kind of document", kind.Value), `write "kind: MCIS"`)
		return Spec{}, false
	}
	return p.mcis(n), true
}

// mcis reads a document of kind MCIS.
func (p *parser) mcis(n *yaml.Node) Spec {
	p.lines = map[string]int{"": n.Line}
	spec := Spec{File: p.file, Lines: p.lines, OnFailure: OnFailureContinue}
	seen := p.mapping(n, "", fields{
		"kind":    func(*yaml.Node, string) {},
		"name":    func(n *yaml.Node, path string) { spec.Name = p.name(n, path, maxMCISName) },
		"network": func(n *yaml.Node, path string) { spec.Network = p.network(n, path) },
		"sshKey":  func(n *yaml.Node, path string) { spec.SSHKey = p.sshKey(n, path) },
		"groups":  func(n *yaml.Node, path string) { spec.Groups = p.groups(n, path) },
		"onFailure": func(n *yaml.Node, path string) {
			spec.OnFailure = OnFailure(p.oneOf(n, path, string(OnFailureContinue), string(OnFailureRollback), string(OnFailureReplace)))
		},
	})
	p.require(n, "", seen, "name", "groups")
	p.checkGroups(&spec)
	return spec
}

func (p *parser) network(n *yaml.Node, path string) Network {
	var net Network
	p.mapping(n, path, fields{
		"cidr": func(n *yaml.Node, path string) {
			net.CIDR = p.prefix(n, path)
			if net.CIDR.IsValid() && !net.CIDR.Addr().Is4() {
				p.fault(n.Line, path, fmt.Sprintf("%s is not IPv4", net.CIDR), "take a slice of the mesh's IPv4 prefix")
				net.CIDR = Network{}.CIDR
			}
		},
	})
	return net
}

func (p *parser) groups(n *yaml.Node, path string) []Group {
	var groups []Group
	for i, item := range p.list(n, path) {
		if i == MaxGroups {
			p.fault(item.Line, path, fmt.Sprintf("more than %d groups", MaxGroups), "split the MCIS")
			break
		}
		groups = append(groups, p.group(item, fmt.Sprintf("%s[%d]", path, i)))
	}
	return groups
}

func (p *parser) group(n *yaml.Node, path string) Group {
	g := Group{Count: 1, PublicIP: true}
	seen := p.mapping(n, path, fields{
		"name":   func(n *yaml.Node, path string) { g.Name = p.name(n, path, maxNodeName) },
		"cloud":  func(n *yaml.Node, path string) { g.Cloud = p.name(n, path, maxNodeName) },
		"region": func(n *yaml.Node, path string) { g.Region = p.region(n, path) },
		"regions": func(n *yaml.Node, path string) {
			g.Regions = p.regions(n, path)
		},
		"count":    func(n *yaml.Node, path string) { g.Count = p.integer(n, path, 0, MaxNodes) },
		"spec":     func(n *yaml.Node, path string) { g.Machine = p.machine(n, path) },
		"image":    func(n *yaml.Node, path string) { g.Image = p.text(n, path) },
		"labels":   func(n *yaml.Node, path string) { g.Labels = p.labels(n, path) },
		"publicIp": func(n *yaml.Node, path string) { g.PublicIP = p.boolean(n, path) },
		"egress":   func(n *yaml.Node, path string) { g.Egress = Egress(p.oneOf(n, path, string(EgressNAT))) },
		"role": func(n *yaml.Node, path string) {
			for i, item := range p.list(n, path) {
				g.Roles = append(g.Roles, p.oneOf(item, fmt.Sprintf("%s[%d]", path, i), "gateway", "relay"))
			}
		},
		"routes": func(n *yaml.Node, path string) {
			for i, item := range p.list(n, path) {
				g.Routes = append(g.Routes, p.prefix(item, fmt.Sprintf("%s[%d]", path, i)))
			}
		},
	})
	if n.Kind == yaml.MappingNode {
		p.require(n, path, seen, "name", "cloud")
	}
	if seen["region"] && seen["regions"] {
		p.fault(p.lines[path+".regions"], path+".regions", "both region and regions are given", "keep one of them")
		g.Regions = nil
	}
	return g
}

func (p *parser) machine(n *yaml.Node, path string) Machine {
	var m Machine
	p.mapping(n, path, fields{
		"name":   func(n *yaml.Node, path string) { m.Name = p.text(n, path) },
		"vcpu":   func(n *yaml.Node, path string) { m.VCPU = p.integer(n, path, 1, 1024) },
		"memory": func(n *yaml.Node, path string) { m.MemoryMiB = p.memory(n, path) },
	})
	return m
}

func (p *parser) regions(n *yaml.Node, path string) []string {
	list := p.list(n, path)
	out := make([]string, 0, len(list))
	seen := make(map[string]bool)
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		r := p.region(item, at)
		if r == "" {
			continue
		}
		if seen[label(r)] {
			p.fault(item.Line, at, fmt.Sprintf("region %s is there twice", r), "list each region once; count is per region")
			continue
		}
		seen[label(r)] = true
		out = append(out, r)
	}
	return out
}

// checkGroups reports what only shows across groups and fields.
func (p *parser) checkGroups(spec *Spec) {
	first := make(map[string]int)
	for i, g := range spec.Groups {
		if g.Name != "" {
			if j, ok := first[g.Name]; ok {
				p.faults = append(p.faults, spec.fault(groupPath(i, "name"), fmt.Sprintf("group %s is already on line %d", g.Name, spec.Line(groupPath(j, "name"))), "rename one of them"))
			} else {
				first[g.Name] = i
			}
		}
		if len(g.Routes) > 0 && !strings.Contains(strings.Join(g.Roles, " "), "gateway") {
			p.faults = append(p.faults, spec.fault(groupPath(i, "routes"), "only gateways have routes", `add "role: [gateway]"`))
		}
		if g.Egress == EgressNAT && g.PublicIP {
			p.faults = append(p.faults, spec.fault(groupPath(i, "egress"), "the machines have public addresses and need no other way out", `remove egress, or add "publicIp: false"`))
		}
		p.checkNodeNames(spec, i)
	}
	if n := spec.size(); n > MaxNodes {
		p.faults = append(p.faults, spec.fault("groups", fmt.Sprintf("%d nodes in all, more than %d", n, MaxNodes), "split the MCIS"))
	}
}

// checkNodeNames reports names that are too long for the DNS, or that two
// groups share ("a" with region "b-1", "a-b" with none).
func (p *parser) checkNodeNames(spec *Spec, i int) {
	if g := spec.Groups[i]; spec.Name == "" || g.Name == "" || g.Count*len(g.places()) > MaxNodes {
		return
	}
	mine := wantedNodes(Spec{Name: spec.Name, Groups: spec.Groups[i : i+1]})
	for _, w := range mine {
		if len(w.Name) > maxNodeName {
			p.faults = append(p.faults, spec.fault(groupPath(i, "name"), fmt.Sprintf("node name %s has %d characters, more than %d", w.Name, len(w.Name), maxNodeName), "shorten the name of the MCIS or of the group"))
			return
		}
	}
	for j, g := range spec.Groups[:i] {
		if g.Name == spec.Groups[i].Name || g.Count*len(g.places()) > MaxNodes {
			continue
		}
		taken := make(map[string]bool)
		for _, w := range wantedNodes(Spec{Name: spec.Name, Groups: spec.Groups[j : j+1]}) {
			taken[w.Name] = true
		}
		for _, w := range mine {
			if taken[w.Name] {
				p.faults = append(p.faults, spec.fault(groupPath(i, "name"), fmt.Sprintf("node %s would also be one of group %s", w.Name, g.Name), "rename one of the groups"))
				return
			}
		}
	}
}
