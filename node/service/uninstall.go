package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cbnet-io/cbnet/identity"
)

// Removal says what to uninstall.
type Removal struct {
	Root      string // as in Spec
	Interface string
	Purge     bool // the node's state as well: its keys and its place in the mesh
}

// Uninstall stops the daemon and removes all that Install wrote; the program
// only if no other service uses it. What is not there is no error.
func Uninstall(ctx context.Context, r Removal, run Runner) error {
	s := Spec{Interface: r.Interface, State: "/", Credential: []byte("-")}
	if err := s.validate(); err != nil {
		return err
	}
	h := host{root: r.Root, run: run}
	list, err := h.readList(r.Interface)
	if errors.Is(err, fs.ErrNotExist) {
		list, err = installed{State: filepath.Join(stateDir, r.Interface)}, nil
	}
	if err != nil {
		return err
	}
	if h.live() {
		if err := h.stop(ctx, s.name(), list.Systemd); err != nil {
			return err
		}
	}
	if err := h.removeAll(s, list, r.Purge); err != nil {
		return err
	}
	if h.live() && list.Systemd {
		return h.run(ctx, "systemctl", "daemon-reload")
	}
	return nil
}

func (h host) stop(ctx context.Context, name string, systemd bool) error {
	if systemd {
		if !h.exists(unitPath(name)) {
			return nil
		}
		return h.run(ctx, "systemctl", "disable", "--now", name+".service")
	}
	if !h.exists(initPath(name)) {
		return nil
	}
	return h.run(ctx, "/bin/sh", initPath(name), "stop")
}

// removeAll removes the list last: a repeated Uninstall after a crash still
// knows the rest.
func (h host) removeAll(s Spec, list installed, purge bool) error {
	for _, f := range list.Files {
		if !ours(s, f) {
			return fmt.Errorf("%s names %q, which is no file of this service: nothing more was removed", listPath(s.Interface), f)
		}
		if err := h.remove(f); err != nil {
			return err
		}
	}
	for _, f := range []string{"/var/log/" + s.name() + ".log", "/var/log/" + s.name() + ".log.1"} {
		if err := h.remove(f); err != nil {
			return err
		}
	}
	if purge {
		if err := h.purge(list.State); err != nil {
			return err
		}
	}
	if err := h.removeProgram(s.Interface); err != nil {
		return err
	}
	if err := h.remove(listPath(s.Interface)); err != nil {
		return err
	}
	h.removeEmpty(configDir)
	return nil
}

// purge removes a state folder: one with a daemon's lock in it, or an empty
// one.
func (h host) purge(state string) error {
	files, err := os.ReadDir(h.at(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if len(files) > 0 && !h.exists(filepath.Join(state, "lock")) {
		return fmt.Errorf("state %s: this does not look like a state folder of cbnetd: remove it by hand", state)
	}
	if err := os.RemoveAll(h.at(state)); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	h.removeEmpty(filepath.Dir(state))
	return nil
}

// ours reports whether a path is one that Install writes: the list is only
// believed that far.
func ours(s Spec, path string) bool {
	bundle, token := s, s
	bundle.Join, token.Join = false, true
	for _, p := range []string{bundle.credentialPath(), token.credentialPath(), unitPath(s.name()), initPath(s.name()), rcPath(s.name())} {
		if path == p {
			return true
		}
	}
	return false
}

// removeProgram removes the program if this was the last service.
func (h host) removeProgram(iface string) error {
	others, err := filepath.Glob(h.at(filepath.Join(configDir, "*.installed")))
	if err != nil {
		return fmt.Errorf("other services: %w", err)
	}
	for _, o := range others {
		if o != h.at(listPath(iface)) {
			return nil
		}
	}
	return h.remove(binPath)
}

func (h host) exists(path string) bool {
	_, err := os.Lstat(h.at(path))
	return err == nil
}

// remove removes a file, and what an interrupted install left of it.
func (h host) remove(path string) error {
	if err := os.Remove(h.at(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("uninstall: %w", err)
	}
	if err := identity.RemoveUnfinished(h.at(path)); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	return nil
}

// removeEmpty removes a folder of ours if nothing is left in it.
func (h host) removeEmpty(path string) {
	if path == configDir || path == stateDir {
		_ = os.Remove(h.at(path)) // fails if something is in it, as it should
	}
}
