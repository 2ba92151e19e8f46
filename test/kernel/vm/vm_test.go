package vm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
	"github.com/cbnet-io/cbnet/test/kernel/vm"
)

// unpack reads an archive with the kernel's rules and returns a line for each
// entry: mode, name, content.
func unpack(t *testing.T, data []byte) (out []string) {
	t.Helper()
	if len(data)%4 != 0 {
		t.Errorf("%d bytes, want a multiple of 4", len(data))
	}
	for at := 0; ; {
		h := data[at:]
		field := func(i int) int {
			v, err := strconv.ParseUint(string(h[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		if string(h[:6]) != "070701" {
			t.Fatalf("no magic at %d: %q", at, h[:6])
		}
		size, names := field(6), field(11)
		name := string(h[110 : 110+names-1])
		if h[110+names-1] != 0 {
			t.Errorf("name %s has no NUL", name)
		}
		if name == "TRAILER!!!" {
			return out
		}
		start := (at + 110 + names + 3) &^ 3
		out = append(out, fmt.Sprintf("%06o %s %q", field(1), name, data[start:start+size]))
		at = (start + size + 3) &^ 3
	}
}

func TestArchive(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("12345"), 0o755); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	a := vm.NewArchive(&buf)
	a.Dir("/dev")
	a.File("/init", source)
	a.Symlink("/sbin/modprobe", "/init")
	a.Bytes("/lib/modules/table", "boot\n")
	a.Bytes("/lib/modules/x", "")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`040755 dev ""`, `100755 init "12345"`, `040755 sbin ""`, `120777 sbin/modprobe "/init"`,
		`040755 lib ""`, `040755 lib/modules ""`, `100644 lib/modules/table "boot\n"`, `100644 lib/modules/x ""`,
	}
	if d := cmp.Diff(want, unpack(t, buf.Bytes())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestArchiveFails(t *testing.T) {
	a := vm.NewArchive(&bytes.Buffer{})
	a.File("/init", filepath.Join(t.TempDir(), "none"))
	a.Bytes("/later", "x")
	if err := a.Close(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	for _, room := range []int{0, 50, 120} {
		a := vm.NewArchive(vm.Failing(room))
		a.Bytes("/a", "content")
		if a.Close() == nil {
			t.Errorf("no error with room for %d bytes", room)
		}
	}
}

// module returns an ELF file with one section, .modinfo.
func module(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	var b bytes.Buffer
	put := func(vs ...any) {
		for _, v := range vs {
			binary.Write(&b, binary.LittleEndian, v)
		}
	}
	infoAt, namesAt := uint64(64), uint64(64+len(info))
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	put(uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), namesAt+uint64(len(names)), uint32(0), uint16(64), uint16(0), uint16(0), uint16(64), uint16(3), uint16(2))
	b.WriteString(info + names)
	section := func(name, kind uint32, off, size uint64) {
		put(name, kind, uint64(0), uint64(0), off, size, uint32(0), uint32(0), uint64(1), uint64(0))
	}
	section(0, 0, 0, 0)
	section(1, 1, infoAt, uint64(len(info)))
	section(10, 3, namesAt, uint64(len(names)))
	return b.Bytes()
}

func TestParseModule(t *testing.T) {
	for _, tt := range []struct {
		name             string
		data             []byte
		depends, aliases []string
		fails            bool
	}{
		{"both", module("license=GPL\x00alias=rtnl-link-wireguard\x00depends=udp_tunnel,libx\x00alias=a\x00"), []string{"udp_tunnel", "libx"}, []string{"a", "rtnl-link-wireguard"}, false},
		{"none", module("depends=\x00name=tun\x00"), nil, nil, false},
		{"alias with a space", module("alias=a b\x00"), nil, nil, false},
		{"not ELF", []byte("text"), nil, nil, true},
		{"empty", nil, nil, nil, true},
		{"no section", bytes.Replace(module("x"), []byte(".modinfo"), []byte(".modinfi"), 1), nil, nil, true},
		{"cut", module("depends=a\x00")[:100], nil, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := vm.ParseModule(bytes.NewReader(tt.data))
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			depends, aliases := got.Lists()
			if d := cmp.Diff([][]string{tt.depends, tt.aliases}, [][]string{depends, aliases}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func FuzzParseModule(f *testing.F) {
	f.Add(module("depends=a,b\x00alias=c\x00"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := vm.ParseModule(bytes.NewReader(data))
		if err != nil {
			return
		}
		if _, aliases := got.Lists(); slices.ContainsFunc(aliases, func(a string) bool { return strings.ContainsAny(a, " \t\n") }) {
			t.Errorf("aliases %q would break the table", aliases)
		}
	})
}

// tree writes modules into a directory: name and what it depends on.
func tree(t *testing.T, modules map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, depends := range modules {
		data := module("depends=" + depends + "\x00alias=of-" + name + "\x00")
		if err := os.WriteFile(filepath.Join(dir, name+".ko"), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOrder(t *testing.T) {
	all, err := vm.FindModules(tree(t, map[string]string{
		"wireguard": "udp_tunnel,lib-chacha", "udp_tunnel": "", "lib-chacha": "lib", "lib": "",
		"circle": "back", "back": "circle", "broken": "none",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want string
		err  string
	}{
		{"lib", "lib.ko", ""},
		{"wireguard", "udp_tunnel.ko lib.ko lib-chacha.ko wireguard.ko", ""},
		{"lib_chacha", "lib.ko lib-chacha.ko", ""},
		{"circle", "back.ko circle.ko", ""},
		{"broken", "", "broken needs: no module none"},
		{"none", "", "no module none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paths, aliases, err := all.Order(tt.name)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			var got []string
			for _, p := range paths {
				got = append(got, filepath.Base(p))
			}
			if strings.Join(got, " ") != tt.want || len(aliases) != 1 {
				t.Errorf("got %q with aliases %q, want %s; %v", got, aliases, tt.want, err)
			}
		})
	}
	if _, err := vm.FindModules(t.TempDir()); err == nil {
		t.Error("no error for a directory without modules")
	}
}

func TestModuleTable(t *testing.T) {
	all, err := vm.FindModules(tree(t, map[string]string{"net": "ring", "pci": "ring", "ring": "", "tun": ""}))
	if err != nil {
		t.Fatal(err)
	}
	table, files, err := vm.ModuleTable(all, vm.Image{Boot: []string{"pci", "net"}, OnDemand: []string{"tun"}})
	if err != nil {
		t.Fatal(err)
	}
	const d = "/lib/modules/"
	want := "boot " + d + "ring.ko " + d + "pci.ko " + d + "ring.ko " + d + "net.ko\nof-tun " + d + "tun.ko\ntun " + d + "tun.ko\n"
	if table != want || len(files) != 4 {
		t.Errorf("%d files, table:\n%swant:\n%s", len(files), table, want)
	}
	if _, _, err := vm.ModuleTable(all, vm.Image{Boot: []string{"none"}}); err == nil {
		t.Error("an unknown module is no error")
	}
}

func TestArgs(t *testing.T) {
	args := vm.Config{
		Name: "a", Tap: "tap0", MAC: "02:00:5e:00:53:01", Memory: 256, Initrd: "/i", Kernel: vm.Kernel{Image: "/k"},
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
	}.Args()
	line := strings.Join(args, " ")
	for _, want := range []string{
		"-accel tcg", "-no-reboot", "-m 256", "-kernel /k -initrd /i", guest.ParamName + "=a",
		guest.ParamAddrs + "=192.0.2.1/24,2001:db8::1/64", "ifname=tap0", "mac=02:00:5e:00:53:01", "panic=-1",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %s", want, line)
		}
	}
	if strings.Contains(line, "kvm") {
		t.Errorf("KVM in %s", line)
	}
	if _, err := vm.Start(vm.Config{Name: "a"}); err == nil {
		t.Error("a machine without address is no error")
	}
}

func TestCheckStatic(t *testing.T) {
	exe, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.CheckStatic(exe); err == nil || !strings.Contains(err.Error(), "not static") {
		t.Errorf("Debian's sh: %v", err)
	}
	if err := vm.CheckStatic(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestConsole(t *testing.T) {
	c := vm.NewConsole()
	fmt.Fprint(c, "first\r\n")
	if got := c.String(); got != "first\n" {
		t.Errorf("got %q", got)
	}
	for range 10 {
		c.Write(bytes.Repeat([]byte("x"), vm.ConsoleLimit/4))
	}
	fmt.Fprint(c, "last")
	if got := c.String(); len(got) != vm.ConsoleLimit || !strings.HasSuffix(got, "xlast") {
		t.Errorf("%d bytes are kept, want the last %d", len(got), vm.ConsoleLimit)
	}
}

func TestLastLine(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		ok               bool
	}{
		{"none", "a\nb\n", "", false},
		{"one", "a\nloss: 3 of 4\nb\n", "3 of 4", true},
		{"later", "loss: 1\nloss: 2\n", "2", true},
		{"cut", "loss: 1\nloss: 23", "1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := vm.LastLine(tt.text, "loss:"); got != tt.want || ok != tt.ok {
				t.Errorf("got %q %t, want %q %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// TestFetchKernelFromCache: what is there is taken without apt, the newest if
// there are several.
func TestFetchKernelFromCache(t *testing.T) {
	cache := t.TempDir()
	for _, name := range []string{"linux-image-6.1.0-9-cloud-amd64_6.1.1-1", "linux-image-6.1.0-56-cloud-amd64_6.1.192-2"} {
		boot := filepath.Join(cache, name, "boot")
		if err := os.MkdirAll(boot, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(boot, "vmlinuz-x"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	older := filepath.Join(cache, "linux-image-6.1.0-9-cloud-amd64_6.1.1-1")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(older, long, long); err != nil {
		t.Fatal(err)
	}
	k, err := vm.FetchKernel(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	if k.Package != "linux-image-6.1.0-56-cloud-amd64_6.1.192-2" || filepath.Base(k.Modules) != "modules" {
		t.Errorf("got %+v", k)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := vm.FetchKernel(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestNewest(t *testing.T) {
	out := "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n  Suggests: x\n"
	m := vm.Newest.FindStringSubmatch(out)
	if m == nil || m[1] != "linux-image-6.1.0-56-cloud-amd64" {
		t.Errorf("got %q", m)
	}
	if m := vm.Newest.FindStringSubmatch("linux-image-cloud-amd64\n  Depends: <linux-image>\n"); m != nil {
		t.Errorf("got %q of a virtual package", m)
	}
}
