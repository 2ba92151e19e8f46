// Package server is the control plane as a library: the HTTP API of package
// api, with authentication, and the adapters between its parts.
//
//	cbctl, nodes            Server                   parts it is given
//	    |  HTTPS   +---------------------------+
//	    +--------->| request id, panics, token |
//	               | body limit                |
//	               |   enrol, renew -----------|----> pki.Service
//	               |   clouds -----------------|----> Clouds (store, sealed)
//	               |   plan, apply, watch -----|----> mcis.Service
//	               |   exec, version ----------|----> Remote (node API, mTLS)
//	               |   download ---------------|----> Download (a file)
//	               +---------------------------+
//
// [Members] stands between the server's own mesh node and everyone who asks who
// is in the mesh; it closes the tokens of those who are and spreads revocations.
//
// # What it is not
//
// It links no cloud's SDK, no etcd and no network device: cmd/cbserver makes
// those and hands them in, so that the whole package is tested in one process
// under the race detector. It decides nothing about machines; package mcis does.
//
// # Lifecycle
//
// [New] checks what it is given and starts nothing. [Server.Run] serves on the
// listener until its context ends, then lets requests finish for a few seconds.
package server
