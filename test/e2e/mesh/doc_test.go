// Package mesh_test runs meshes of built daemons on simulated networks: sites
// with public hosts, a cloud, a NAT, and an internet between them. The daemons
// run in namespaces of their own, so that nothing touches the host.
//
// Lines with FIGURE are what was measured, each with its bound: how loaded the
// machine was meanwhile is not theirs to know. Tests that measure how fast many
// daemons become one network run alone, the others beside each other. So it is
// by `make e2e`, which figures come from; `make test` has no time to spare, runs
// the whole system beside them, and asks for the same bounds.
package mesh_test
