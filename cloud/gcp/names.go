package gcp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"

	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/cloud"
)

// Words of the mark beside those of all clouds.
const (
	keyRegion = "cbnet-region" // of a network and what belongs to it
	keyName   = "cbnet-name"   // as the spec has it
)

// maxName is how long a name may be, in characters.
const maxName = 63

// networkName returns the name of a network, and of everything that belongs to
// it, in a region. Names begin with a letter.
func networkName(name, region string) string {
	s := encodeName(name) + "-" + region
	if len(s) > maxName {
		s = s[:maxName-9] + "-" + digest(s)[:8]
	}
	return s
}

// namePrefix is what a name begins with that had to be changed.
const namePrefix = "x-"

// encodeName returns a name that begins with a letter. [decodeName] is its
// inverse.
func encodeName(s string) string {
	if s[0] < 'a' || strings.HasPrefix(s, namePrefix) {
		return namePrefix + s
	}
	return s
}

func decodeName(s string) string { return strings.TrimPrefix(s, namePrefix) }

// description is the mark of what belongs to a network.
func description(spec cloud.NetworkSpec) string {
	return spec.Owner.Description() + " " + keyRegion + "=" + spec.Region + " " + keyName + "=" + spec.Name
}

// vmDescription is the mark of a machine.
func vmDescription(spec cloud.VMSpec) string {
	return spec.Owner.Description() + " " + cloud.KeyNode + "=" + cloud.EncodeLabel(spec.Node) + " " + cloud.KeyToken + "=" + spec.Token
}

// labels are a machine's: the mark, for the list, and the user's own.
func labels(spec cloud.VMSpec) map[string]string {
	m := map[string]string{cloud.KeyNode: labelValue(spec.Node), cloud.KeyToken: labelValue(spec.Token)}
	maps.Copy(m, ownerLabels(spec.Region, spec.Owner))
	for k, v := range spec.Labels {
		m[cloud.EncodeLabel(k)] = cloud.EncodeLabel(v)
	}
	return m
}

// ownerLabels are what machines of an owner are found by.
func ownerLabels(region string, o cloud.Owner) map[string]string {
	m := map[string]string{keyRegion: region, cloud.KeyMesh: labelValue(o.Mesh)}
	if o.MCIS != "" {
		m[cloud.KeyMCIS] = labelValue(o.MCIS)
	}
	return m
}

// userLabels is the inverse of what [labels] does with the user's.
func userLabels(m map[string]string) map[string]string {
	own := cloud.UserLabels(m)
	if own == nil {
		return nil
	}
	out := make(map[string]string, len(own))
	for k, v := range own {
		out[cloud.DecodeLabel(k)] = cloud.DecodeLabel(v)
	}
	return out
}

// labelValue encodes a text as a label's value, or digests it if that is too
// long.
func labelValue(s string) string {
	if v := cloud.EncodeLabel(s); len(v) <= maxName {
		return v
	}
	return "x--" + digest(s)[:40]
}

// ownerDigest is how many bytes of a request id say whose it is.
const ownerDigest = 6

// requestID returns the request id of a machine's creation: a UUID made of
// digests of the owner and of the token. The operation keeps it, and by it the
// owner of a machine is known that has vanished.
func requestID(o cloud.Owner, token string) string {
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(o.Description()+" "+token))
	owner := sha256.Sum256([]byte(o.Description()))
	copy(id[:ownerDigest], owner[:])
	return id.String()
}

// made reports whether a request id is one of the owner's.
func made(request string, o cloud.Owner) bool {
	id, err := uuid.Parse(request)
	owner := sha256.Sum256([]byte(o.Description()))
	return err == nil && string(id[:ownerDigest]) == string(owner[:ownerDigest])
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// vmID is what callers know a machine by. A name can be used again, a number
// cannot; the API takes either.
func vmID(zone string, id uint64) string { return fmt.Sprintf("%s/%d", zone, id) }

// parseVMID is the inverse of [vmID].
func parseVMID(id string) (zone, instance string, err error) {
	zone, instance, ok := strings.Cut(id, "/")
	if !ok || zone == "" || instance == "" || strings.Contains(instance, "/") {
		return "", "", fmt.Errorf("gcp VM %q: %w: want ZONE/NUMBER", id, cloud.ErrInvalid)
	}
	return zone, instance, nil
}

// last returns what follows the last slash of a URL.
func last(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// regionOf returns the region of a zone.
func regionOf(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return ""
}
