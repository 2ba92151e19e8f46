package mcis

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MaxUserData is the size that user-data may have on every cloud, in bytes
// (AWS: 16 KB before encoding).
const MaxUserData = 16 << 10

// Boot is what the first boot of a machine needs to know.
type Boot struct {
	Daemon  Daemon
	Token   string // of the node, secret
	Network string // id of the private network
	Public  bool   // the machine has a public address
}

//go:embed userdata.sh
var bootScript string

// safeWord matches what stands between single quotes of a shell unharmed and
// reads well in a log.
var safeWord = regexp.MustCompile(`^[A-Za-z0-9._:/=+@%\[\]-]+$`)

// UserData returns the script that a machine runs at its first boot: it
// fetches the daemon by URL, verifies its SHA-256 and installs it with the
// token. It is a pure function. The script is POSIX sh and needs one of curl,
// wget and python3.
func UserData(b Boot) ([]byte, error) {
	advertise := "none"
	if b.Public {
		advertise = "observed"
	}
	values := map[string]string{
		"@ADVERTISE@": advertise,
		"@URL@":       b.Daemon.URL, "@SHA256@": strings.ToLower(b.Daemon.SHA256), "@TOKEN@": b.Token,
		"@NETWORK@": b.Network, "@INTERFACE@": b.Daemon.Interface, "@PORT@": fmt.Sprint(b.Daemon.Port),
	}
	var pairs []string
	for name, v := range values {
		if !safeWord.MatchString(v) {
			return nil, fmt.Errorf("user-data: value of %s is empty or has characters that are not possible there", strings.Trim(name, "@"))
		}
		pairs = append(pairs, name, v)
	}
	out := strings.NewReplacer(pairs...).Replace(bootScript)
	if len(out) > MaxUserData {
		return nil, errors.New("user-data: larger than 16 KB")
	}
	return []byte(out), nil
}
