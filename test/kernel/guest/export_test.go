package guest

var (
	Lookup        = lookup
	ParseParams   = parseParams
	ParsePrefixes = parsePrefixes
	NewServer     = newServer
)
