// Package sim holds what the simulated clouds share: how they show what they
// hold in an inventory ([Object]) and a small store ([Table]). It knows no
// vendor and no machine.
package sim

// Object is one thing that a client made, as the inventory shows it. What a
// cloud has by itself (default networks, images) is not in an inventory, and
// what is gone is absent or in state terminated or deleted.
type Object struct {
	Cloud  string            `json:"cloud"`
	Region string            `json:"region"`
	Kind   string            `json:"kind"` // vm, network, subnet, securityGroup, publicIp, router, port, key, ...
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Tags   map[string]string `json:"tags"`
	State  string            `json:"state"`
	NetNS  string            `json:"netns"` // name under /run/netns while a machine runs
}
