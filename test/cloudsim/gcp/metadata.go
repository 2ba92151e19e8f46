package gcp

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// metadataService returns the metadata server of one instance, at
// metadata.google.internal: a tree of values below /computeMetadata/v1/, which
// wants the header Metadata-Flavor and refuses requests that were forwarded.
func (p *project) metadataService(i *instance) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		w.Header().Set("Server", "Metadata Server for VM")
		path := strings.Trim(r.URL.Path, "/")
		rest, isTree := strings.CutPrefix(path+"/", "computeMetadata/v1/")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
		case path == "":
			fmt.Fprint(w, "0.1/\ncomputeMetadata/\n")
		case path == "computeMetadata":
			fmt.Fprint(w, "v1/\n")
		case !isTree:
			http.Error(w, "404 Not Found", http.StatusNotFound)
		case r.Header.Get("Metadata-Flavor") != "Google":
			http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
		case r.Header.Get("X-Forwarded-For") != "":
			http.Error(w, "The request was forwarded.", http.StatusForbidden)
		default:
			p.mu.Lock()
			tree := p.metadataTree(i)
			p.mu.Unlock()
			answerNode(w, r, tree, strings.Trim(rest, "/"))
		}
	})
}

// answerNode writes what the tree has at a path: a value, the names below, or
// all that is below as JSON. A name ends with a slash in the request exactly if
// there is something below it.
func answerNode(w http.ResponseWriter, r *http.Request, tree any, path string) {
	query := r.URL.Query()
	recursive := strings.EqualFold(query.Get("recursive"), "true")
	node := tree
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if node = child(node, name); node == nil {
			http.Error(w, "404 Not Found", http.StatusNotFound)
			return
		}
	}
	value, isValue := node.(string)
	w.Header().Set("ETag", fingerprint(node))
	switch {
	case recursive && query.Get("alt") != "text" || query.Get("alt") == "json":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(node) // the guest may be gone
	case isValue:
		w.Header().Set("Content-Type", "application/text")
		fmt.Fprint(w, value)
	case !strings.HasSuffix(r.URL.Path, "/"):
		http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
	default:
		w.Header().Set("Content-Type", "application/text")
		fmt.Fprint(w, strings.Join(children(node), "\n")+"\n")
	}
}

// child returns what is below a node by that name, nil for nothing. Names of
// JSON are in camel case, those of paths have hyphens.
func child(node any, name string) any {
	switch node := node.(type) {
	case attributes:
		if v, ok := node[name]; ok {
			return v
		}
	case map[string]any:
		return node[camel(name)]
	case []any:
		for i, v := range node {
			if itoa(i) == name {
				return v
			}
		}
	}
	return nil
}

// children lists the names below a node as paths have them.
func children(node any) []string {
	var names []string
	add := func(name string, v any) {
		if _, leaf := v.(string); !leaf {
			name += "/"
		}
		names = append(names, name)
	}
	switch node := node.(type) {
	case attributes:
		for k := range node {
			names = append(names, k)
		}
	case map[string]any:
		for k, v := range node {
			add(hyphens(k), v)
		}
	case []any:
		for i, v := range node {
			add(itoa(i), v)
		}
	}
	slices.Sort(names)
	return names
}

// camel turns "machine-type" into "machineType".
func camel(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(s, "-") {
		if i > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}

// hyphens turns "machineType" into "machine-type".
func hyphens(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' && i > 0 {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// attributes are values whose names stay as they are.
type attributes map[string]string

// metadataTree is everything an instance may read about itself.
func (p *project) metadataTree(i *instance) map[string]any {
	own := attributes{}
	for _, m := range i.metadata {
		own[m.Key] = m.Value
	}
	number := utoa(p.number())
	access := []any{}
	if i.access != nil {
		public := ""
		if i.public.IsValid() {
			public = i.public.String()
		}
		access = append(access, map[string]any{"type": i.access.Type, "externalIp": public})
	}
	tags := []any{}
	for _, t := range i.tags {
		tags = append(tags, t)
	}
	return map[string]any{
		"project": map[string]any{"projectId": p.id, "numericProjectId": number, "attributes": attributes{}},
		"instance": map[string]any{
			"attributes": own, "id": utoa(i.id), "name": i.name, "description": i.description, "cpuPlatform": "Intel Broadwell",
			"hostname":    i.name + "." + i.zone + ".c." + p.id + ".internal",
			"machineType": "projects/" + number + "/machineTypes/" + i.machine.name, "zone": "projects/" + number + "/zones/" + i.zone,
			"image": strings.TrimPrefix(i.image.link(), linkBase), "maintenanceEvent": "NONE", "preempted": "FALSE", "serviceAccounts": map[string]any{},
			"disks": []any{map[string]any{"deviceName": i.deviceName, "index": "0", "interface": "SCSI", "mode": "READ_WRITE", "type": "PERSISTENT-BALANCED"}},
			"networkInterfaces": []any{map[string]any{
				"ip": i.ip.String(), "mac": i.mac().String(), "mtu": itoa(i.subnet.network.mtu), "gateway": i.subnet.gateway().String(),
				"subnetmask": net.IP(net.CIDRMask(i.subnet.cidr.Bits(), 32)).String(), "network": "projects/" + number + "/networks/" + i.subnet.network.name, "accessConfigs": access,
				"dnsServers": []any{metadataIP}, "forwardedIps": []any{},
			}},
			"scheduling": map[string]any{"automaticRestart": "TRUE", "onHostMaintenance": "MIGRATE", "preemptible": "FALSE"},
			"tags":       tags, "virtualClock": map[string]any{"driftToken": "0"},
		},
	}
}

// metadataIP is the address of the metadata server.
const metadataIP = "169.254.169.254"
