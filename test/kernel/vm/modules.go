package vm

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// modules are the loadable modules of one kernel, by name. Names have
// underscores only.
type modules map[string]string // name to path

// modinfo is what a module says of itself.
type modinfo struct {
	depends []string
	aliases []string
}

// findModules lists the modules below a directory. What they depend on is read
// from themselves: a kernel's package has no modules.dep, which is made when it
// is installed.
func findModules(dir string) (modules, error) {
	m := make(modules)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, ok := strings.CutSuffix(e.Name(), ".ko"); ok {
			m[moduleName(name)] = path
		}
		return nil
	})
	if err == nil && len(m) == 0 {
		err = fmt.Errorf("%s holds no modules", dir)
	}
	return m, err
}

// order returns the paths of a module and of all it depends on, in an order in
// which they can be loaded, and the module's aliases.
func (m modules) order(name string) (paths, aliases []string, err error) {
	seen := make(map[string]bool)
	var visit func(string) (modinfo, error)
	visit = func(name string) (modinfo, error) {
		path, ok := m[name]
		if !ok {
			return modinfo{}, fmt.Errorf("no module %s", name)
		}
		seen[name] = true // before the others: a circle ends here
		info, err := readModule(path)
		if err != nil {
			return info, err
		}
		for _, d := range info.depends {
			if d = moduleName(d); !seen[d] {
				if _, err := visit(d); err != nil {
					return info, fmt.Errorf("%s needs: %w", name, err)
				}
			}
		}
		paths = append(paths, path)
		return info, nil
	}
	info, err := visit(moduleName(name))
	return paths, info.aliases, err
}

func readModule(path string) (modinfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return modinfo{}, err
	}
	defer f.Close()
	info, err := parseModule(f)
	if err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// parseModule reads the section .modinfo: "key=value" strings with NULs between.
func parseModule(r io.ReaderAt) (modinfo, error) {
	var info modinfo
	f, err := elf.NewFile(r)
	if err != nil {
		return info, fmt.Errorf("module: %w", err)
	}
	s := f.Section(".modinfo")
	if s == nil {
		return info, errors.New("module without .modinfo")
	}
	data, err := s.Data()
	if err != nil {
		return info, fmt.Errorf("module: .modinfo: %w", err)
	}
	for _, field := range strings.Split(string(data), "\x00") {
		switch key, value, _ := strings.Cut(field, "="); {
		case key == "depends" && value != "":
			info.depends = append(info.depends, strings.Split(value, ",")...)
		case key == "alias" && !strings.ContainsAny(value, " \t\n"):
			info.aliases = append(info.aliases, value)
		}
	}
	slices.Sort(info.aliases)
	return info, nil
}

func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }
