package alibaba

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/cbnet-io/cbnet/cloud"
)

// keyTypes are the kinds of keys that ImportKeyPair documents: RSA, DSA and ECDSA.
// https://www.alibabacloud.com/help/en/ecs/developer-reference/api-ecs-2014-05-26-importkeypair
var keyTypes = []string{"ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"}

// SSHKeyTypes implements cloud.KeyTypes.
func (d *Driver) SSHKeyTypes() []string { return slices.Clone(keyTypes) }

// keyName returns the name of a network's key pair. ECS gives a name out once
// in a region, so it has the owner in it.
func keyName(spec cloud.NetworkSpec) string {
	sum := sha256.Sum256([]byte(spec.Owner.Description()))
	return fmt.Sprintf("%s-%x", vendorName(spec.Name), sum[:6])
}

// ensureKey imports spec.SSHKey.
func (n *network) ensureKey(ctx context.Context) error {
	if n.spec.SSHKey == "" {
		return nil
	}
	name := keyName(n.spec)
	list, err := n.d.keys(ctx, n.spec.Region, nil, name)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(list, func(k ecs.KeyPair) bool { return k.KeyPairName == name }); i >= 0 {
		k := list[i]
		if cloud.OwnerOf(ecsTags(k.Tags.Tag)) != n.spec.Owner {
			return fmt.Errorf("%w: %s has the name and not the mark", cloud.ErrConflict, name)
		}
		if !sameKey(k.PublicKey, n.spec.SSHKey) {
			return fmt.Errorf("%w: %s is another key", cloud.ErrConflict, name)
		}
		n.key = name
		return nil
	}
	req := ecs.CreateImportKeyPairRequest()
	req.KeyPairName, req.PublicKeyBody = name, n.spec.SSHKey
	req.Tag = repeated(n.spec.Owner.Tags(), func(k, v string) ecs.ImportKeyPairTag { return ecs.ImportKeyPairTag{Key: k, Value: v} })
	if err := n.d.call(ctx, n.spec.Region, req, ecs.CreateImportKeyPairResponse()); err != nil {
		return hidden(err)
	}
	n.key = name
	return n.ready(ctx, name, n.keyStatus)
}

// keyStatus tells whether a key pair is visible: it has no states.
func (n *network) keyStatus(ctx context.Context, name string) (string, error) {
	list, err := n.d.keys(ctx, n.spec.Region, nil, name)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return available, nil
}

// sameKey compares two lines of authorized_keys without their comments.
func sameKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && slices.Equal(x[:2], y[:2])
}

// keys lists key pairs by tags or name.
func (d *Driver) keys(ctx context.Context, region string, tags map[string]string, name string) ([]ecs.KeyPair, error) {
	var out []ecs.KeyPair
	for page := 1; ; page++ {
		req, resp := ecs.CreateDescribeKeyPairsRequest(), ecs.CreateDescribeKeyPairsResponse()
		req.KeyPairName, req.IncludePublicKey = name, yes
		req.PageNumber, req.PageSize = pageSize(page), pageSize(50)
		if tags != nil {
			req.Tag = repeated(tags, func(k, v string) ecs.DescribeKeyPairsTag { return ecs.DescribeKeyPairsTag{Key: k, Value: v} })
		}
		if err := d.call(ctx, region, req, resp); err != nil {
			return nil, err
		}
		out = append(out, resp.KeyPairs.KeyPair...)
		if len(resp.KeyPairs.KeyPair) == 0 || len(out) >= resp.TotalCount {
			return out, nil
		}
	}
}
