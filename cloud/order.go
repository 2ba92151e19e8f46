package cloud

import (
	"cmp"
	"slices"
)

// kinds in the order in which they can be deleted.
var kinds = [...]Kind{KindVM, KindPublicIP, KindPort, KindRouter, KindKey, KindSecurityGroup, KindSubnet, KindNetwork, KindGroup}

// DeleteOrder returns the resources in an order in which they can be deleted:
// dependents first, unknown kinds last, otherwise by region and id. It does
// not change res.
func DeleteOrder(res []Resource) []Resource {
	rank := func(k Kind) int {
		if i := slices.Index(kinds[:], k); i >= 0 {
			return i
		}
		return len(kinds)
	}
	out := slices.Clone(res)
	slices.SortStableFunc(out, func(a, b Resource) int {
		return cmp.Or(
			cmp.Compare(rank(a.Kind), rank(b.Kind)),
			cmp.Compare(a.Region, b.Region),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return out
}
