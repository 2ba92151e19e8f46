package service

import (
	_ "embed"
	"path/filepath"
	"strings"
)

//go:embed init.sh
var initTemplate string

func initPath(name string) string { return filepath.Join(initDir, name) }
func rcPath(name string) string   { return filepath.Join(rcDir, "S50"+name) }

// script returns the init script. Its paths are parameters, so that tests can
// run it anywhere.
func script(s Spec, binary, runDir, logDir string) string {
	args := make([]string, 0, 8)
	for _, a := range s.args() {
		args = append(args, quoteShell(a))
	}
	return strings.NewReplacer(
		"@NAME@", s.name(),
		"@INTERFACE@", s.Interface,
		"@BINARY@", quoteShell(binary),
		"@RUN@", quoteShell(runDir),
		"@LOG@", quoteShell(logDir),
		"@ARGS@", strings.Join(args, " "),
	).Replace(initTemplate)
}

// quoteShell quotes one word for sh.
func quoteShell(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
