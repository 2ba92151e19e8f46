// Package mesh knows who is in the network and by which address each one is
// reached, and keeps the data plane of one node ([Device]) in line with that.
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
// # How records travel
//
//   - An introducer (TCP, TLS 1.3, certificates on both sides; silent to
//     strangers) takes a joiner's record, programs it, pushes it to all members
//     and answers with all records and the names of those who have programmed it.
//     A crowd it answers as a whole. Who could not be told is told when it is heard,
//     and introducers tell each other, when two networks meet, who is in theirs.
//   - Members exchange records over the overlay address, port [GossipPort], TCP:
//     one request, one answer (message.go). Bytes of ours begin with 0xCB;
//     everything else on that port is memberlist's.
//   - A node sends its own new record to everyone it reaches, in a packet (UDP,
//     same port).
//   - The meta data of memberlist, its push/pull state and the echo that measures
//     each path (UDP, same port) carry digests; whoever sees a newer record in
//     one fetches it from that member or, if it cannot be reached, from others.
//     Revocation lists spread the same way, by number.
//
// # Concurrency
//
// [Mesh.Run] owns all goroutines. Events change state under one mutex and wake
// one loop, which computes the whole wanted [overlay.Config] and sets it. All
// methods of Mesh are safe for concurrent use.
package mesh
