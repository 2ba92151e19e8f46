// Package mesh_test runs meshes of built daemons on simulated networks: sites
// with public hosts, a cloud, a NAT, and an internet between them. The daemons
// run in namespaces of their own, so that nothing touches the host.
//
// Lines with FIGURE are what was measured, each with its bound: how loaded the
// machine was meanwhile is not theirs to know. Tests that measure how fast many
// daemons become one network run alone, the others beside each other.
package mesh_test
