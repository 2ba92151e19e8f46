package cloud

import (
	"fmt"
	"strings"
)

// Keys of the mark of ownership, as tags, labels or metadata.
const (
	KeyMesh  = "cbnet-mesh"  // Owner.Mesh
	KeyMCIS  = "cbnet-mcis"  // Owner.MCIS
	KeyNode  = "cbnet-node"  // VMSpec.Node
	KeyToken = "cbnet-token" // VMSpec.Token
)

// markPrefix begins all keys of the mark.
const markPrefix = "cbnet-"

// Tags returns the mark as key-value pairs.
func (o Owner) Tags() map[string]string {
	return map[string]string{KeyMesh: o.Mesh, KeyMCIS: o.MCIS}
}

// OwnerOf reads the mark from an object's tags. It returns the zero Owner if
// there is none.
func OwnerOf(tags map[string]string) Owner {
	return Owner{Mesh: tags[KeyMesh], MCIS: tags[KeyMCIS]}
}

// Description returns the mark as the text of a description field, for objects
// that take no tags in the call that creates them. [ParseDescription] reads it.
func (o Owner) Description() string {
	return KeyMesh + "=" + o.Mesh + " " + KeyMCIS + "=" + o.MCIS
}

// ParseDescription reads the key-value pairs whose keys start with "cbnet-"
// from a description field. Words of others are passed over.
func ParseDescription(s string) map[string]string {
	tags := map[string]string{}
	for word := range strings.FieldsSeq(s) {
		k, v, ok := strings.Cut(word, "=")
		if _, twice := tags[k]; ok && !twice && strings.HasPrefix(k, markPrefix) {
			tags[k] = v
		}
	}
	return tags
}

// Matches reports whether o is the owner asked for by want. A zero want.MCIS
// matches every MCIS of the mesh; a zero want.Mesh or a missing mark matches
// nothing.
func (o Owner) Matches(want Owner) bool {
	if want.Mesh == "" || o.Mesh != want.Mesh || o.MCIS == "" {
		return false
	}
	return want.MCIS == "" || o.MCIS == want.MCIS
}

// CheckOwner returns nil if tags bear exactly the mark of res.Owner, and an
// error that wraps [ErrOwner] if not. Every Delete calls it with the tags of a
// fresh look-up.
func CheckOwner(res Resource, tags map[string]string) error {
	got := OwnerOf(tags)
	if res.Owner.Mesh != "" && res.Owner.MCIS != "" && got == res.Owner {
		return nil
	}
	return fmt.Errorf("delete %s %s: %w: marked %q, want %q",
		res.Kind, res.ID, ErrOwner, got.Description(), res.Owner.Description())
}
