package mcis

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cbnet-io/cbnet/cloud"
)

// labels reads the labels of a group as far as every cloud takes them.
func (p *parser) labels(n *yaml.Node, path string) map[string]string {
	if !p.isMapping(n, path) {
		return nil
	}
	if len(n.Content)/2 > cloud.MaxLabels {
		p.fault(n.Line, path, fmt.Sprintf("%d labels, more than %d", len(n.Content)/2, cloud.MaxLabels), "remove some")
		return nil
	}
	out := make(map[string]string)
	written := make(map[string]string) // keys by their lower case
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := p.follow(n.Content[i]), p.follow(n.Content[i+1])
		at := path + "." + cut(k.Value)
		key, ok := p.scalar(k, at, "a text", "put it in quotes", "!!str", "!!int", "!!float")
		if !ok {
			continue
		}
		value, ok := p.scalar(v, at, "a text", "put it in quotes", "!!str", "!!int", "!!float")
		if !ok {
			continue
		}
		p.lines[at] = v.Line
		lower := strings.ToLower(key)
		if err := cloud.CheckLabel(key, value); err != nil {
			p.fault(k.Line, at, err.Error(), fmt.Sprintf("keys have 1 to %d bytes, values up to %[1]d; Hangul, Kana, Kanji and Hanzi take three each", cloud.MaxLabel))
		} else if twin, ok := written[lower]; ok && twin == key {
			p.fault(k.Line, at, "is there twice", "keep one of them")
		} else if ok {
			p.fault(k.Line, at, fmt.Sprintf("differs from %s in case alone, which Azure does not see", twin), "rename one of them")
		} else {
			written[lower], out[key] = key, value
		}
	}
	return out
}

// maxSSHKey is the most bytes of a line of authorized_keys: RSA keys of 16384
// bits take 2800.
const maxSSHKey = 4096

// sshKey reads a public key. No fault quotes it: it may be the private one.
func (p *parser) sshKey(n *yaml.Node, path string) string {
	const fix = "write the line of the file in ~/.ssh whose name ends in .pub"
	n = p.follow(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		p.fault(n.Line, path, "is "+kindName(n)+", not a text", fix)
		return ""
	}
	line := strings.TrimSpace(n.Value)
	if len(line) > maxSSHKey {
		p.fault(n.Line, path, fmt.Sprintf("%d bytes, more than %d", len(line), maxSSHKey), fix)
		return ""
	}
	if err := cloud.CheckSSHKey(line); err != nil {
		p.fault(n.Line, path, err.Error(), fix)
		return ""
	}
	return line
}
