package fabric

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts processes from one system thread that lives as long as it does:
// a guest's parent-death signal is tied to the thread that started it.
type spawner struct {
	jobs chan func()
	done sync.WaitGroup
}

func startSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	s.done.Go(func() {
		_ = onThread(func() error {
			for job := range s.jobs {
				job()
			}
			return nil
		})
	})
	return s
}

// start starts a command inside a network namespace. The first error leaves the
// thread in the wrong place only if the host's own namespace cannot be entered,
// and then every later start says so.
func (s *spawner) start(netns string, cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.jobs <- func() {
		result <- func() error {
			home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("network namespace of this process: %w", err)
			}
			defer unix.Close(home)
			if err := setNetns(netnsDir + "/" + netns); err != nil {
				return err
			}
			return errors.Join(cmd.Start(), unix.Setns(home, unix.CLONE_NEWNET))
		}()
	}
	return <-result
}

func (s *spawner) stop() {
	close(s.jobs)
	s.done.Wait()
}

// spawn starts PID 1 of a guest: this executable again, in new namespaces.
func (h *linuxHost) spawn(ctx context.Context, netns string, b bootConfig) (*linuxGuest, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tty, err := openTerminal()
	if err != nil {
		return nil, err
	}
	life, lifeWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("life line of guest: %w", err), tty.close())
	}
	cmd := exec.Command("/proc/self/exe", initCommand)
	cmd.Dir = h.disk(b.Index)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty.slave, tty.slave, tty.slave
	cmd.ExtraFiles = []*os.File{life} // descriptor 3
	cmd.Env = guestEnv(b.Datasource)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
		Setsid:     true,
	}
	err = h.spawner.start(netns, cmd)
	err = errors.Join(err, life.Close())
	if err != nil {
		if cmd.Process != nil {
			err = errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		return nil, errors.Join(fmt.Errorf("start guest: %w", err), lifeWrite.Close(), tty.close())
	}
	g := &linuxGuest{cmd: cmd, life: lifeWrite, tty: tty, down: make(chan struct{})}
	g.copied.Go(func() { _, _ = io.Copy(b.Console, tty.master) }) // ends when the last slave closes
	if err := h.introduce(g, b, tty.path); err != nil {
		return nil, errors.Join(fmt.Errorf("start guest: %w", err), g.end())
	}
	return g, nil
}

// introduce records a guest's process and tells it who it is; until then it
// does nothing.
func (h *linuxHost) introduce(g *linuxGuest, b bootConfig, terminal string) error {
	p, err := processOf(g.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := h.recordProcess(p, true); err != nil {
		return err
	}
	g.process = p
	return json.NewEncoder(g.life).Encode(initConfig{
		Hostname: b.Hostname, Terminal: terminal, SysFiles: sysFiles(b.VM), Agent: b.Agent != "",
	})
}

// sysFiles are what a guest finds in /sys of the machine that it believes to be
// on. EC2's hypervisor has a UUID that begins with "ec2": cloud-init knows by it
// that it must ask for a session token (IMDSv2). All machines of Azure have one
// asset tag, and their firmware's UUID is their id.
func sysFiles(v VM) map[string]string {
	files := map[string]string{}
	if v.Datasource == "Azure" {
		files["class/dmi/id/chassis_asset_tag"] = "7783-7084-3265-9085-8269-3286-77"
		files["class/dmi/id/product_uuid"] = v.ID
	}
	if v.Datasource == "Ec2" {
		h := fmt.Sprintf("%x", sha256.Sum256([]byte(v.ID)))
		files["hypervisor/uuid"] = fmt.Sprintf("ec2%s-%s-%s-%s-%s", h[:5], h[5:9], h[9:13], h[13:17], h[17:29])
	}
	if v.Product != "" {
		files["class/dmi/id/product_name"] = v.Product
	}
	return files
}

// guestEnv is the environment of PID 1. Cloud-init looks there for the product
// name that a real machine has in its firmware.
func guestEnv(datasource string) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=linux", "RUNLEVEL=2", "PREVLEVEL=N",
	}
	if strings.EqualFold(datasource, "OpenStack") {
		env = append(env, "product_name=OpenStack Nova")
	}
	return env
}

// terminal is a pseudo-terminal: the guest's console is its slave.
type terminal struct {
	master, slave *os.File
	path          string // of the slave
}

func openTerminal() (*terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	t := &terminal{master: master}
	if err := t.openSlave(); err != nil {
		return nil, errors.Join(fmt.Errorf("console: %w", err), master.Close())
	}
	return t, nil
}

func (t *terminal) openSlave() error {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var number int
	var ctlErr error
	err = raw.Control(func(fd uintptr) {
		if ctlErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ctlErr == nil {
			number, ctlErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err := errors.Join(err, ctlErr); err != nil {
		return err
	}
	t.path = fmt.Sprintf("/dev/pts/%d", number)
	fd, err := unix.Open(t.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", t.path, err)
	}
	t.slave = os.NewFile(uintptr(fd), t.path)
	return t.makeRaw(fd)
}

// makeRaw turns echo and translations off: bytes come out as they went in.
func (t *terminal) makeRaw(fd int) error {
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("mode of %s: %w", t.path, err)
	}
	mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, mode); err != nil {
		return fmt.Errorf("mode of %s: %w", t.path, err)
	}
	return nil
}

func (t *terminal) close() error {
	return errors.Join(t.slave.Close(), t.master.Close())
}
