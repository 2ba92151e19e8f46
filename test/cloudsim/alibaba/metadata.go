package alibaba

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// metadataIP is where every instance finds its metadata service.
var metadataIP = netip.MustParseAddr("100.100.100.200")

// maxTokenTTL is how long a metadata token may live at most, in seconds.
const maxTokenTTL = 21600

// Headers of the metadata service:
// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata.
const (
	headerTTL   = "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds"
	headerToken = "X-Aliyun-Ecs-Metadata-Token"
)

// metadata returns the metadata service of one instance: by token (a PUT to
// /latest/api/token first) and, unless the instance requires tokens, without.
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
	required := false
	if ok = ok && i.imds == "enabled"; ok {
		tree, required = s.r.tree(i), i.tokens == "required"
	}
	s.cloud.mu.Unlock()
	switch {
	case !ok:
		http.Error(w, "403 Forbidden", http.StatusForbidden)
	case req.Method == http.MethodPut && req.URL.Path == "/latest/api/token":
		s.issue(w, req)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
	case !s.admits(req.Header.Get(headerToken), required):
		http.Error(w, "403 Forbidden", http.StatusForbidden)
	default:
		answerPath(w, tree, req.URL.Path)
	}
}

// issue answers a request for a token. A request that was forwarded by a proxy
// gets none.
func (s *imds) issue(w http.ResponseWriter, req *http.Request) {
	ttl, err := strconv.Atoi(req.Header.Get(headerTTL))
	switch {
	case err != nil || ttl < 1 || ttl > maxTokenTTL:
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return
	case req.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "403 Forbidden", http.StatusForbidden)
		return
	}
	token := rand.Text()
	s.mu.Lock()
	s.tokens[token] = s.cloud.now().Add(time.Duration(ttl) * time.Second)
	s.mu.Unlock()
	_, _ = w.Write([]byte(token)) // the client may be gone
}

// admits reports whether a request with that token (or none) is answered.
func (s *imds) admits(token string, required bool) bool {
	if token == "" {
		return !required
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.tokens[token]
	return ok && s.cloud.now().Before(end)
}

// tree is what an instance is told, by path below the version.
func (r *region) tree(i *instance) map[string]string {
	s, _ := r.vswitches.Get(i.vswitch)
	v, _ := r.vpcs.Get(i.vpc)
	mac := i.mac.String()
	nic := "meta-data/network/interfaces/macs/" + mac + "/"
	gateway := s.cidr.Addr().Next().String() // the fabric's router
	tree := map[string]string{
		"meta-data/instance-id": i.id, "meta-data/hostname": i.host, "meta-data/instance/instance-name": i.name,
		"meta-data/instance/instance-type": i.machine.name, "meta-data/image-id": i.image.id, "meta-data/region-id": r.region,
		"meta-data/zone-id": i.zone, "meta-data/mac": mac, "meta-data/private-ipv4": i.ip.String(), "meta-data/network-type": "vpc",
		"meta-data/owner-account-id": account, "meta-data/serial-number": strings.ToLower(i.id), "meta-data/vpc-id": i.vpc,
		"meta-data/vpc-cidr-block": v.cidr.String(), "meta-data/vswitch-id": i.vswitch, "meta-data/vswitch-cidr-block": s.cidr.String(),
		"meta-data/dns-conf/nameservers": "100.100.2.136\n100.100.2.138", "meta-data/ntp-conf/ntp-servers": "ntp1.cloud.aliyuncs.com",
		nic + "network-interface-id": "eni-" + i.id[2:], nic + "primary-ip-address": i.ip.String(), nic + "private-ipv4s": `["` + i.ip.String() + `"]`,
		nic + "netmask": mask(s.cidr), nic + "gateway": gateway, nic + "vpc-id": i.vpc, nic + "vswitch-id": i.vswitch,
		nic + "vpc-cidr-block": v.cidr.String(), nic + "vswitch-cidr-block": s.cidr.String(),
		"dynamic/instance-identity/document": r.identity(i),
	}
	if i.public.IsValid() {
		tree["meta-data/eipv4"], tree["meta-data/public-ipv4"] = i.public.String(), i.public.String()
	}
	if k, ok := r.keys.Get(i.key); ok {
		tree["meta-data/public-keys/0/openssh-key"] = k.public
	}
	if len(i.userData) > 0 {
		tree["user-data"] = string(i.userData)
	}
	return tree
}

func mask(p netip.Prefix) string {
	n := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

// identity is the instance's identity document.
func (r *region) identity(i *instance) string {
	doc, err := json.Marshal(map[string]string{
		"zone-id": i.zone, "serial-number": strings.ToLower(i.id), "instance-id": i.id, "region-id": r.region, "private-ipv4": i.ip.String(),
		"owner-account-id": account, "mac": i.mac.String(), "image-id": i.image.id, "instance-type": i.machine.name,
	})
	if err != nil {
		panic(err) // texts alone
	}
	return string(doc)
}

// versions are the first elements of paths that are known.
var versions = []string{"latest", "2016-01-01"}

// answerPath answers a path: a value, or the list of what is below.
func answerPath(w http.ResponseWriter, tree map[string]string, path string) {
	w.Header().Set("Content-Type", "text/plain")
	version, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	known := false
	for _, v := range versions {
		known = known || v == version
	}
	switch value, ok := tree[rest]; {
	case version == "":
		_, _ = w.Write([]byte(strings.Join(versions, "\n"))) // the client may be gone
		return
	case known && ok:
		_, _ = w.Write([]byte(value))
		return
	}
	names := map[string]bool{}
	for k := range tree {
		below, ok := strings.CutPrefix(k, rest+"/")
		if rest == "" {
			below, ok = k, true
		}
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(below, "/")
		if deeper {
			name += "/"
		}
		names[name] = true
	}
	if !known || len(names) == 0 {
		http.NotFound(w, nil)
		return
	}
	_, _ = w.Write([]byte(strings.Join(sortedKeys(names), "\n")))
}
