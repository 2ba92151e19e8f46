package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// archive writes what a kernel takes as its initial file system: cpio in the
// "newc" format (the kernel's Documentation/driver-api/early-userspace/buffer-format).
// The first error sticks; close returns it.
type archive struct {
	w    io.Writer
	off  int64 // bytes written
	ino  int   // of the last entry
	dirs map[string]bool
	err  error
}

const (
	typeDir     = 0o040000
	typeFile    = 0o100000
	typeSymlink = 0o120000
)

func newArchive(w io.Writer) *archive {
	return &archive{w: w, dirs: map[string]bool{".": true, "/": true}}
}

// file adds a file of the host, and the directories above it.
func (a *archive) file(name, source string) {
	f, err := os.Open(source)
	if err != nil {
		a.fail(err)
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		a.fail(err)
		return
	}
	a.entry(name, typeFile|uint32(fi.Mode().Perm()), fi.Size(), f)
}

// bytes adds a file with the given content.
func (a *archive) bytes(name, content string) {
	a.entry(name, typeFile|0o644, int64(len(content)), strings.NewReader(content))
}

// symlink adds a symbolic link.
func (a *archive) symlink(name, target string) {
	a.entry(name, typeSymlink|0o777, int64(len(target)), strings.NewReader(target))
}

// dir adds a directory, and those above it, unless it is there.
func (a *archive) dir(name string) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if name == "" || a.dirs[name] {
		return
	}
	a.dirs[name] = true
	a.entry(name, typeDir|0o755, 0, strings.NewReader(""))
}

func (a *archive) entry(name string, mode uint32, size int64, content io.Reader) {
	name = strings.TrimPrefix(name, "/")
	a.dir(path.Dir(name))
	a.header(name, mode, size)
	if a.err != nil {
		return
	}
	n, err := io.Copy(a.w, content)
	a.off += n
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes instead of %d", n, size)
	}
	if err != nil {
		a.fail(fmt.Errorf("%s: %w", name, err))
		return
	}
	a.pad()
}

// header writes the fields of newc: inode, mode, uid, gid, links, mtime, size,
// two device numbers of two parts each, length of the name with its NUL, check.
func (a *archive) header(name string, mode uint32, size int64) {
	if size > 0xffffffff {
		a.fail(fmt.Errorf("%s: too large for cpio", name))
		return
	}
	a.ino++
	a.write("070701")
	for _, v := range []int64{int64(a.ino), int64(mode), 0, 0, 1, 0, size, 0, 0, 0, 0, int64(len(name) + 1), 0} {
		a.write(fmt.Sprintf("%08x", v))
	}
	a.write(name + "\x00")
	a.pad()
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() { a.write("\x00\x00\x00"[:(4-a.off%4)%4]) }

func (a *archive) write(s string) {
	if a.err != nil {
		return
	}
	n, err := io.WriteString(a.w, s)
	a.off += int64(n)
	a.fail(err)
}

func (a *archive) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// close ends the archive. The writer stays open.
func (a *archive) close() error {
	a.header("TRAILER!!!", 0, 0)
	return a.err
}
