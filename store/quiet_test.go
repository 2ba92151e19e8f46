package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/store"
)

// safeBuffer is a buffer for several writers.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestCleanStartAndStopAreQuiet opens and closes a store at different moments
// of the member's own start: nothing of it is for a human to act on.
func TestCleanStartAndStopAreQuiet(t *testing.T) {
	dir := t.TempDir()
	var out safeBuffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for i := range 6 {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		changes := s.Watch(ctx, "")
		for end := time.Now().Add(time.Duration(i%3) * 120 * time.Millisecond); time.Now().Before(end); {
			if err := s.Put(t.Context(), "k", []byte("v")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cancel()
		for range changes {
		}
	}
	if out.String() != "" {
		t.Errorf("logged at Warn or above:\n%s", out.String())
	}
}

// TestUseAfterClose asserts that a call that comes too late is an error.
func TestUseAfterClose(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	changes := s.Watch(ctx, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, "k"); err == nil {
		t.Error("get of a closed store: no error")
	}
	if err := s.Put(ctx, "k", nil); err == nil {
		t.Error("put to a closed store: no error")
	}
	cancel()
	for range changes {
	}
}
