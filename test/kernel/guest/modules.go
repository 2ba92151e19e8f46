package guest

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// LoadModule loads the files that [ModuleTable] lists under a name or alias.
// Loading one that is in already is no error.
func LoadModule(name string) error {
	table, err := os.ReadFile(ModuleTable)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	files, ok := lookup(string(table), name)
	if !ok {
		return fmt.Errorf("no module %q in this machine", name)
	}
	for _, f := range files {
		if err := loadFile(f); err != nil {
			return fmt.Errorf("module %s: %w", f, err)
		}
	}
	return nil
}

func loadFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// lookup finds a name in a table. Dashes and underscores are the same, as for
// modprobe(8).
func lookup(table, name string) (files []string, ok bool) {
	name = strings.ReplaceAll(name, "-", "_")
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 0 && strings.ReplaceAll(f[0], "-", "_") == name {
			return f[1:], true
		}
	}
	return nil, false
}
