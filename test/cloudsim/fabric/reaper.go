package fabric

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reaper starts children and collects every one that ends, its own and those that
// PID 1 inherits. Nothing else in the process may wait for children.
type reaper struct {
	mu      sync.Mutex // guards the fields below
	waiting map[int]chan unix.WaitStatus
	idle    chan struct{} // closed and replaced when no child is left
}

func newReaper() *reaper {
	r := &reaper{waiting: map[int]chan unix.WaitStatus{}, idle: make(chan struct{})}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for range ended {
			r.collect()
		}
	}()
	return r
}

// collect takes the status of all children that have ended.
func (r *reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			close(r.idle)
			r.idle = make(chan struct{})
			return
		case err != nil || pid == 0:
			return
		}
		if c := r.waiting[pid]; c != nil {
			c <- status
			delete(r.waiting, pid)
		}
	}
}

// run runs a command to its end, with PID 1's own output; after the timeout it
// is killed with its process group.
func (r *reaper) run(timeout time.Duration, argv ...string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	done := make(chan unix.WaitStatus, 1)
	r.mu.Lock() // so that it is not collected before it is waited for
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err == nil {
		r.waiting[pid] = done
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case status := <-done:
		return statusError(status)
	case <-t.C:
		_ = unix.Kill(-pid, unix.SIGKILL) // gone is as good
		return fmt.Errorf("not done after %s: killed", timeout)
	}
}

func statusError(s unix.WaitStatus) error {
	switch {
	case s.Signaled():
		return fmt.Errorf("ended by signal %d (%s)", s.Signal(), s.Signal())
	case s.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", s.ExitStatus())
	}
	return nil
}

// waitAll returns when no child is left, or after the timeout.
func (r *reaper) waitAll(timeout time.Duration) {
	r.mu.Lock()
	idle := r.idle
	r.mu.Unlock()
	r.collect() // there may be none already
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}
