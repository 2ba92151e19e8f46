package cloud_test

import (
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// sshKey is the public half of a key that nobody has.
const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

func TestCheckSSHKey(t *testing.T) {
	for _, tc := range []struct{ name, line, want string }{
		{"bare", sshKey, ""},
		{"with a comment", sshKey + " 홍길동@서울 laptop", ""},
		{"nothing", "", "want one line"},
		{"options", `from="10.0.0.1" ` + sshKey, "want one line"},
		{"two lines", sshKey + "\n" + sshKey, "want one line"},
		{"a type alone", "ssh-ed25519", "want one line"},
		{"another type", strings.Replace(sshKey, "ssh-ed25519", "ssh-rsa", 1), "no key of the type"},
		{"cut off in a group", sshKey[:len(sshKey)-1], "cut off"},
		{"cut off after the type", sshKey[:len("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5")], "no key of the type"},
		{"a length past the end", "ssh-ed25519 //////////8=", "no key of the type"},
		{"private", "-----BEGIN OPENSSH PRIVATE KEY-----\nhush", "this is a private key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := cloud.CheckSSHKey(tc.line)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the key is quoted: %v", err)
			}
		})
	}
}
