package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// startTimeout bounds one call of systemctl or of the init script: a stop
// takes up to 16 s.
const startTimeout = time.Minute

// Runner runs a program of the host to its end. Its error holds the program's
// own words.
type Runner func(ctx context.Context, program string, args ...string) error

// Exec is the Runner that runs programs.
func Exec(ctx context.Context, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// A file, not a pipe: the daemon keeps it open when the script has ended.
	out, err := os.CreateTemp("", "cbnetd-install-")
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(said))
	}
	return nil
}

// installed is the list of what was written, so that it can be removed.
type installed struct {
	Format  int      `json:"format"`
	State   string   `json:"state"`
	Systemd bool     `json:"systemd"`
	Files   []string `json:"files"` // without the root
	// Pending: the files are new and the daemon does not run them yet.
	Pending bool `json:"pending,omitempty"`
}

func listPath(iface string) string { return filepath.Join(configDir, iface+".installed") }

// host is a file system with a prefix.
type host struct {
	root string
	run  Runner
}

func (h host) at(path string) string { return filepath.Join(h.root, path) }

func (h host) systemd() bool {
	fi, err := os.Stat(h.at(systemdRun))
	return err == nil && fi.IsDir()
}

// live reports whether services may be started and stopped.
func (h host) live() bool { return h.root == "" || h.root == "/" }

// Install makes the host run the daemon, now and after each start. It may be
// repeated: what is as wanted stays untouched, and the daemon is restarted only
// if something of its own has changed.
func Install(ctx context.Context, s Spec, run Runner) error {
	if err := s.validate(); err != nil {
		return err
	}
	h := host{root: s.Root, run: run}
	list := installed{Format: 1, State: s.State, Systemd: h.systemd()}
	if err := h.writeAll(s, &list); err != nil {
		return err
	}
	if h.live() {
		if err := h.start(ctx, s.name(), list); err != nil {
			return err
		}
	}
	list.Pending = false
	return h.writeList(s.Interface, list)
}

// start starts the daemon, or starts it anew if it runs other files.
func (h host) start(ctx context.Context, name string, list installed) error {
	verb := "start" // does nothing if it runs
	if list.Pending {
		verb = "restart"
	}
	if !list.Systemd {
		return h.run(ctx, "/bin/sh", initPath(name), verb)
	}
	for _, args := range [][]string{
		{"daemon-reload"},
		{"enable", name + ".service"},
		{verb, "--no-block", name + ".service"}, // ready means joined, which may take long
	} {
		if err := h.run(ctx, "systemctl", args...); err != nil {
			return err
		}
	}
	return nil
}

// writeAll writes the list first: a crash in between leaves nothing that
// Uninstall does not know, and the next Install knows what is not running yet.
func (h host) writeAll(s Spec, list *installed) (err error) {
	self := s.From
	if self == "" {
		if self, err = os.Executable(); err != nil {
			return fmt.Errorf("own program: %w", err)
		}
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	files := []struct {
		path string
		data []byte
		perm fs.FileMode
	}{
		{binPath, program, 0o755},
		{s.credentialPath(), s.Credential, 0o600},
		{unitPath(s.name()), []byte(unit(s)), 0o644},
	}
	if !list.Systemd {
		files[2].path, files[2].perm = initPath(s.name()), 0o755
		files[2].data = []byte(script(s, binPath, "/run/cbnet", "/var/log"))
		list.Files = append(list.Files, rcPath(s.name()))
	}
	for _, f := range files[1:] { // the program is shared and goes with the last service
		list.Files = append(list.Files, f.path)
	}
	if err := h.takeOver(s.Interface, list); err != nil {
		return err
	}
	for _, f := range files {
		list.Pending = list.Pending || !h.holds(f.path, f.data)
	}
	if err := h.writeList(s.Interface, *list); err != nil {
		return err
	}
	for _, f := range files {
		if err := h.write(f.path, f.data, f.perm); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(h.at(s.State), 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if list.Systemd {
		return nil
	}
	return h.link("../init.d/"+s.name(), rcPath(s.name()))
}

// takeOver keeps what an earlier installation left to do, or to remove.
func (h host) takeOver(iface string, list *installed) error {
	old, err := h.readList(iface)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list.Pending = old.Pending
	for _, f := range old.Files {
		if !slices.Contains(list.Files, f) {
			list.Files = append(list.Files, f)
		}
	}
	return nil
}

func (h host) writeList(iface string, list installed) error {
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return fmt.Errorf("list of installed files: %w", err)
	}
	return h.write(listPath(iface), append(data, '\n'), 0o600)
}

func (h host) readList(iface string) (installed, error) {
	data, err := os.ReadFile(h.at(listPath(iface)))
	if err != nil {
		return installed{}, err
	}
	return parseList(listPath(iface), data)
}

func parseList(path string, data []byte) (installed, error) {
	var l installed
	if err := json.Unmarshal(data, &l); err != nil {
		return installed{}, fmt.Errorf("%s: want JSON as `cbnetd install` wrote it: %w", path, err)
	}
	if l.Format != 1 {
		return installed{}, fmt.Errorf("%s: format %d: want 1", path, l.Format)
	}
	return l, nil
}

// holds reports whether a file has that content.
func (h host) holds(path string, data []byte) bool {
	old, err := os.ReadFile(h.at(path))
	return err == nil && bytes.Equal(old, data)
}

// write replaces a file if it differs. A program that runs can be replaced,
// since the new one is another file under its name.
func (h host) write(path string, data []byte, perm fs.FileMode) error {
	full := h.at(path)
	if h.holds(path, data) {
		return os.Chmod(full, perm)
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	if err := identity.WriteFile(full, data, perm); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}

func (h host) link(target, path string) error {
	full := h.at(path)
	if got, err := os.Readlink(full); err == nil && got == target {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("install %s: %w", path, err)
	}
	if err := os.Symlink(target, full); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	return nil
}
