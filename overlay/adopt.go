package overlay

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// existing is an interface that already has the wanted name.
type existing struct {
	link netlink.Link // nil if there is none
	kind string       // of the interface, as `ip -d link` prints it
	ours bool         // it carries our mark
}

// fate is what becomes of an existing interface.
type fate int

const (
	create  fate = iota // there is none
	adopt               // it is what a crash of ours left, fit for use
	replace             // a crash of ours left it, but another datapath is wanted
	refuse              // it is somebody else's
)

// adoption decides. It is called with the interface's lock held, so whatever
// carries our mark has no living owner.
func adoption(e existing, want Datapath) fate {
	switch {
	case e.link == nil:
		return create
	case !e.ours:
		return refuse
	case e.kind == "wireguard" && want != Userspace:
		return adopt
	default:
		return replace
	}
}

func (m *linux) find() (existing, error) {
	link, err := m.link()
	if errors.Is(err, errGone) {
		return existing{}, nil
	}
	if err != nil {
		return existing{}, err
	}
	a := link.Attrs()
	return existing{link: link, kind: link.Type(), ours: a.Alias == alias || a.Group == markGroup}, nil
}
