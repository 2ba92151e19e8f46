package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

const wireGuardKeyFile = "wireguard.key"

// wireGuardKey returns the node's tunnel key. It is made once and kept: peers
// still know it after a restart. A new one is on the disk when this returns.
func wireGuardKey(path string) (overlay.Key, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := overlay.GenerateKey()
		if err != nil {
			return k, fmt.Errorf("WireGuard key: %w", err)
		}
		if err := identity.WriteFile(path, []byte(k.String()+"\n"), 0o600); err != nil {
			return overlay.Key{}, fmt.Errorf("WireGuard key: %w", err)
		}
		return k, nil
	}
	if err != nil {
		return overlay.Key{}, fmt.Errorf("WireGuard key: %w", err)
	}
	k, err := overlay.ParseKey(strings.TrimSpace(string(data)))
	if err != nil {
		return k, fmt.Errorf("WireGuard key %s: %w: remove it to have a new one made", path, err)
	}
	return k, nil
}
