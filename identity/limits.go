package identity

import "time"

// Format is the format number written into grants, records, bundles, tokens
// and revocation lists. A decoder refuses any other.
const Format = 1

// Limits on everything that comes from elsewhere.
const (
	// MaxName is the longest name of a node or mesh: a DNS label (RFC 1035).
	MaxName = 63
	// MaxEnvelope bounds a signed record: with 16 endpoints and 32 routes one
	// stays below 5 KiB.
	MaxEnvelope = 16 << 10
	// MaxEndpoints bounds the endpoints in one record.
	MaxEndpoints = 16
	// MaxRoutes bounds the subnets one grant may route.
	MaxRoutes = 32
	// MaxGroups bounds the groups in one grant.
	MaxGroups = 32
	// MaxRevocations bounds a signed revocation list: about 10,000 entries.
	MaxRevocations = 1 << 20
	// MaxBundle bounds a bundle file, which may hold a revocation list in base64.
	MaxBundle = 2 << 20
	// MaxToken bounds a token's text.
	MaxToken = 2 << 10
	// MaxCAs bounds the authorities a node trusts at once.
	MaxCAs = 8
)

// Validities.
const (
	// CAValidity is how long a new CA certificate lasts.
	CAValidity = 10 * 365 * 24 * time.Hour
	// ServerIssuedValidity is how long a certificate from cbserver lasts. It is
	// renewed from day 10, so the server may be away for 20 days.
	ServerIssuedValidity = 30 * 24 * time.Hour
	// OfflineDays is the default of `cbctl ca issue --days`.
	OfflineDays = 397
	// Backdate is how far NotBefore lies in the past, for hosts whose clock is late.
	Backdate = time.Hour
)
