package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// metaPackage always depends on Debian's newest kernel for machines in clouds.
const metaPackage = "linux-image-cloud-amd64"

// Kernel is an unpacked kernel.
type Kernel struct {
	Package string // name and version: linux-image-6.1.0-56-cloud-amd64_6.1.192-2
	Image   string // path of vmlinuz
	Modules string // directory with its modules
}

// FetchKernel returns the kernel in a cache directory. When there is none, it
// gets the one that Debian's mirrors have now. It needs apt-get(8) and
// dpkg-deb(1), and root when apt's lists are missing.
func FetchKernel(ctx context.Context, cache string) (Kernel, error) {
	k, err := cached(cache)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, err
	}
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return Kernel{}, err
	}
	defer os.RemoveAll(tmp)
	deb, err := download(ctx, tmp)
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel package: %w", err)
	}
	root := filepath.Join(tmp, "root")
	if _, err := output(ctx, tmp, "dpkg-deb", "-x", deb, root); err != nil {
		return Kernel{}, fmt.Errorf("kernel package: %w", err)
	}
	// The name of the file: PACKAGE_VERSION_amd64.deb, colons escaped.
	name := regexp.MustCompile(`_[a-z0-9]+\.deb$`).ReplaceAllString(filepath.Base(deb), "")
	// The rename makes a half unpacked one invisible.
	if err := os.Rename(root, filepath.Join(cache, name)); err != nil {
		return Kernel{}, err
	}
	return cached(cache)
}

// cached finds the kernel that was unpacked last; fs.ErrNotExist if there is none.
func cached(cache string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(cache, "linux-image-*", "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	if len(images) == 0 {
		return Kernel{}, fmt.Errorf("no kernel in %s: %w", cache, os.ErrNotExist)
	}
	image := slices.MaxFunc(images, func(a, b string) int { return unpacked(a).Compare(unpacked(b)) })
	root := filepath.Dir(filepath.Dir(image))
	return Kernel{Package: filepath.Base(root), Image: image, Modules: filepath.Join(root, "lib", "modules")}, nil
}

// unpacked returns when the kernel with an image was put into the cache.
func unpacked(image string) time.Time {
	fi, err := os.Stat(filepath.Dir(filepath.Dir(image)))
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// download gets the package into a directory and returns its path.
func download(ctx context.Context, dir string) (string, error) {
	name, err := newest(ctx, dir)
	if err != nil {
		if _, err := output(ctx, dir, "apt-get", "update", "-q"); err != nil {
			return "", err
		}
		if name, err = newest(ctx, dir); err != nil {
			return "", err
		}
	}
	// Unprivileged, apt could not write to the directory.
	get := []string{"-q", "-o", "APT::Sandbox::User=root", "download", name}
	if _, err := output(ctx, dir, "apt-get", get...); err != nil {
		// The lists may be older than the mirror.
		_, err2 := output(ctx, dir, "apt-get", "update", "-q")
		if _, err3 := output(ctx, dir, "apt-get", get...); err3 != nil {
			return "", errors.Join(err, err2)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get left %d packages: %w", len(debs), err)
	}
	return debs[0], nil
}

var dependsOn = regexp.MustCompile(`(?m)^ *Depends: (linux-image-[0-9][a-z0-9.-]*)$`)

// newest returns the name of the package that the meta package stands for.
func newest(ctx context.Context, dir string) (string, error) {
	out, err := output(ctx, dir, "apt-cache", "depends", metaPackage)
	if err != nil {
		return "", err
	}
	m := dependsOn.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("apt knows no %s; is this Debian for amd64, and are its lists there?", metaPackage)
	}
	return string(m[1]), nil
}

// output runs a command in a directory.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
