package netlab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper is PID 1 of a lab's PID namespace, and its mount namespace is what those
// of the hosts are made from, with a /proc that only a process in there can mount.
// It ends with its standard input, of which this process holds the other end, and
// the kernel kills all others in the namespace. Ignoring SIGCHLD (an option of GNU
// env), it leaves no orphan as a zombie.
const reaper = `mount --make-rprivate / && mount -t proc -o nosuid,nodev netlab /proc && echo ready &&
exec env --ignore-signal=CHLD cat >/dev/null 2>&1`

// spawner starts processes in the PID namespace of a lab, from one system thread
// that lives as long as it does: parent-death signals are tied to the thread.
type spawner struct {
	jobs   chan func()
	done   chan struct{} // closed when the thread has ended
	closed chan struct{} // closed by stop
	init   *exec.Cmd
	life   *os.File // the namespace ends when this end of the pipe closes
	pids   int      // descriptor of the PID namespace
	mnt    int      // descriptor of the mount namespace of PID 1
	home   int      // descriptor of the test's mount namespace
}

func startSpawner() (*spawner, error) {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{}), closed: make(chan struct{}), pids: -1, mnt: -1, home: -1}
	go func() {
		defer close(s.done)
		_ = onThread(func() error {
			for {
				select {
				case job := <-s.jobs:
					job()
				case <-s.closed:
					return nil
				}
			}
		})
	}()
	if err := s.run(s.boot); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// run runs a job on the spawner's thread.
func (s *spawner) run(job func() error) error {
	result := make(chan error, 1)
	select {
	case s.jobs <- func() { result <- job() }:
		return <-result
	case <-s.closed:
		return os.ErrClosed
	}
}

// boot starts PID 1 and puts the thread's later children under it.
func (s *spawner) boot() (err error) {
	if s.home, err = openNamespace("thread-self", "mnt"); err != nil {
		return err
	}
	if err := s.startInit(); err != nil {
		return fmt.Errorf("start PID 1: %w", err)
	}
	pid := strconv.Itoa(s.init.Process.Pid)
	if s.mnt, err = openNamespace(pid, "mnt"); err != nil {
		return err
	}
	if s.pids, err = openNamespace(pid, "pid"); err != nil {
		return err
	}
	if err := unix.Setns(s.pids, unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("enter PID namespace: %w", err)
	}
	return nil
}

// startInit starts PID 1 and waits until its mounts are made.
func (s *spawner) startInit() error {
	end, life, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("life line: %w", err)
	}
	defer end.Close()
	s.life = life
	said, says, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	defer said.Close()
	cmd := exec.Command("sh", "-c", reaper)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = end, says, says
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err = cmd.Start()
	if err := errors.Join(err, says.Close()); err != nil {
		return err
	}
	s.init = cmd
	text, err := io.ReadAll(said) // until cat has another output
	if err == nil && string(text) != "ready\n" {
		err = fmt.Errorf("mounts: %s", text)
	}
	return err
}

func openNamespace(process, kind string) (int, error) {
	fd, err := unix.Open("/proc/"+process+"/ns/"+kind, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%s namespace: %w", kind, err)
	}
	return fd, nil
}

// start starts a command in the namespaces of a host or router.
func (s *spawner) start(n *namespaces, cmd *exec.Cmd) error {
	if cmd.Dir == "" { // the thread's is that of the mount namespace
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		cmd.Dir = dir
	}
	return s.run(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		if n.mnt < 0 { // a router; the thread may still be where a host's files are
			if err := unix.Setns(s.home, unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("enter mount namespace: %w", err)
			}
		}
		return cmd.Start()
	})
}

// stop kills every process of the lab. The error of a killed PID 1 is none.
func (s *spawner) stop() error {
	close(s.closed)
	<-s.done
	var err error
	if s.init != nil {
		err = s.init.Process.Kill()
		if exit, ok := errors.AsType[*exec.ExitError](s.init.Wait()); !ok || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			err = errors.Join(err, fmt.Errorf("PID 1: %v", s.init.ProcessState))
		}
	}
	if s.life != nil {
		err = errors.Join(err, s.life.Close())
	}
	for _, fd := range []int{s.pids, s.mnt, s.home} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}
