// Package kv holds the values that the users of a key-value store and its
// implementations share: items, operations of a transaction, changes and the
// errors that every implementation returns. It imports nothing of ours and no
// store, so that a package can work on any store without linking etcd.
//
// Keys are paths of printable characters separated by slashes ("mcis/record/shop").
// Revisions are those of the whole store and only rise: an item's revision is
// the one of its last change.
package kv

import "errors"

// Errors of a store. They are found with errors.Is through every wrapping.
var (
	// ErrNotFound: there is no such key.
	ErrNotFound = errors.New("no such key")
	// ErrExists: the key that should be created exists.
	ErrExists = errors.New("key exists")
	// ErrConflict: the key was changed, or deleted, since the given revision.
	ErrConflict = errors.New("key was changed by another")
)

// Item is a key with its value.
type Item struct {
	Key      string
	Value    []byte
	Revision int64 // of the last change of this key
}

// Change is one change that a watch reports.
type Change struct {
	Item
	Deleted bool // Value is empty then, and Revision is the one of the deletion
	// Reset is set when changes may have been missed (compaction, a lost
	// connection); the watcher should list again. Item is empty then.
	Reset bool
}

// Verb says what an operation of a transaction does.
type Verb int

// The operations.
const (
	VerbPut Verb = iota
	VerbCreate
	VerbUpdate
	VerbDelete
)

// Op is one operation of a transaction. Make it with [Put], [Create], [Update]
// or [Delete].
type Op struct {
	Verb     Verb
	Key      string
	Value    []byte
	Revision int64
}

// Put writes value whether or not the key exists.
func Put(key string, value []byte) Op { return Op{Verb: VerbPut, Key: key, Value: value} }

// Create writes a key that must not exist ([ErrExists]).
func Create(key string, value []byte) Op { return Op{Verb: VerbCreate, Key: key, Value: value} }

// Update writes a key whose last change must be revision ([ErrConflict]).
func Update(key string, value []byte, revision int64) Op {
	return Op{Verb: VerbUpdate, Key: key, Value: value, Revision: revision}
}

// Delete removes a key; a key that does not exist is no error.
func Delete(key string) Op { return Op{Verb: VerbDelete, Key: key} }

// MaxOps is the largest number of operations in one transaction (etcd's own
// default limit).
const MaxOps = 128
