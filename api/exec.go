package api

// ExecRequest asks for a command to be run on nodes of an MCIS. Without Group
// and Nodes it runs on all of them.
type ExecRequest struct {
	Group   string   `json:"group,omitempty" maxLength:"63"`
	Nodes   []string `json:"nodes,omitempty" maxItems:"1000"`
	Command []string `json:"command" minItems:"1" maxItems:"1000" nullable:"false" doc:"program and arguments; no shell is between"`
}

// ExecOutput is one piece of what the nodes answer, in the order of arrival: an
// event of the stream that POST /v1/mcis/{name}/exec answers with. The last one
// of each node has Exit or Error.
type ExecOutput struct {
	Node   string `json:"node"`
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	Exit   *int   `json:"exit,omitempty" doc:"exit code of the command: the node is done"`
	Error  string `json:"error,omitempty" doc:"why the command could not be run: the node is done"`
}
