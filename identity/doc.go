// Package identity says who a node is and what it may claim.
//
// A mesh has one or more certificate authorities ([CA]). A CA issues each node
// an X.509 certificate (Ed25519) whose extension holds the [Grant]: the overlay
// addresses the node owns, the subnets it may route, its groups and roles. The
// node says *where* it is by a [Record], signed with the certificate's key and
// wrapped with the certificate in an envelope. Everyone verifies an envelope
// with [Roots]: chain, expiry, revocation, grant. So what a member says about
// itself is bounded by its certificate, and what it says about others is
// worthless without their signature.
//
// A mesh changes its authority while it runs: [Dir.Rotate] makes one step, and
// every node gets a new bundle before the next one. First all trust the next
// authority too, then all get certificates of it, then all trust it alone; so a
// node never meets a certificate that it does not trust. Keys, and with them
// addresses, stay. There is one sequence of revocation lists all the while: one
// directory numbers them, each is complete, over the certificates of all its
// authorities, and it is signed by the authority that signs certificates, whom
// everyone trusts. The switch signs the list again and bundles carry it, so that
// it outlives the trust in the old authority. Two copies of one directory would
// publish two lists of one number: [Roots.Apply] refuses the second, aloud.
//
// The package does no network input or output and never logs. It reads and
// writes files only in [Dir] (the offline CA), [LoadBundle], [Bundle.Save] and
// [WriteFile]. All formats carry a format number; decoders keep within the
// limits of limits.go, refuse unknown formats and ignore unknown fields, so
// that a later version may add some.
package identity
