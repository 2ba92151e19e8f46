package openstack

import (
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // the fingerprint that Nova gives keys
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyPair is an SSH key of the user.
type keyPair struct {
	name        string
	public      string
	fingerprint string
	created     time.Time
}

// doc prints a key pair.
func (k *keyPair) doc(c *call) map[string]any {
	d := map[string]any{"name": k.name, "public_key": k.public, "fingerprint": k.fingerprint}
	if c.micro.atLeast(2) {
		d["type"] = "ssh"
	}
	return d
}

// fingerprint prints the hash of a key.
func fingerprint(pub ssh.PublicKey) string {
	sum := md5.Sum(pub.Marshal()) //nolint:gosec // Nova's own choice
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}

func createKey(c *call) (answer, error) {
	var body struct {
		Name   *string `json:"name"`
		Public *string `json:"public_key"`
		Type   *string `json:"type"`
		User   *string `json:"user_id"`
	}
	if err := c.novaBody("keypair", &body); err != nil {
		return answer{}, err
	}
	name := or(body.Name, "")
	if name == "" || len(name) > maxName {
		return answer{}, fault(400, "Invalid input for field/attribute name. Value: %s.", name)
	}
	if _, taken := c.keys.Get(name); taken {
		return answer{}, fault(409, "Key pair '%s' already exists.", name)
	}
	k := &keyPair{name: name, created: c.now()}
	private := ""
	if body.Public == nil {
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return answer{}, err
		}
		sshPub, err := ssh.NewPublicKey(pub)
		if err != nil {
			return answer{}, err
		}
		block, err := ssh.MarshalPrivateKey(priv, "")
		if err != nil {
			return answer{}, err
		}
		private = string(pem.EncodeToMemory(block))
		k.public, k.fingerprint = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPub))), fingerprint(sshPub)
	} else {
		pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*body.Public))
		if err != nil {
			return answer{}, fault(400, "Keypair data is invalid: failed to generate fingerprint")
		}
		k.public, k.fingerprint = *body.Public, fingerprint(pub)
	}
	c.keys.Put(name, k)
	d := k.doc(c)
	d["user_id"] = c.user
	if private != "" {
		d["private_key"] = private
	}
	status := 200
	if c.micro.atLeast(2) {
		status = 201
	}
	return show(status, "keypair", d)
}

func listKeys(c *call) (answer, error) {
	rows := []map[string]any{}
	for _, k := range c.keys.All() {
		rows = append(rows, map[string]any{"keypair": k.doc(c)})
	}
	return answer{status: 200, body: map[string]any{"keypairs": rows}}, nil
}

func showKey(c *call) (answer, error) {
	k, ok := c.keys.Get(c.id())
	if !ok {
		return answer{}, fault(404, "Keypair %s not found for user %s", c.id(), c.user)
	}
	d := k.doc(c)
	d["user_id"], d["id"], d["deleted"], d["created_at"], d["deleted_at"], d["updated_at"] = c.user, 1, false, stamp(k.created), nil, nil
	return show(200, "keypair", d)
}

func deleteKey(c *call) (answer, error) {
	if _, ok := c.keys.Get(c.id()); !ok {
		return answer{}, fault(404, "Keypair %s not found for user %s", c.id(), c.user)
	}
	c.keys.Delete(c.id())
	if c.micro.atLeast(2) {
		return answer{status: 204}, nil
	}
	return answer{status: 202}, nil
}
