// Package control is the local interface of a running node daemon: HTTP over
// a unix socket that only root may open.
//
// It holds the types of the answers ([Status], [Peer], [Ping]), the client
// that cbctl uses ([Dial]) and the server side ([Serve]), which asks a
// [Backend] for everything. It is not the node API: that one listens on the
// overlay address, speaks mTLS and is package remote.
//
// The package imports the standard library alone, so that the command line
// stays quick to start.
//
//	c := control.Dial("/run/cbnet/cbn0.sock")
//	s, err := c.Status(ctx)
package control
