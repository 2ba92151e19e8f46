package netlab

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"time"
)

// Cmd is an exec.Cmd that runs at a host: with the host's network, mounts and
// PIDs. Run, Output, CombinedOutput, Start and Wait are as in os/exec; the pipes
// of exec.Cmd work as well.
type Cmd struct {
	*exec.Cmd
	host *Host
}

// Command is a program to be run at the host. It is killed when ctx ends, and
// with the lab. The files it sees are those of the test, but for /run, /proc and
// /sys; it starts in the test's working directory. PIDs are those of the lab:
// os.Getpid in it is not its Process.Pid here.
func (h *Host) Command(ctx context.Context, argv ...string) *Cmd {
	if len(argv) == 0 {
		argv = []string{""} // Start says so
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = 5 * time.Second // for grandchildren that hold the pipes
	return &Cmd{Cmd: cmd, host: h}
}

// Start starts the command and does not wait.
func (c *Cmd) Start() error { return c.host.lab.spawner.start(c.host.ns, c.Cmd) }

// Run starts the command and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the command and returns its standard output. As in os/exec, an
// *exec.ExitError holds the standard error, if nobody else wants it.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("netlab: Stdout already set")
	}
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	capture := c.Stderr == nil
	if capture {
		c.Stderr = &stderr
	}
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && capture {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the command and returns its standard output and error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("netlab: Stdout or Stderr already set")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
