package aws

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/cloud"
)

// keyTypes are the kinds of keys that EC2 takes for Linux:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-key-pairs.html
var keyTypes = []string{"ssh-rsa", "ssh-ed25519"}

// SSHKeyTypes implements cloud.KeyTypes.
func (d *Driver) SSHKeyTypes() []string { return slices.Clone(keyTypes) }

// keyPairName returns the name of a network's key pair. EC2 gives a name out
// once in a region, so it has the owner in it.
func keyPairName(spec cloud.NetworkSpec) string {
	sum := sha256.Sum256([]byte(spec.Owner.Description()))
	return fmt.Sprintf("%s-%x", spec.Name, sum[:6])
}

// ensureKey imports spec.SSHKey.
func (n *network) ensureKey(ctx context.Context) error {
	if n.spec.SSHKey == "" {
		return nil
	}
	name := keyPairName(n.spec)
	have, err := n.c.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{
		Filters: []types.Filter{filter("key-name", name)}, IncludePublicKey: aws.Bool(true),
	})
	if err != nil {
		return wrap("DescribeKeyPairs", err)
	}
	if i := slices.IndexFunc(have.KeyPairs, func(k types.KeyPairInfo) bool { return aws.ToString(k.KeyName) == name }); i >= 0 {
		k := have.KeyPairs[i]
		if cloud.OwnerOf(tagMap(k.Tags)) != n.spec.Owner {
			return fmt.Errorf("%w: %s %s has the name and not the mark", cloud.ErrConflict, Provider, aws.ToString(k.KeyPairId))
		}
		if aws.ToString(k.PublicKey) == "" { // as of moto, when a listing without it is under way
			return fmt.Errorf("%w: %s does not show the key of %s", cloud.ErrUnavailable, Provider, aws.ToString(k.KeyPairId))
		}
		if !sameKey(aws.ToString(k.PublicKey), n.spec.SSHKey) {
			return fmt.Errorf("%w: %s %s is another key", cloud.ErrConflict, Provider, aws.ToString(k.KeyPairId))
		}
		n.key = name
		return nil
	}
	_, err = n.c.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{
		KeyName: aws.String(name), PublicKeyMaterial: []byte(n.spec.SSHKey),
		TagSpecifications: n.tags(types.ResourceTypeKeyPair),
	})
	if err != nil {
		return hidden(wrap("ImportKeyPair", err), "InvalidKeyPair.Duplicate")
	}
	n.key = name
	return nil
}

// sameKey compares two lines of authorized_keys without their comments.
func sameKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && slices.Equal(x[:2], y[:2])
}

// keys lists the key pairs.
func (l lister) keys(ctx context.Context) ([]cloud.Resource, error) {
	have, err := l.c.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{Filters: l.filters})
	if err != nil {
		return nil, wrap("DescribeKeyPairs", err)
	}
	var out []cloud.Resource
	for _, k := range have.KeyPairs {
		r := l.resource(cloud.KindKey, k.KeyPairId, k.Tags)
		r.Name = aws.ToString(k.KeyName)
		out = append(out, r)
	}
	return out, nil
}

// key deletes a key pair. Machines keep the key.
func (x deletion) key(ctx context.Context) error {
	have, err := x.c.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{
		Filters: []types.Filter{filter("key-pair-id", literal(x.res.ID))},
	})
	if err != nil || len(have.KeyPairs) == 0 {
		return wrap("DescribeKeyPairs", err)
	}
	if err := x.check(have.KeyPairs[0].Tags); err != nil {
		return err
	}
	_, err = x.c.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: have.KeyPairs[0].KeyName})
	return wrap("DeleteKeyPair", err)
}
