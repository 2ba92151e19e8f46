package aws

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxTokenTTL is how long a metadata token may live at most, in seconds.
const maxTokenTTL = 21600

// metadata returns the metadata service of one instance, in both versions: by
// token (a PUT to /latest/api/token first) and, unless the instance requires
// tokens, without.
func (c *Cloud) metadata(r *region, id string) http.Handler {
	s := &imds{cloud: c, r: r, id: id, tokens: map[string]time.Time{}}
	return http.HandlerFunc(s.serve)
}

// imds is the metadata service of one instance.
type imds struct {
	cloud *Cloud
	r     *region
	id    string

	mu     sync.Mutex           // guards the field below
	tokens map[string]time.Time // when each ends
}

// serve answers one request of the guest.
func (s *imds) serve(w http.ResponseWriter, req *http.Request) {
	s.cloud.mu.Lock()
	i, ok := s.r.instances.Get(s.id)
	var tree map[string]string
	var tokens string
	if ok {
		tokens = i.tokens
		if i.imds == "disabled" {
			ok = false
		} else {
			tree = s.r.metadataTree(i)
		}
	}
	s.cloud.mu.Unlock()
	switch {
	case !ok:
		http.Error(w, "403 - Forbidden", http.StatusForbidden)
	case req.Method == http.MethodPut && isTokenPath(req.URL.Path):
		s.issue(w, req)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		http.Error(w, "405 - Method Not Allowed", http.StatusMethodNotAllowed)
	case !s.admits(req.Header.Get("X-aws-ec2-metadata-token"), tokens == "required"):
		http.Error(w, "401 - Unauthorized", http.StatusUnauthorized)
	default:
		answerPath(w, tree, req.URL.Path)
	}
}

// isTokenPath reports whether a path is where tokens are asked for.
func isTokenPath(path string) bool {
	_, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return rest == "api/token"
}

// issue answers a request for a token. A request that was forwarded by a proxy
// gets none, so that an open proxy in the guest gives nothing away.
func (s *imds) issue(w http.ResponseWriter, req *http.Request) {
	ttl, err := strconv.Atoi(req.Header.Get("X-aws-ec2-metadata-token-ttl-seconds"))
	if err != nil || ttl < 1 || ttl > maxTokenTTL {
		http.Error(w, "400 - Bad Request", http.StatusBadRequest)
		return
	}
	if req.Header.Get("X-Forwarded-For") != "" {
		http.Error(w, "403 - Forbidden", http.StatusForbidden)
		return
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	token := base64.URLEncoding.EncodeToString(b)
	now := s.cloud.now()
	s.mu.Lock()
	for t, end := range s.tokens {
		if now.After(end) {
			delete(s.tokens, t)
		}
	}
	s.tokens[token] = now.Add(time.Duration(ttl) * time.Second)
	s.mu.Unlock()
	w.Header().Set("X-aws-ec2-metadata-token-ttl-seconds", strconv.Itoa(ttl))
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(token)) // the guest may be gone
}

// admits reports whether a request with that token is answered.
func (s *imds) admits(token string, required bool) bool {
	if token == "" {
		return !required
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cloud.now().Before(s.tokens[token])
}

// answerPath writes what the tree has at a path: a value, or the names below.
func answerPath(w http.ResponseWriter, tree map[string]string, path string) {
	version, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if version == "" {
		_, _ = w.Write([]byte("1.0\n2009-04-04\n2016-09-02\n2018-09-24\n2021-03-23\nlatest"))
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	if v, ok := tree[rest]; ok {
		_, _ = w.Write([]byte(v))
		return
	}
	names := map[string]bool{}
	prefix := rest + "/"
	if rest == "" {
		prefix = ""
	}
	for key := range tree {
		below, ok := strings.CutPrefix(key, prefix)
		if !ok || below == "" {
			continue
		}
		name, _, deeper := strings.Cut(below, "/")
		if deeper {
			name += "/"
		}
		names[name] = true
	}
	if len(names) == 0 {
		notFoundPage(w)
		return
	}
	_, _ = w.Write([]byte(strings.Join(sortedKeys(names), "\n")))
}

// metadataTree is everything an instance may read about itself, by path below
// the version.
func (r *region) metadataTree(i *instance) map[string]string {
	tree := map[string]string{
		"meta-data/ami-id": i.image.id, "meta-data/ami-launch-index": itoa(i.index), "meta-data/ami-manifest-path": "(unknown)",
		"meta-data/instance-action": "none", "meta-data/instance-id": i.id, "meta-data/instance-life-cycle": "on-demand",
		"meta-data/instance-type": i.machine.name, "meta-data/profile": "default-hvm", "meta-data/reservation-id": i.reservation,
		"meta-data/block-device-mapping/ami": "/dev/xvda", "meta-data/block-device-mapping/root": "/dev/xvda",
		"meta-data/placement/availability-zone": i.zone, "meta-data/placement/availability-zone-id": zoneID(r.name, i.zone),
		"meta-data/placement/region": r.name, "meta-data/services/domain": "amazonaws.com", "meta-data/services/partition": "aws",
		"meta-data/system": "nitro", "dynamic/instance-identity/document": string(r.identityDocument(i)),
	}
	if raw, err := base64.StdEncoding.DecodeString(i.userData); err == nil && len(raw) > 0 {
		tree["user-data"] = string(raw)
	}
	if i.tagsInside {
		for k, v := range r.tags[i.id] {
			tree["meta-data/tags/instance/"+k] = v
		}
	}
	if k, ok := r.keys.Get(i.key); ok {
		tree["meta-data/public-keys/0/openssh-key"] = k.public
	}
	r.metadataNetwork(i, tree)
	return tree
}

// metadataNetwork adds what an instance may read about its interface.
func (r *region) metadataNetwork(i *instance, tree map[string]string) {
	e, ok := r.enis.Get(i.eni)
	if !ok {
		return
	}
	s, _ := r.subnets.Get(e.subnet)
	v, _ := r.vpcs.Get(e.vpc)
	var names, ids []string
	for _, g := range r.xmlGroupNames(e.groups).Items {
		names, ids = append(names, g.Name), append(ids, g.ID)
	}
	name := r.dnsName(e.ip)
	for k, val := range map[string]string{
		"local-ipv4": e.ip.String(), "local-hostname": name, "hostname": name, "mac": e.mac.String(), "security-groups": strings.Join(names, "\n"),
	} {
		tree["meta-data/"+k] = val
	}
	nic := "meta-data/network/interfaces/macs/" + e.mac.String() + "/"
	for k, val := range map[string]string{
		"device-number": "0", "interface-id": e.id, "local-hostname": name, "local-ipv4s": e.ip.String(), "mac": e.mac.String(),
		"owner-id": account, "security-groups": strings.Join(names, "\n"), "security-group-ids": strings.Join(ids, "\n"),
		"subnet-id": s.id, "subnet-ipv4-cidr-block": s.cidr.String(), "vpc-id": v.id, "vpc-ipv4-cidr-block": v.cidr.String(),
		"vpc-ipv4-cidr-blocks": v.cidr.String(),
	} {
		tree[nic+k] = val
	}
	if e.public.IsValid() {
		tree["meta-data/public-ipv4"], tree["meta-data/public-hostname"] = e.public.String(), r.publicName(e.vpc, e.public)
		tree[nic+"public-ipv4s"] = e.public.String()
		tree[nic+"ipv4-associations/"+e.public.String()] = e.ip.String()
	}
}

// identity is the instance identity document.
type identity struct {
	AccountID        string  `json:"accountId"`
	Architecture     string  `json:"architecture"`
	AvailabilityZone string  `json:"availabilityZone"`
	ImageID          string  `json:"imageId"`
	InstanceID       string  `json:"instanceId"`
	InstanceType     string  `json:"instanceType"`
	KernelID         *string `json:"kernelId"`
	PendingTime      string  `json:"pendingTime"`
	PrivateIP        string  `json:"privateIp"`
	RamdiskID        *string `json:"ramdiskId"`
	Region           string  `json:"region"`
	Version          string  `json:"version"`
}

// identityDocument prints what an instance may show others about itself.
func (r *region) identityDocument(i *instance) []byte {
	doc, _ := json.MarshalIndent(identity{ // cannot fail: strings only
		AccountID: account, Architecture: i.machine.arch, AvailabilityZone: i.zone, ImageID: i.image.id, InstanceID: i.id,
		InstanceType: i.machine.name, PendingTime: i.launched.UTC().Format("2006-01-02T15:04:05Z"),
		PrivateIP: r.privateIP(i).String(), Region: r.name, Version: "2017-09-30",
	}, "", "  ")
	return doc
}

// notFoundPage is what the metadata service says about what it has not.
func notFoundPage(w http.ResponseWriter) { http.Error(w, "404 - Not Found", http.StatusNotFound) }
