// Package version tells which build of cbnet this is.
package version

// Version is the release, or the commit that the binary was built from. The
// Makefile sets it at link time.
var Version = "dev"
