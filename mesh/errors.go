package mesh

import "errors"

var (
	// ErrNotRunning: the call needs a mesh between the start and the end of Run.
	ErrNotRunning = errors.New("mesh is not running")
	// ErrNotIntroduced: no introducer let this node in.
	ErrNotIntroduced = errors.New("no introducer answered")
	// ErrReplaced: another mesh of the same node takes over, see Config.Before.
	ErrReplaced = errors.New("mesh is replaced")
)
