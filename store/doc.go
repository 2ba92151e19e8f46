// Package store keeps what the control plane must not lose, in etcd: in an
// embedded single member by default, in an external cluster when [Options]
// names one. Everything above the connection is the same for both.
//
// The embedded member listens on unix sockets under its directory and on
// nothing else; it acknowledges a write when it is on disk, compacts its
// history by itself and is locked against a second process.
//
// Secrets are sealed before they are stored ([Store.Seal], age with an X25519
// key). The key lives in a file of its own, best on another disk. A store that
// holds sealed data never gets a new key by itself: a lost or wrong key is an
// error of [Open].
//
// Values and errors are those of package kv. Package storetest has a store in
// memory that passes the same suite.
//
// A [Store] is safe for concurrent use. Calls whose context has no deadline
// get one of ten seconds.
package store
