// Package protocol is what a mesh node decides, as a pure state machine:
// [Machine.Step] takes the time and an [Event] and returns the [Action]s to do,
// in order. It has no goroutines, sockets, files, locks or clock, and all chance
// comes from one generator, so that the same events lead to the same actions.
// Package mesh is the shell that drives it with the real world; test/sim drives
// many of them in simulated time.
//
// # What is believed
//
// A node believes signed records only ([identity.Record]): everything that
// reaches the device comes from an envelope that [identity.Roots] verified, and
// the addresses a peer may use come from its certificate alone. Gossip and
// probes carry (name, version, hash) and so say where to look, never what is
// true. Gossip's opinion of who is alive never removes a peer: a peer leaves
// the device by its signed leave, by revocation or when its certificate
// expires. A node that stops says it is away and keeps its place.
//
// Where two nodes hold one overlay address, the grant decides: the certificate
// that was issued last wins, since it is the authority's last word, and between
// equals the smaller fingerprint. Everyone decides alike, whatever order the
// records came in. A WireGuard key that two nodes claim belongs to the one that
// has answered with it through the tunnel; if neither has, the same rule holds.
//
// # Concurrency
//
// A Machine is not safe for concurrent use. Its queries change nothing and may
// be called between steps.
package protocol
