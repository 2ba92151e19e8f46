package mesh_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cbnet-io/cbnet/mesh"
)

// A call that is under way when the node ends does not wait for ever.
func TestOrderWhileEnding(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newLab(t).introducer().start()
		done := make(chan error, 1)
		go func() { done <- n.mesh.OrderNothing(context.Background()) }()
		synctest.Wait()
		n.stop()
		if err := <-done; !errors.Is(err, mesh.ErrNotRunning) {
			t.Errorf("got %v, want %v", err, mesh.ErrNotRunning)
		}
	})
}
