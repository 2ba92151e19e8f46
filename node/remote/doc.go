// Package remote is the node API: what a node lets others do over the overlay.
//
// It is HTTP on the node's overlay address, [Port], behind TLS 1.3 with mesh
// certificates on both sides. [Handler] and [Serve] are the node's side;
// [Client] is the caller's. Any member may read (GET /v1/version); to run a
// command (POST /v1/exec) the caller's certificate needs the role "server" and
// the node must have been started with exec allowed.
//
// The answer of exec is a stream of frames, see [Client.Exec]. What is in
// flight is bounded by the connection: a caller that does not read stops the
// command's output. When the caller goes away the command's whole process
// group is killed.
package remote
