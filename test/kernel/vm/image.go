package vm

import (
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
)

// Image says what is in a machine's initial file system, beside the modules'
// table.
type Image struct {
	Init     string            // static program that calls guest.Main and guest.LoadModule
	Boot     []string          // modules that are loaded at the start
	OnDemand []string          // modules that are loaded when the kernel asks for them
	Files    map[string]string // path in the machine to path of the host
	Links    map[string]string // symbolic links: path in the machine to target
}

// moduleDir is where modules lie in the machine.
const moduleDir = "/lib/modules"

// WriteImage writes an initial file system. It is not compressed: unpacking
// under emulation takes longer than copying.
func WriteImage(w io.Writer, k Kernel, img Image) error {
	if err := checkStatic(img.Init); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	all, err := findModules(k.Modules)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	table, files, err := moduleTable(all, img)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	a := newArchive(w)
	for _, d := range []string{"/dev", "/proc", "/sys", "/run", "/tmp", "/var", "/etc"} {
		a.dir(d)
	}
	a.file(guest.Init, img.Init)
	a.symlink(guest.Modprobe, guest.Init)
	a.bytes(guest.ModuleTable, table)
	for _, f := range files {
		a.file(path.Join(moduleDir, filepath.Base(f)), f)
	}
	for _, to := range slices.Sorted(maps.Keys(img.Files)) {
		a.file(to, img.Files[to])
	}
	for _, name := range slices.Sorted(maps.Keys(img.Links)) {
		a.symlink(name, img.Links[name])
	}
	if err := a.close(); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	return nil
}

// checkStatic refuses a program that needs a loader: the machine has none, and
// the kernel would say "not found" of the program itself.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static: build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}

// moduleTable returns what guest.ModuleTable is to hold, and the files it names.
func moduleTable(all modules, img Image) (table string, files []string, err error) {
	var b strings.Builder
	line := func(name string, paths []string) {
		b.WriteString(name)
		for _, p := range paths {
			fmt.Fprintf(&b, " %s", path.Join(moduleDir, filepath.Base(p)))
		}
		b.WriteByte('\n')
	}
	add := func(paths []string) {
		for _, p := range paths {
			if !slices.Contains(files, p) {
				files = append(files, p)
			}
		}
	}
	var boot []string
	for _, name := range img.Boot {
		paths, _, err := all.order(name)
		if err != nil {
			return "", nil, err
		}
		add(paths)
		boot = append(boot, paths...)
	}
	line(guest.BootModules, boot)
	for _, name := range img.OnDemand {
		paths, aliases, err := all.order(name)
		if err != nil {
			return "", nil, err
		}
		add(paths)
		for _, n := range append(aliases, name) {
			line(n, paths)
		}
	}
	return b.String(), files, nil
}
