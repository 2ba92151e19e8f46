package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readme is the file whose blocks are run as a reader would run them.
const readme = "README.md"

// documents returns the files whose commands and flags must exist.
func documents(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, rel)
		}
	}
	return files
}

// block is the commands of one ```sh block.
type block struct {
	heading  string
	commands []step
}

// step is one command, and the host it is for: what the last comment "on HOST"
// before it said.
type step struct{ host, line string }

// blocks reads the ```sh blocks of a document.
func blocks(t *testing.T, file string) (all []block) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	heading, host, in := "", "", false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case !in && strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case line == "```sh":
			in, host = true, ""
			all = append(all, block{heading: heading})
		case strings.HasPrefix(line, "```"):
			in = false
		case in && strings.HasPrefix(line, "#"):
			if f := strings.Fields(line); len(f) > 2 && f[1] == "on" {
				host = strings.Trim(f[2], ",")
			}
		case in && line != "":
			if before, _, ok := strings.Cut(line, " #"); ok {
				line = strings.TrimSpace(before)
			}
			b := &all[len(all)-1]
			b.commands = append(b.commands, step{host, line})
		}
	}
	return all
}

// find returns the one block below a heading of README.md.
func find(t *testing.T, heading string) block {
	t.Helper()
	var found []block
	for _, b := range blocks(t, readme) {
		if b.heading == heading {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks below %q, want 1", readme, len(found), heading)
	}
	return found[0]
}

// TestDocsBlocks: every block of every document is one that a test runs, or has
// nothing but targets of the Makefile.
func TestDocsBlocks(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	run := []string{"A mesh without any server", "With a control plane"}
	for _, file := range documents(t) {
		for _, b := range blocks(t, file) {
			for _, s := range b.commands {
				target, ok := strings.CutPrefix(s.line, "make ")
				switch {
				case ok && regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:`).Match(makefile):
				case ok:
					t.Errorf("%s, %s: the Makefile has no target %q", file, b.heading, target)
				case file != readme || !slices.Contains(run, b.heading):
					t.Errorf("%s, %s: %q is run by no test", file, b.heading, s.line)
				}
			}
		}
	}
}

// desk is a directory like a fresh clone after `make build`.
func desk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin", "examples"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shell runs a line in a directory, with a reader's environment.
func shell(t *testing.T, dir string, env []string, line string) result {
	t.Helper()
	return commandIn(t, time.Minute, env, "sh", "-c", "cd "+dir+" && "+line)
}

// TestDocsMesh runs "A mesh without any server": the authority at a desk and
// the two hosts in namespaces, where `cbnetd install` really installs.
func TestDocsMesh(t *testing.T) {
	l, dir := newLAN(t), desk(t)
	hosts, enter := make(map[string]*lanHost), make(map[string][]string) // enter: how to run something there
	for _, name := range []string{"alpha", "beta"} {
		h := l.host(t, name, nil)
		hosts[name], enter[name] = h, h.boot(t)
	}
	names := strings.NewReplacer("alpha.example", hosts["alpha"].ip.String(), "beta.example", hosts["beta"].ip.String())
	for _, s := range find(t, "A mesh without any server").commands {
		line := names.Replace(s.line)
		f := strings.Fields(line)
		switch {
		case line == "make build": // was done
		case f[0] == "bin/cbctl" && s.host == "":
			if r := shell(t, dir, nil, line); r.code != 0 {
				t.Fatalf("%s: exit %d\n%s%s", line, r.code, r.stdout, r.stderr)
			}
		case (f[0] == "bin/cbnetd" || f[0] == "bin/cbctl") && enter[s.host] != nil:
			eventually(t, 20*time.Second, line, func() error {
				r := command(t, nil, enter[s.host][0], append(enter[s.host][1:], "sh", "-c", "cd "+dir+" && "+line)...)
				if r.code != 0 {
					return fmt.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
				}
				if strings.HasSuffix(line, "node peers") && !regexp.MustCompile(`(?m)^alpha .*\bup\b`).MatchString(r.stdout) {
					return fmt.Errorf("alpha is not up:\n%s", r.stdout)
				}
				return nil
			})
		default:
			t.Errorf("%q on %q: this test does not know how to run it", s.line, s.host)
		}
	}
	eventually(t, 10*time.Second, "beta pings alpha by its overlay address", func() error {
		return ping(hosts["beta"].netns, "10.66.0.1")
	})
}

// ownHost gives a host's processes the places that an installation writes to.
const ownHost = `for d in /run /usr/local/bin /etc/init.d /etc/rc2.d /var/log /var/lib/cbnet /etc/cbnet; do
	mkdir -p $d; mount -t tmpfs tmpfs $d
done
exec sleep 600`

// boot starts process 1 of a host and returns how to run a command beside it.
// All of it ends with the test.
func (h *lanHost) boot(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", h.netns, "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", ownHost)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
	})
	var pid int
	eventually(t, 10*time.Second, "process 1 of "+h.name, func() error {
		for _, p := range pids(t, h.netns, "sleep") {
			pid = p
			return nil
		}
		return errors.New("it has not started")
	})
	return []string{"nsenter", "-t", strconv.Itoa(pid), "-m", "-n", "-p", "--"}
}

// TestDocsControlPlane runs "With a control plane" on simulated clouds.
func TestDocsControlPlane(t *testing.T) {
	s, dir := &system{dir: t.TempDir()}, desk(t)
	t.Cleanup(func() {
		if t.Failed() {
			tail(t, filepath.Join(s.dir, "cbserver.log"))
		}
	})
	s.clouds = launch(t, "cloudsim", s.dir, "--listen", "127.0.0.1:0", "--state", filepath.Join(s.dir, "cloudsim"), "--boot-time", "200ms")
	eventually(t, time.Minute, "cloudsim ready", func() error { return s.readURLs() })
	names := strings.NewReplacer(
		"cbnet.example", host, "/var/lib/cbserver", filepath.Join(s.dir, "server"), "clouds.yaml", s.credentials("openstack"),
	)
	extra := map[string]string{ // what the clouds are here
		"aws":     " --endpoint " + s.urls["aws"] + " --credentials " + s.credentials("aws"),
		"private": " --endpoint " + s.urls["openstack"],
	}
	outputs := map[string]string{ // what a reader sees, by the verb
		"cloud add": "PROVIDER", "cloud check": "works", "mcis plan": "shop-web-1", "mcis apply": "shop: ready, 4 of 4", "mcis status": "shop-db-1",
		"mcis exec": "shop-web-2: ", "mcis delete": "",
	}
	var env []string
	for _, c := range find(t, "With a control plane").commands {
		line := names.Replace(c.line)
		f := strings.Fields(line)
		switch {
		case f[0] == "bin/cbserver":
			s.server = launch(t, "cbserver", s.dir, f[1:]...)
			eventually(t, time.Minute, "cbserver ready", func() error {
				if !strings.Contains(s.server.out.String(), "cbserver ready") {
					return errors.New("it does not say so")
				}
				return nil
			})
		case f[0] == "export" && len(f) == 2:
			env = append(env, f[1])
		case f[0] == "bin/cbctl" && len(f) > 2:
			verb := f[1] + " " + f[2]
			want, ok := outputs[verb]
			if !ok {
				t.Errorf("%q: this test does not know what it prints", c.line)
			}
			if verb == "cloud add" {
				line += extra[f[3]]
			}
			r := shell(t, dir, env, line)
			if r.code != 0 || !strings.Contains(r.stdout, want) {
				t.Fatalf("%s: exit %d, want %q\n%s%s", line, r.code, want, r.stdout, r.stderr)
			}
		default:
			t.Errorf("%q: this test does not know how to run it", c.line)
		}
	}
	s.empty(t)
}

// readURLs takes the line that cloudsim prints when it is ready.
func (s *system) readURLs() error { return json.Unmarshal([]byte(s.clouds.out.String()), &s.urls) }

// commandTree is the flags of every command of a program, by its path: "cbctl
// mcis apply". They come from --help.
func commandTree(t *testing.T, path ...string) map[string][]string {
	t.Helper()
	r := command(t, nil, bin(path[0]), append(path[1:], "--help")...)
	text := r.stdout + r.stderr
	tree := make(map[string][]string)
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--?[a-z-]+)`).FindAllStringSubmatch(text, -1) {
		flags = append(flags, "--"+strings.TrimLeft(m[1], "-"))
	}
	tree[strings.Join(path, " ")] = flags
	_, subs, _ := strings.Cut(text, "Available Commands:\n")
	subs, _, _ = strings.Cut(subs, "\n\n")
	for line := range strings.Lines(subs) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "help" && f[0] != "completion" {
			for k, v := range commandTree(t, slices.Concat(path, f[:1])...) {
				tree[k] = v
			}
		}
	}
	return tree
}

// TestDocsNames: every command and flag that the documents mention exists; what
// README.md says is not there yet says so itself.
func TestDocsNames(t *testing.T) {
	tree := make(map[string][]string)
	for _, program := range []string{"cbctl", "cbnetd", "cbserver", "cloudsim"} {
		for path, flags := range commandTree(t, program) {
			tree[path] = flags
		}
	}
	known := make(map[string]bool)
	for _, flags := range tree {
		for _, f := range flags {
			known[f] = true
		}
	}
	if len(tree) < 25 || !known["--introduce"] || !known["--credentials"] || !known["--boot-time"] {
		t.Fatalf("the help was not understood: %d commands", len(tree))
	}
	later := 0
	for _, file := range documents(t) {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(string(data), -1) {
			if file == readme {
				later += notYet(t, m[1])
			}
			for _, f := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(m[1], -1) {
				if !known[f] {
					t.Errorf("%s: `%s`: no program has %s", file, m[1], f)
				}
			}
			for _, path := range commandPaths(m[1]) {
				if _, ok := tree[path]; !ok {
					t.Errorf("%s: `%s`: there is no command %q", file, m[1], path)
				}
			}
		}
	}
	if later < 8 {
		t.Errorf("%s names %d verbs that are not there yet", readme, later)
	}
}

// commandPaths returns the commands that a piece of text names: "cbctl ca
// init|issue" names two.
func commandPaths(text string) []string {
	f := strings.Fields(text)
	if len(f) == 0 || !slices.Contains([]string{"cbctl", "cbnetd", "cbserver", "cloudsim"}, f[0]) {
		return nil
	}
	paths := []string{f[0]}
	for _, word := range f[1:] {
		if !regexp.MustCompile(`^[a-z|]+$`).MatchString(word) {
			break
		}
		var next []string
		for _, p := range paths {
			for w := range strings.SplitSeq(word, "|") {
				next = append(next, p+" "+w)
			}
		}
		paths = next
	}
	return paths
}

// notYet runs the verbs that a piece of README.md's text names without their
// program, "mcis suspend|resume", and returns how many: they must say themselves
// that they are not there.
func notYet(t *testing.T, text string) int {
	t.Helper()
	f := strings.Fields(text)
	if len(f) == 0 || len(f) > 2 || !slices.Contains([]string{"mcis", "cloud", "node", "mesh", "app"}, f[0]) {
		return 0
	}
	verbs := []string{""}
	if len(f) == 2 {
		verbs = strings.Split(f[1], "|")
	}
	for _, v := range verbs {
		r := command(t, nil, bin("cbctl"), f[0], v, "--whatever", "x")
		if r.code != 2 || !strings.Contains(r.stderr, "does not have it yet") {
			t.Errorf("cbctl %s %s: exit %d, %q: README.md says that it is not there yet", f[0], v, r.code, r.stderr)
		}
	}
	return len(verbs)
}
