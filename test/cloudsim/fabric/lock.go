package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir holds one lock file per network namespace that a fabric is or was in.
const lockDir = "/run/cloudsim"

// claim is the right to be the one fabric of a network namespace. The file says
// who holds it and what must be known to clean up after them; everything else is
// recognised by names.
type claim struct {
	file *os.File
	id   string // of the network namespace: part of every name
	path string
	rec  record
}

// record is the content of a lock file.
type record struct {
	Format    int       `json:"formatVersion"` // 1
	PID       int       `json:"pid"`
	MadeNetns bool      `json:"madeNetnsDir"` // /run/netns became a mount for us
	Processes []process `json:"processes"`    // PID 1 of each VM that runs
}

// process is a process that cannot be mistaken for a later one of the same id.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot
}

// netnsID names the network namespace that this process is in.
func netnsID() (string, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("network namespace of this process: %w", err)
	}
	return strconv.FormatUint(st.Ino, 36), nil
}

// takeClaim takes the lock of a network namespace. The record in it is that of
// the holder before, whose orphans are still to be removed.
func takeClaim(id string) (*claim, error) {
	if err := os.MkdirAll(lockDir, 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	c := &claim{id: id, path: filepath.Join(lockDir, id+".lock")}
	for {
		f, err := os.OpenFile(c.path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		data, err := os.ReadFile(c.path)
		if err == nil {
			err = json.Unmarshal(data, &c.rec)
		}
		if len(data) > 0 && err != nil {
			c.rec = record{} // cut off by a crash: names must do
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			pid := c.rec.PID
			return nil, errors.Join(&LockedError{PID: pid}, f.Close())
		}
		if same(f, c.path) {
			c.file = f
			return c, nil
		}
		// Another one released the lock and removed the file meanwhile.
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
	}
}

// sweepTime is how long another fabric may hold the lock of a dead one while it
// clears up after it.
const sweepTime = 5 * time.Second

// waitClaim takes the lock, also while another fabric clears up after the last
// holder, who is dead then.
func waitClaim(ctx context.Context, id string) (*claim, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		c, err := takeClaim(id)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != 0 && unix.Kill(locked.PID, 0) == nil {
			return c, err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

func same(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// save writes the record in place: the lock is on this very file.
func (c *claim) save() error {
	data, err := json.Marshal(c.rec)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := c.file.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := c.file.WriteAt(append(data, '\n'), 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// release gives the claim up, leaving no file. Releasing again does nothing.
func (c *claim) release() error {
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	err := os.Remove(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// processOf identifies a live process.
func processOf(pid int) (process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name in parentheses may hold anything; field 22 counts from there.
	_, rest, ok := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat: unknown form", pid)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return process{PID: pid, Start: start}, nil
}

func (p process) alive() bool {
	now, err := processOf(p.PID)
	return err == nil && now == p
}
