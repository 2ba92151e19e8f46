// Package node is the node daemon as a library: it holds a node's identity,
// brings up its device and its mesh, and answers on the control socket, the
// node API and the metrics port.
//
//	n, err := node.New(node.Config{Bundle: "a.bundle", State: "/var/lib/cbnet/cbn0"}, log)
//	...
//	err = n.Run(ctx) // until ctx ends
//
// [New] checks its configuration and touches nothing. [Node.Run] does all the
// rest, in this order: it reads and checks its files; then it takes its state
// folder, opens the control socket, enrols if it was given a token, opens the
// device and runs the mesh. When ctx ends it tells the others that it is away
// and takes down, in reverse, what it put up. [Node.Renew] has it go on with
// another certificate, key or authority meanwhile; the device stays.
//
// What a user got wrong comes back as an [*InputError]; until one is ruled out
// nothing on the host has changed.
//
// The package holds no policy about paths, peers or records (package mesh) and
// does not know WireGuard or netlink (package overlay). All methods of [Node]
// may be called from several goroutines, before and after Run as well.
package node
