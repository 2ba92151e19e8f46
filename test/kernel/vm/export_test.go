package vm

import (
	"errors"
	"io"
)

// ConsoleLimit is how much of a console is kept.
const ConsoleLimit = consoleLimit

var (
	NewArchive  = newArchive
	FindModules = findModules
	ParseModule = parseModule
	LastLine    = lastLine
	CheckStatic = checkStatic
	ModuleTable = moduleTable
	Newest      = dependsOn
)

// Archive is the writer of initial file systems.
type Archive = archive

// The methods' exported twins.
func (a *archive) File(name, source string)    { a.file(name, source) }
func (a *archive) Bytes(name, content string)  { a.bytes(name, content) }
func (a *archive) Symlink(name, target string) { a.symlink(name, target) }
func (a *archive) Dir(name string)             { a.dir(name) }
func (a *archive) Close() error                { return a.close() }

// Depends returns what a module says it needs, and its aliases.
func (i modinfo) Lists() (depends, aliases []string) { return i.depends, i.aliases }

// Order is order.
func (m modules) Order(name string) (paths, aliases []string, err error) { return m.order(name) }

// Args returns QEMU's arguments.
func (c Config) Args() []string { return c.args() }

// NewConsole returns a console.
func NewConsole() *console { return &console{} }

// Failing returns a writer that takes n bytes.
func Failing(n int) io.Writer { return &failing{n} }

var errFull = errors.New("disk full")

type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}
