package mcis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Lengths of names, in bytes.
const (
	maxNodeName    = 63 // a DNS label
	maxVMName      = 60 // cloud.VMSpec
	maxNetworkName = 40 // cloud.NetworkSpec
)

// nodeName returns MCIS-GROUP-N, or MCIS-GROUP-REGION-N for a group over a list
// of regions. A list of one region counts as a list, so that a second region
// added later renames nothing.
func nodeName(mcis, group, region string, n int) string {
	parts := []string{mcis, group}
	if region != "" {
		parts = append(parts, label(region))
	}
	return strings.Join(append(parts, strconv.Itoa(n)), "-")
}

// label turns any name into letters, digits and hyphens of a DNS label.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
	return strings.Trim(s, "-")
}

// vmName returns the name of a node's machine in the cloud: the node's name and
// a digest that tells MCIS of the same name and generations apart.
func vmName(uid, node string, generation int) string {
	return shorten(node, maxVMName-9) + "-" + digest(uid, "vm", node, strconv.Itoa(generation))[:8]
}

// networkName returns the name of the network of an MCIS in a place.
func networkName(uid, mcis string, p place) string {
	return shorten(mcis, maxNetworkName-9) + "-" + digest(uid, "network", p.Cloud, p.Region)[:8]
}

// networkID returns the id by which daemons tell whether they share a private
// network: CLOUD/REGION/NETWORK.
func networkID(uid, mcis string, p place) string {
	return fmt.Sprintf("%s/%s", p, networkName(uid, mcis, p))
}

// vmToken returns the idempotency key of a machine: the same for every try of
// one generation, and no other's.
func vmToken(uid, node string, generation int) string {
	return digest(uid, "create-vm", node, strconv.Itoa(generation))[:40]
}

// digest returns a hex SHA-256 over the parts, none of which holds a zero byte.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// shorten cuts a name to n bytes and leaves no hyphen at the end.
func shorten(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.TrimRight(s, "-")
}
