package cloud

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var sshKeyRule = regexp.MustCompile(`^((?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+) ([A-Za-z0-9+/]+=*)( [^\r\n]*)?$`)

// CheckSSHKey reports what is wrong with NetworkSpec.SSHKey: it is one line of
// an authorized_keys file, and its key is of the type that the line says
// (RFC 4253, 6.6). The error quotes nothing: what was given may be a private key.
func CheckSSHKey(line string) error {
	if strings.Contains(line, "PRIVATE KEY") {
		return errors.New("ssh key: this is a private key; want the public one, the line in the file that ends in .pub")
	}
	m := sshKeyRule.FindStringSubmatch(line)
	if m == nil {
		return errors.New("ssh key: want one line of an authorized_keys file without options: TYPE BASE64 [COMMENT]")
	}
	blob, err := base64.StdEncoding.DecodeString(m[2])
	if err != nil || len(blob) < 4 {
		return errors.New("ssh key: its base64 is cut off")
	}
	n := binary.BigEndian.Uint32(blob)
	if rest := blob[4:]; uint64(n) >= uint64(len(rest)) || string(rest[:n]) != m[1] {
		return errors.New("ssh key: its base64 is no key of the type before it")
	}
	return nil
}

// CheckSSHKeyType reports, wrapping [ErrInvalid], that a provider does not
// take keys of the type of NetworkSpec.SSHKey ([KeyTypes]). No key is no fault.
func CheckSSHKeyType(provider, line string, types []string) error {
	kind, _, _ := strings.Cut(line, " ")
	if line == "" || slices.Contains(types, kind) {
		return nil
	}
	return fmt.Errorf("ssh key: %w: %s takes %s, and this is %s", ErrInvalid, provider, strings.Join(types, ", "), kind)
}
