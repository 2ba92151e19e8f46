package fabric

import (
	"context"
	"sync"
)

// paperHost is a host without machines: everything succeeds and nothing exists.
type paperHost struct{}

var _ host = paperHost{}

func (paperHost) addRouter(context.Context, routerConfig) error { return nil }
func (paperHost) setRouter(context.Context, routerConfig) error { return nil }
func (paperHost) removeRouter(context.Context, int) error       { return nil }
func (paperHost) netns(int) string                              { return "" }
func (paperHost) removeDisk(int) error                          { return nil }
func (paperHost) close(context.Context) error                   { return nil }

func (paperHost) boot(context.Context, bootConfig) (guest, error) {
	return &paperGuest{down: make(chan struct{})}, nil
}

// paperGuest is down as soon as it is asked to be.
type paperGuest struct {
	once sync.Once
	down chan struct{}
}

func (g *paperGuest) exited() <-chan struct{} { return g.down }
func (g *paperGuest) wantsReboot() bool       { return false }
func (g *paperGuest) shutdown()               { g.kill() }
func (g *paperGuest) kill()                   { g.once.Do(func() { close(g.down) }) }
