package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// linuxHost makes routers and guests in namespaces.
type linuxHost struct {
	log     *slog.Logger
	claim   *claim
	disks   string // a tmpfs: disks/INDEX per VM
	nft     string // path of nft(8)
	spawner *spawner

	mu      sync.Mutex // guards the fields below and claim.rec
	routers map[int]*router
}

var _ host = (*linuxHost)(nil)

// openLinux takes the network namespace, cleans it and makes the internet.
func openLinux(ctx context.Context, o Options) (host, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("machines need root")
	}
	disks, err := disksDir(o.StateDir)
	if err != nil {
		return nil, err
	}
	nft, err := tools()
	if err != nil {
		return nil, err
	}
	id, err := netnsID()
	if err != nil {
		return nil, err
	}
	c, err := waitClaim(ctx, id)
	if err != nil {
		return nil, err
	}
	h := &linuxHost{log: o.Log.With("component", "fabric"), claim: c, disks: disks, nft: nft, routers: map[int]*router{}}
	if err := errors.Join(c.sweep(ctx, true), sweepDead(ctx, id)); err != nil {
		return nil, errors.Join(fmt.Errorf("after an earlier run: %w", err), c.release())
	}
	if err := h.open(); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return h, nil
}

// open makes what all networks and machines share.
func (h *linuxHost) open() error {
	h.claim.rec = record{Format: 1, PID: os.Getpid()}
	if err := h.claim.save(); err != nil {
		return err
	}
	made, err := prepareNetnsDir()
	if err != nil {
		return err
	}
	h.claim.rec.MadeNetns = made
	if err := h.claim.save(); err != nil {
		return err
	}
	if err := os.MkdirAll(h.disks, 0o700); err != nil {
		return fmt.Errorf("disks: %w", err)
	}
	// Disks are in memory: an overlay's upper directory cannot be on the file
	// system that is its lower one, and nothing on them outlives the fabric.
	if err := unix.Mount(h.claim.mountSource(), h.disks, "tmpfs", unix.MS_NOSUID, "mode=0700,nr_inodes=0"); err != nil {
		return fmt.Errorf("mount disks on %s: %w", h.disks, err)
	}
	if err := makeInternet(); err != nil {
		return err
	}
	h.spawner = startSpawner()
	return nil
}

// disksDir is where the disks are mounted, in a form that overlayfs can read.
func disksDir(state string) (string, error) {
	if state == "" {
		return "", errors.New("state directory: none given")
	}
	dir, err := filepath.Abs(state)
	if err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return filepath.Join(dir, "disks"), nil
}

// tools finds the programs that machines need.
func tools() (nft string, err error) {
	var missing []string
	for _, t := range []struct{ program, pkg string }{{"nft", "nftables"}, {"cloud-init", "cloud-init"}} {
		path, err := lookPath(t.program)
		if err != nil {
			missing = append(missing, t.pkg)
		}
		if t.program == "nft" {
			nft = path
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("machines need the Debian packages %s", strings.Join(missing, " "))
	}
	return nft, nil
}

// lookPath finds a program also where root's PATH does not lead.
func lookPath(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", program))
}

func (h *linuxHost) routerNetns(index int) string {
	return fmt.Sprintf("%sr%d", h.claim.netnsPrefix(), index)
}

// netns implements host.
func (h *linuxHost) netns(vm int) string {
	return fmt.Sprintf("%sv%d", h.claim.netnsPrefix(), vm)
}

// addRouter implements host.
func (h *linuxHost) addRouter(ctx context.Context, c routerConfig) error {
	name := h.routerNetns(c.Index)
	r, err := newRouter(name, c)
	if err != nil {
		return errors.Join(err, removeNetns(name))
	}
	h.mu.Lock()
	h.routers[c.Index] = r
	h.mu.Unlock()
	if err := h.setRouter(ctx, c); err != nil {
		return errors.Join(err, h.removeRouter(ctx, c.Index))
	}
	return nil
}

// setRouter implements host. The order leaves no gap: what is new becomes
// reachable after its filter is in force, what is gone is cut before.
func (h *linuxHost) setRouter(ctx context.Context, c routerConfig) error {
	h.mu.Lock()
	r := h.routers[c.Index]
	h.mu.Unlock()
	if r == nil {
		return fmt.Errorf("router %d: %w", c.Index, ErrNotFound)
	}
	if text := ruleset(c); text != r.rules {
		if err := h.loadRules(ctx, r.netns, text); err != nil {
			return err
		}
		r.rules = text
	}
	return r.setAddresses(c)
}

// loadRules replaces the rules of a router in one step.
func (h *linuxHost) loadRules(ctx context.Context, netns, text string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, h.nft, "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := inNetns(netns, cmd.Run); err != nil {
		return fmt.Errorf("load rules: %w: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// removeRouter implements host.
func (h *linuxHost) removeRouter(_ context.Context, index int) error {
	h.mu.Lock()
	r := h.routers[index]
	delete(h.routers, index)
	h.mu.Unlock()
	if r == nil {
		return nil
	}
	return errors.Join(r.close(), removeNetns(r.netns))
}

// close implements host.
func (h *linuxHost) close(ctx context.Context) error {
	h.mu.Lock()
	routers := h.routers
	h.routers = map[int]*router{}
	h.mu.Unlock()
	var errs []error
	for _, r := range routers {
		errs = append(errs, r.close())
	}
	if h.spawner != nil {
		h.spawner.stop()
	}
	errs = append(errs, h.claim.sweep(context.WithoutCancel(ctx), true))
	if err := os.Remove(h.disks); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, fmt.Errorf("disks: %w", err))
	}
	return errors.Join(append(errs, h.claim.release())...)
}

// recordProcess notes a process before it can be lost, and forgets it after.
func (h *linuxHost) recordProcess(p process, runs bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claim.rec.Processes = slices.DeleteFunc(h.claim.rec.Processes, func(o process) bool { return o == p })
	if runs {
		h.claim.rec.Processes = append(h.claim.rec.Processes, p)
	}
	return h.claim.save()
}

func (h *linuxHost) disk(vm int) string { return filepath.Join(h.disks, fmt.Sprint(vm)) }

// removeDisk implements host.
func (h *linuxHost) removeDisk(vm int) error {
	if err := os.RemoveAll(h.disk(vm)); err != nil {
		return fmt.Errorf("remove disk: %w", err)
	}
	return nil
}
