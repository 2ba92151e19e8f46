package alibaba

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyTypes are the kinds of public keys that the documentation of ImportKeyPair
// lists. Ed25519 is not among them.
var keyTypes = []string{"ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"}

// keyPair is the public half of a key.
type keyPair struct {
	name, public, fingerprint string
	tags                      map[string]string
	made                      time.Time
}

func importKeyPair(c *call) (obj, error) {
	n := c.q.str("KeyPairName")
	if err := name("KeyPairName", n, 2); err != nil {
		return nil, err
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(c.q.str("PublicKeyBody")))
	if err != nil || len(rest) > 0 || !slices.Contains(keyTypes, key.Type()) {
		return nil, fault(400, "InvalidPublicKeyBody.Malformed", "The specified parameter PublicKeyBody is not valid.")
	}
	tags, err := c.q.tags()
	if err != nil {
		return nil, err
	}
	if _, taken := c.r.keys.Get(n); taken {
		return nil, fault(400, "KeyPair.AlreadyExist", "The key pair already exist.")
	}
	sum := md5.Sum(key.Marshal())
	k := &keyPair{name: n, public: strings.TrimSpace(c.q.str("PublicKeyBody")), fingerprint: hex.EncodeToString(sum[:]), tags: tags, made: c.now()}
	c.r.keys.Put(n, k)
	return obj{"KeyPairName": n, "KeyPairFingerPrint": k.fingerprint}, nil
}

// matchName compares a name with a wish that may begin or end in an asterisk.
func matchName(wish, name string) bool {
	head, tail := strings.HasPrefix(wish, "*"), strings.HasSuffix(wish, "*")
	core := strings.Trim(wish, "*")
	switch {
	case wish == "":
		return true
	case head && tail:
		return strings.Contains(name, core)
	case head:
		return strings.HasSuffix(name, core)
	case tail:
		return strings.HasPrefix(name, core)
	}
	return wish == name
}

func describeKeyPairs(c *call) (obj, error) {
	whole, err := c.q.boolean("IncludePublicKey", false)
	if err != nil {
		return nil, err
	}
	rows := c.r.keys.Where(func(k *keyPair) bool {
		return c.visible(k.made) && matchName(c.q.str("KeyPairName"), k.name) && c.q.matches(k.tags) &&
			(c.q.str("KeyPairFingerPrint") == "" || c.q.str("KeyPairFingerPrint") == k.fingerprint)
	})
	rows, out, err := page(c.q, rows, 50, 10)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, k := range rows {
		o := obj{"KeyPairName": k.name, "KeyPairFingerPrint": k.fingerprint, "CreationTime": second(k.made), "Tags": ecsTags(k.tags)}
		if whole {
			o["PublicKey"] = k.public
		}
		list = append(list, o)
	}
	out["KeyPairs"] = obj{"KeyPair": list}
	return out, nil
}

// deleteKeyPairs deletes key pairs; one that does not exist is no error, nor one
// that machines were made with.
func deleteKeyPairs(c *call) (obj, error) {
	var names []string
	if err := json.Unmarshal([]byte(c.q.str("KeyPairNames")), &names); err != nil || len(names) == 0 {
		return nil, invalid("KeyPairNames", c.q.str("KeyPairNames"))
	}
	for _, n := range names {
		c.r.keys.Delete(n)
	}
	return obj{}, nil
}
