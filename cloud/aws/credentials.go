package aws

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// maxCredentials bounds a credentials file; real ones have a few hundred bytes.
const maxCredentials = 64 << 10

// profile is one section of a shared credentials file.
type profile struct {
	name                         string
	key, secret, session, region string
}

// parseCredentials reads the profile "default" of a shared credentials file, or
// its only profile. Errors wrap cloud.ErrInvalid and never quote a value.
func parseCredentials(data []byte) (profile, error) {
	fail := func(format string, args ...any) (profile, error) {
		return profile{}, fmt.Errorf("aws credentials: %w: %s", cloud.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(data) > maxCredentials {
		return fail("%d bytes, at most %d", len(data), maxCredentials)
	}
	var all []profile
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if name, ok := section(line); ok {
			all = append(all, profile{name: name})
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			return fail("line %d: want KEY = VALUE or [PROFILE]", i+1)
		}
		if len(all) == 0 {
			return fail("line %d: a key before the first [PROFILE]", i+1)
		}
		all[len(all)-1].set(strings.ToLower(strings.TrimSpace(k)), strings.TrimSpace(v))
	}
	i := slices.IndexFunc(all, func(p profile) bool { return p.name == "default" })
	switch {
	case i >= 0:
	case len(all) == 1:
		i = 0
	case len(all) == 0:
		return fail("no [default] profile")
	default:
		return fail("several profiles and none is [default]")
	}
	p := all[i]
	if p.key == "" || p.secret == "" {
		return fail("[%s]: aws_access_key_id and aws_secret_access_key are needed", p.name)
	}
	return p, nil
}

// section returns the profile's name if line is a header: [NAME] as in the
// credentials file or [profile NAME] as in the config file.
func section(line string) (string, bool) {
	if line[0] != '[' || line[len(line)-1] != ']' {
		return "", false
	}
	name := strings.TrimSpace(line[1 : len(line)-1])
	if rest, ok := strings.CutPrefix(name, "profile "); ok {
		name = strings.TrimSpace(rest)
	}
	return name, true
}

// set stores the keys that matter; the format has many more.
func (p *profile) set(key, value string) {
	switch key {
	case "aws_access_key_id":
		p.key = value
	case "aws_secret_access_key":
		p.secret = value
	case "aws_session_token":
		p.session = value
	case "region":
		p.region = value
	}
}
