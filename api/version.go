package api

// Version is the answer of GET /v1/version.
type Version struct {
	Server string        `json:"server"`
	Mesh   string        `json:"mesh"`
	Nodes  []NodeVersion `json:"nodes" nullable:"false"`
}

// NodeVersion is the version of one node's daemon.
type NodeVersion struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // empty: not known
	Error   string `json:"error,omitempty"`   // why it is not known
}
