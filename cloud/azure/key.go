package azure

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud"
)

// user is the account that machines are made with. Azure's images have none of
// their own: its tools make this one.
const user = "azureuser"

// checkKey refuses kinds of keys that Azure does not take:
// https://learn.microsoft.com/azure/virtual-machines/linux/mac-create-ssh-keys
func checkKey(key string) error {
	if key == "" || strings.HasPrefix(key, "ssh-rsa ") || strings.HasPrefix(key, "ssh-ed25519 ") {
		return nil
	}
	kind, _, _ := strings.Cut(key, " ")
	return fmt.Errorf("azure: ssh key: %w: Azure takes ssh-rsa and ssh-ed25519, and this is %s", cloud.ErrInvalid, kind)
}

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
