package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/store"
	"github.com/cbnet-io/cbnet/store/kv"
	"github.com/cbnet-io/cbnet/store/storetest"
)

// writerEnv makes the test binary a process that writes to the store in the
// directory it names until it is killed.
const writerEnv = "CBNET_STORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := write(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// write puts numbered keys and prints each number once it is acknowledged.
func write(dir string) error {
	s, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		sealed, err := s.Seal(fmt.Appendf(nil, "value %d", i))
		if err != nil {
			return err
		}
		if err := s.Create(context.Background(), fmt.Sprintf("n/%06d", i), sealed); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Conformance(t, open(t, store.Options{Dir: t.TempDir()}))
}

func TestListensOnNoPort(t *testing.T) {
	before := tcpListeners(t)
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	if err := s.Put(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	for inode, line := range tcpListeners(t) {
		if _, ok := before[inode]; !ok {
			t.Errorf("the store listens on TCP: %s", line)
		}
	}
	for _, path := range unixListeners(t) {
		if !strings.HasPrefix(path, dir+"/") {
			t.Errorf("the store listens outside of its directory: %q", path)
		}
	}
	for _, name := range []string{"client.sock", "peer.sock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Type() != os.ModeSocket {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// unixListeners returns the paths of the unix sockets on which this process
// listens.
func unixListeners(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	mine := ownSockets(t)
	var out []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line) // Num RefCount Protocol Flags Type St Inode Path
		const accepting = "00010000"
		if len(f) > 6 && f[3] == accepting && mine[f[6]] {
			out = append(out, strings.Join(f[7:], " "))
		}
	}
	if len(out) < 2 {
		t.Fatalf("listeners %q: the test sees too little", out)
	}
	return out
}

// ownSockets returns the inodes of this process's sockets.
func ownSockets(t *testing.T) map[string]bool {
	t.Helper()
	mine := make(map[string]bool)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			mine[strings.Trim(strings.TrimPrefix(target, "socket:"), "[]")] = true
		}
	}
	return mine
}

// tcpListeners returns the TCP sockets on which this process listens, by inode.
func tcpListeners(t *testing.T) map[string]string {
	t.Helper()
	mine := ownSockets(t)
	out := make(map[string]string)
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 9 && f[3] == listening && mine[f[9]] {
				out[f[9]] = line
			}
		}
	}
	return out
}

func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	last := -1
	for round := range 2 {
		dir := filepath.Join(dir, strconv.Itoa(round))
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), writerEnv+"="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("%q", lines.Text())
			}
			if last == 40+17*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		if last < 40 {
			t.Fatalf("the writer got to %d only: %s", last, stderr.String())
		}
		s := open(t, store.Options{Dir: dir})
		for i := range last + 1 {
			item, err := s.Get(t.Context(), fmt.Sprintf("n/%06d", i))
			if err != nil {
				t.Fatalf("acknowledged and lost: %v", err)
			}
			if plain, err := s.Unseal(item.Value); err != nil || string(plain) != fmt.Sprintf("value %d", i) {
				t.Fatalf("%d: %q, %v", i, plain, err)
			}
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	s.Watch(ctx, "")
	cancel()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := goleak.Find(goleak.IgnoreAnyFunction("testing.tRunner")); err != nil {
		t.Error(err)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, store.Options{Dir: dir})
	_, err := store.Open(t.Context(), store.Options{Dir: dir})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
}

func TestReopenAndMove(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a")
	s := open(t, store.Options{Dir: dir})
	if err := s.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A path that is too long for a socket: the store is moved there whole.
	long := filepath.Join(base, strings.Repeat("deep-", 30))
	if err := os.Rename(dir, long); err != nil {
		t.Fatal(err)
	}
	s = open(t, store.Options{Dir: long})
	item, err := s.Get(t.Context(), "k")
	if err != nil || string(item.Value) != "v" {
		t.Errorf("after the move: %+v, %v", item, err)
	}
}

func TestExternalEndpoint(t *testing.T) {
	dir := t.TempDir()
	owner := open(t, store.Options{Dir: dir})
	guest := open(t, store.Options{
		Dir: t.TempDir(), SealKey: filepath.Join(dir, "seal.key"), Endpoints: []string{"unix://" + filepath.Join(dir, "client.sock")},
	})
	sealed, err := owner.Seal([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Put(t.Context(), "k", sealed); err != nil {
		t.Fatal(err)
	}
	item, err := guest.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := guest.Unseal(item.Value); err != nil || string(plain) != "secret" {
		t.Errorf("unsealed %q, %v", plain, err)
	}
}

func TestSealKey(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "elsewhere", "seal.key")
	o := store.Options{Dir: filepath.Join(dir, "store"), SealKey: key}
	s := open(t, o)
	sealed, err := s.Seal([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", sealed); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v, %v", info, err)
	}
	right, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.key")
	if err := open(t, store.Options{Dir: filepath.Join(dir, "store2"), SealKey: other}).Close(); err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		file []byte // nil: removed
		mode os.FileMode
		want string
	}{
		{"missing", nil, 0, "is missing"},
		{"another key", wrong, 0o600, "is not the key"},
		{"damaged", right[:len(right)-9], 0o600, "no age identity"},
		{"empty", []byte("# nothing\n"), 0o600, "is empty"},
		{"readable by others", right, 0o640, "chmod 600"},
		{"right again", right, 0o600, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.RemoveAll(key); err != nil {
				t.Fatal(err)
			}
			if tt.file != nil {
				if err := os.WriteFile(key, tt.file, tt.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(key, tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s, err := store.Open(ctx, o)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				item, err := s.Get(ctx, "k")
				if err != nil {
					t.Fatal(err)
				}
				if plain, err := s.Unseal(item.Value); err != nil || string(plain) != "secret" {
					t.Errorf("unsealed %q, %v", plain, err)
				}
				_, err = s.Get(ctx, "none")
				if !errors.Is(err, kv.ErrNotFound) {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, store.ErrKey) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("open: %v, want %q", err, tt.want)
			}
			if tt.file == nil {
				if _, err := os.Stat(key); err == nil {
					t.Error("a new key was made")
				}
			}
		})
	}
}
