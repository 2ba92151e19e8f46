package azure

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// metadataVersions of the instance metadata service that are simulated:
// https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
var metadataVersions = []string{"2017-08-01", "2018-10-01", "2019-06-01", "2020-06-01", "2021-01-01", "2021-02-01", "2021-12-13"}

// metadata returns the instance metadata service of one machine, by its key.
func (c *Cloud) metadata(key string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		deny := func(status int, text string) {
			writeToken(w, status, map[string]any{"error": text})
		}
		path := strings.Trim(strings.TrimPrefix(req.URL.Path, "/metadata"), "/")
		version := req.URL.Query().Get("api-version")
		switch {
		case req.Method != http.MethodGet:
			deny(405, "Method Not Allowed")
			return
		case !strings.EqualFold(req.Header.Get("Metadata"), "true"):
			deny(400, "Bad request. Required metadata header not specified")
			return
		case req.Header.Get("X-Forwarded-For") != "":
			deny(400, "Bad request. Requests with an X-Forwarded-For header are not allowed")
			return
		case !strings.HasPrefix(req.URL.Path, "/metadata/"):
			deny(404, "Not found")
			return
		case path == "versions":
			writeToken(w, 200, map[string]any{"apiVersions": metadataVersions})
			return
		case !slices.Contains(metadataVersions, version):
			writeToken(w, 400, map[string]any{"error": "Bad request. api-version is invalid or was not specified in the request.", "newest-versions": metadataVersions})
			return
		}
		c.mu.Lock()
		c.settleLocked(context.Background())
		var tree any
		if m, ok := c.machines.Get(key); ok {
			tree = map[string]any{"instance": c.instance(m)}
		}
		c.mu.Unlock()
		answerMetadata(w, dig(tree, strings.Split(path, "/")), req.URL.Query().Get("format"))
	})
}

// dig finds what is at a path, nil for nothing.
func dig(tree any, path []string) any {
	for _, p := range path {
		switch t := tree.(type) {
		case map[string]any:
			tree = t[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			tree = t[i]
		default:
			return nil
		}
	}
	return tree
}

// answerMetadata writes a part of the tree, as JSON or as text: a value, or the
// names below.
func answerMetadata(w http.ResponseWriter, v any, format string) {
	switch {
	case v == nil:
		writeToken(w, 404, map[string]any{"error": "Not found"})
		return
	case format != "text":
		if _, leaf := v.(string); leaf {
			writeToken(w, 400, map[string]any{"error": "Bad request. Set the format=text query parameter for leaf nodes"})
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(v) // the guest may be gone
		return
	}
	var lines []string
	switch t := v.(type) {
	case string:
		lines = []string{t}
	case map[string]any:
		for k, below := range t {
			if _, leaf := below.(string); !leaf {
				k += "/"
			}
			lines = append(lines, k)
		}
		slices.Sort(lines)
	case []any:
		for i := range t {
			lines = append(lines, strconv.Itoa(i)+"/")
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(strings.Join(lines, "\n"))) // the guest may be gone
}

// instance is everything a machine may read about itself. customData is not
// among it; see userData in Azure's documentation.
func (c *Cloud) instance(m *machine) map[string]any {
	var tags []string
	list := []any{}
	for _, k := range slices.Sorted(maps.Keys(m.tags)) {
		tags = append(tags, k+":"+or(m.tags[k], ""))
		list = append(list, map[string]any{"name": k, "value": or(m.tags[k], "")})
	}
	zone := ""
	if len(m.zones) > 0 {
		zone = or(m.zones[0], "")
	}
	image := m.sent.StorageProfile.ImageReference
	keys := []any{}
	if l := m.sent.OSProfile.LinuxConfiguration; l != nil && l.SSH != nil {
		for _, k := range l.SSH.PublicKeys {
			keys = append(keys, map[string]any{"keyData": or(k.KeyData, ""), "path": or(k.Path, "")})
		}
	}
	return map[string]any{
		"compute": map[string]any{
			"azEnvironment": "AzurePublicCloud", "customData": "", "location": m.location, "name": m.name, "offer": or(image.Offer, ""), "osType": "Linux",
			"osProfile":        map[string]any{"adminUsername": or(m.sent.OSProfile.AdminUsername, ""), "computerName": or(m.sent.OSProfile.ComputerName, ""), "disablePasswordAuthentication": "true"},
			"placementGroupId": "", "platformFaultDomain": "0", "platformUpdateDomain": "0", "provider": compute, "publicKeys": keys, "publisher": or(image.Publisher, ""),
			"resourceGroupName": m.group, "resourceId": m.id(), "sku": or(image.SKU, ""), "subscriptionId": c.subscription, "tags": strings.Join(tags, ";"), "tagsList": list,
			"userData": or(m.sent.UserData, ""), "version": m.exact, "vmId": m.guid, "vmScaleSetName": "", "vmSize": string(*m.sent.HardwareProfile.VMSize), "zone": zone,
		},
		"network": map[string]any{"interface": c.instanceNICs(m)},
	}
}

func (c *Cloud) instanceNICs(m *machine) []any {
	v, ok := c.nics.Get(m.nic)
	if !ok {
		return []any{}
	}
	public := ""
	if a, ok := c.addresses.Get(v.address); ok {
		public = a.ip.String()
	}
	out := map[string]any{
		"ipv4": map[string]any{
			"ipAddress": []any{map[string]any{"privateIpAddress": v.ip.String(), "publicIpAddress": public}}, "subnet": []any{},
		},
		"ipv6": map[string]any{"ipAddress": []any{}}, "macAddress": strings.ToUpper(strings.ReplaceAll(v.mac.String(), ":", "")),
	}
	if _, s, ok := (&call{Cloud: c}).subnetOf(v.subnet); ok {
		out["ipv4"].(map[string]any)["subnet"] = []any{map[string]any{"address": s.cidr.Addr().String(), "prefix": strconv.Itoa(s.cidr.Bits())}}
	}
	return []any{out}
}
