package aws

import (
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // the fingerprint that EC2 gives RSA keys
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // likewise, for keys that EC2 made
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyPair is an SSH key; instances get the public half from their metadata.
type keyPair struct {
	id          string
	name        string
	algorithm   string // rsa or ed25519
	public      string // in the authorized_keys form
	fingerprint string
	created     time.Time
}

// keyNamed returns the key pair of a name.
func (r *region) keyNamed(name string) (*keyPair, error) {
	k, ok := r.keys.Get(name)
	if !ok {
		return nil, fault(400, "InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
	}
	return k, nil
}

// newKey checks a new key's name and tags, and stores it.
func (c *call) newKey(k *keyPair) error {
	name, err := c.q.need("KeyName")
	if err != nil {
		return err
	}
	tags, err := tagSpecs(c.q, "key-pair")
	if err != nil {
		return err
	}
	if len(name) > maxGroupText || !plain(name) {
		return invalid("KeyName", name)
	}
	if _, taken := c.r.keys.Get(name); taken {
		return fault(400, "InvalidKeyPair.Duplicate", "The keypair '%s' already exists.", name)
	}
	if err := c.dryRun(); err != nil {
		return err
	}
	k.id, k.name, k.created = newID("key-"), name, c.now()
	c.r.keys.Put(name, k)
	c.r.setTags(k.id, tags["key-pair"])
	return nil
}

func importKeyPair(c *call) (any, error) {
	material, err := c.q.need("PublicKeyMaterial")
	if err != nil {
		return nil, err
	}
	malformed := fault(400, "InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	raw, err := base64.StdEncoding.DecodeString(material)
	if err != nil {
		return nil, malformed
	}
	pub, comment, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return nil, malformed
	}
	k := &keyPair{public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)) + " " + comment)}
	k.public = strings.ReplaceAll(k.public, "\n", "")
	switch pub.Type() {
	case ssh.KeyAlgoRSA:
		crypto, ok := pub.(ssh.CryptoPublicKey)
		if !ok {
			return nil, malformed
		}
		der, err := x509.MarshalPKIXPublicKey(crypto.CryptoPublicKey())
		if err != nil {
			return nil, malformed
		}
		sum := md5.Sum(der) //nolint:gosec // EC2's own choice
		k.algorithm, k.fingerprint = "rsa", colons(sum[:])
	case ssh.KeyAlgoED25519:
		k.algorithm, k.fingerprint = "ed25519", strings.TrimPrefix(ssh.FingerprintSHA256(pub), "SHA256:")+"="
	default:
		return nil, malformed
	}
	if err := c.newKey(k); err != nil {
		return nil, err
	}
	return c.r.xmlKey(k, false), nil
}

func createKeyPair(c *call) (any, error) {
	k := &keyPair{}
	var private any
	switch kind := c.q.str("KeyType"); kind {
	case "", "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		sum := sha1.Sum(der) //nolint:gosec // EC2's own choice
		k.algorithm, k.fingerprint, private = "rsa", colons(sum[:]), key
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		k.algorithm, private = kind, key
	default:
		return nil, invalid("KeyType", kind)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	if k.algorithm == "ed25519" {
		k.fingerprint = strings.TrimPrefix(ssh.FingerprintSHA256(signer.PublicKey()), "SHA256:") + "="
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if key, ok := private.(*rsa.PrivateKey); ok {
		block = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	}
	k.public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	if err := c.newKey(k); err != nil {
		return nil, err
	}
	return struct {
		xmlKey
		Material string `xml:"keyMaterial"`
	}{c.r.xmlKey(k, false), string(pem.EncodeToMemory(block))}, nil
}

// colons prints a hash as EC2 prints the fingerprints of RSA keys.
func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}

func deleteKeyPair(c *call) (any, error) {
	name, id := c.q.str("KeyName"), c.q.str("KeyPairId")
	if name == "" && id == "" {
		return nil, fault(400, "MissingParameter", "The request must contain the parameter KeyName or KeyPairId")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	out := struct {
		Return bool   `xml:"return"`
		ID     string `xml:"keyPairId,omitempty"`
	}{Return: true}
	for _, k := range c.r.keys.All() {
		if k.name == name || k.id == id {
			out.ID = k.id
			c.r.keys.Delete(k.name)
			c.r.forget(k.id)
		}
	}
	return out, nil // deleting what is not there is no error
}

type xmlKey struct {
	ID          string      `xml:"keyPairId"`
	Name        string      `xml:"keyName"`
	Fingerprint string      `xml:"keyFingerprint"`
	Type        string      `xml:"keyType,omitempty"`
	Public      string      `xml:"publicKey,omitempty"`
	Created     string      `xml:"createTime,omitempty"`
	Tags        set[xmlTag] `xml:"tagSet"`
}

// xmlKey prints a key pair, in a list with its type and time.
func (r *region) xmlKey(k *keyPair, listed bool) xmlKey {
	x := xmlKey{ID: k.id, Name: k.name, Fingerprint: k.fingerprint, Tags: r.xmlTags(k.id)}
	if listed {
		x.Type, x.Created = k.algorithm, stamp(k.created)
	}
	return x
}

func describeKeyPairs(c *call) (any, error) {
	names, ids := c.q.list("KeyName"), c.q.list("KeyPairId")
	withPublic, err := c.q.boolean("IncludePublicKey", false)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := c.r.keyNamed(name); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		if !c.r.exists("key-", id) {
			return nil, fault(400, "InvalidKeyPair.NotFound", "The key pair '%s' does not exist", id)
		}
	}
	var rows []xmlKey
	for _, k := range c.r.keys.All() {
		if len(names) > 0 && !slices.Contains(names, k.name) || len(ids) > 0 && !slices.Contains(ids, k.id) {
			continue
		}
		ok, err := match(c.q, c.r.tags[k.id], fields(map[string][]string{
			"key-name": {k.name}, "key-pair-id": {k.id}, "fingerprint": {k.fingerprint},
		}))
		if err != nil {
			return nil, err
		}
		if ok {
			x := c.r.xmlKey(k, true)
			if withPublic {
				x.Public = k.public
			}
			rows = append(rows, x)
		}
	}
	return struct {
		Keys set[xmlKey] `xml:"keySet"`
	}{set[xmlKey]{rows}}, nil
}
