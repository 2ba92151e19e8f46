// Package sim runs many [protocol.Machine]s in one goroutine, in simulated
// time, over a simulated network that loses, delays and cuts, among members
// that lie. All chance comes from one seed: the same seed gives the same trace.
//
// What is simulated is simulated. A device knows peers, endpoints and sessions,
// but encrypts nothing. A request takes round trips, and either arrives whole or
// not at all. Gossip is no memberlist: it spreads news and summaries among
// members, finds out who does not answer, and believes what liars say of others.
//
// What must hold is checked at each change of a device and, once the faults
// have ended, of all honest nodes together; see World.check and World.unwell.
// What liars say of themselves has no end: two records of one version never
// replace each other. So nodes must agree on who owns an address that was also
// granted to a liar only where they hold the same records of it.
package sim
