package store

import "errors"

// Errors of [Open].
var (
	// ErrLocked: another process has the directory open; the text has its pid.
	ErrLocked = errors.New("store is in use")
	// ErrKey: the sealing key is missing though sealed data exists, is not the
	// one that sealed it, is damaged, or others may read it.
	ErrKey = errors.New("seal key")
	// ErrSealed is what Unseal returns for bytes that were damaged or sealed
	// with another key.
	ErrSealed = errors.New("cannot be unsealed")
)
