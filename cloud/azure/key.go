package azure

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// user is the account that machines are made with. Azure's images have none of
// their own: its tools make this one.
const user = "azureuser"

// keyTypes are the kinds of keys that Azure takes:
// https://learn.microsoft.com/azure/virtual-machines/linux/mac-create-ssh-keys
var keyTypes = []string{"ssh-rsa", "ssh-ed25519"}

// SSHKeyTypes implements cloud.KeyTypes.
func (d *Driver) SSHKeyTypes() []string { return slices.Clone(keyTypes) }

// throwAwayKey returns a public key whose private half nobody has: Azure makes
// no machine without a way to log in. It is RSA, which the API's documentation
// promises to take in every region.
func throwAwayKey() (string, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", fmt.Errorf("azure: ssh key: %w", err)
	}
	key, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return "", fmt.Errorf("azure: ssh key: %w", err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " nobody", nil
}
