// Package servertest holds what the control plane is tested with: a store in
// memory, a mesh node, clouds and remote nodes that exist only in this process.
// Everything is safe for concurrent use.
package servertest
