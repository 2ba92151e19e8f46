package mcis

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"github.com/cbnet-io/cbnet/cloud"
)

// subnetBits is the size of the one subnet of a place: a /22 has room for
// MaxNodes machines beside what clouds keep for themselves.
const subnetBits = 22

// subnetPools are the ranges that subnets are taken from, the first with room
// first. 172.16/12 collides least with sites (10/8) and homes (192.168/16).
var subnetPools = [...]netip.Prefix{
	netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 0, 0}), 12),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, 0}), 8),
}

// dockerBridge is the range that container engines take on every host.
var dockerBridge = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 17, 0, 0}), 16)

// subnetFor returns a subnet that overlaps nothing in avoid. The search begins
// at a place that depends on key alone, so that the same wish gets the same
// subnet whatever else exists, unless that is taken. False: there is none.
func subnetFor(key string, avoid []netip.Prefix) (netip.Prefix, bool) {
	raw, err := hex.DecodeString(digest("subnet", key)[:16])
	if err != nil {
		return netip.Prefix{}, false // a digest is hex
	}
	start := binary.BigEndian.Uint64(raw)
	for _, pool := range subnetPools {
		slots := uint64(1) << (subnetBits - pool.Bits())
		base := binary.BigEndian.Uint32(pool.Addr().AsSlice())
		for i := range slots {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], base+uint32((start+i)%slots)<<(32-subnetBits))
			p := netip.PrefixFrom(netip.AddrFrom4(b), subnetBits)
			if !overlaps(p, avoid) && !p.Overlaps(dockerBridge) {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

func overlaps(p netip.Prefix, avoid []netip.Prefix) bool {
	for _, a := range avoid {
		if a.IsValid() && a.Overlaps(p) {
			return true
		}
	}
	return false
}

// freeAddr returns the lowest address of a subnet for machines that is not
// taken.
func freeAddr(subnet netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, bool) {
	for i := 0; ; i++ {
		a, ok := cloud.VMAddr(subnet, i)
		if !ok || !taken[a] {
			return a, ok
		}
	}
}
