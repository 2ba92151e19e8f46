package cloud

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ResolveSpec picks a machine type. With a name it returns the type of that
// name, which must satisfy vcpu and memoryMiB too; without one it returns the
// smallest that has at least vcpu virtual CPUs and memoryMiB of memory: fewest
// CPUs, then least memory, then the first as the driver ordered them. Zero
// means no demand. The error wraps [ErrInvalid] and names near types.
func ResolveSpec(specs []Spec, name string, vcpu, memoryMiB int) (Spec, error) {
	fits := func(s Spec) bool { return s.VCPU >= vcpu && s.MemoryMiB >= memoryMiB }
	if name != "" {
		i := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name })
		if i < 0 {
			return Spec{}, fmt.Errorf("machine type %q: %w: no such type; near: %s", name, ErrInvalid,
				nearest(name, names(specs, func(s Spec) string { return s.Name })))
		}
		if !fits(specs[i]) {
			return Spec{}, fmt.Errorf("machine type %q: %w: has %d vCPU and %d MiB, asked for %d and %d",
				name, ErrInvalid, specs[i].VCPU, specs[i].MemoryMiB, vcpu, memoryMiB)
		}
		return specs[i], nil
	}
	sorted := slices.Clone(specs)
	slices.SortStableFunc(sorted, func(a, b Spec) int {
		return cmp.Or(cmp.Compare(a.VCPU, b.VCPU), cmp.Compare(a.MemoryMiB, b.MemoryMiB))
	})
	if i := slices.IndexFunc(sorted, fits); i >= 0 {
		return sorted[i], nil
	}
	if len(sorted) == 0 {
		return Spec{}, fmt.Errorf("machine type: %w: the region has none", ErrInvalid)
	}
	most := sorted[len(sorted)-1]
	return Spec{}, fmt.Errorf("machine type with %d vCPU and %d MiB: %w: none is that large; largest: %s (%d vCPU, %d MiB)",
		vcpu, memoryMiB, ErrInvalid, most.Name, most.VCPU, most.MemoryMiB)
}

// ResolveImage picks the image that wish names: by alias the newest, else by
// name the newest, else by id. The error wraps [ErrInvalid] and names near
// aliases and images.
func ResolveImage(images []Image, wish string) (Image, error) {
	for _, match := range []func(Image) bool{
		func(m Image) bool { return m.Alias == wish },
		func(m Image) bool { return m.Name == wish },
		func(m Image) bool { return m.ID == wish },
	} {
		var best *Image
		for i, m := range images {
			if wish != "" && match(m) && (best == nil || newer(m, *best)) {
				best = &images[i]
			}
		}
		if best != nil {
			return *best, nil
		}
	}
	known := names(images, func(m Image) string { return cmp.Or(m.Alias, m.Name) })
	return Image{}, fmt.Errorf("image %q: %w: no such image; near: %s", wish, ErrInvalid, nearest(wish, known))
}

// newer orders images by date, and by id where dates are equal, so that the
// choice does not depend on the order of a listing.
func newer(a, b Image) bool {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) > 0
}

var (
	debianName = regexp.MustCompile(`^debian-(\d{1,2})(-|$)`)
	ubuntuName = regexp.MustCompile(`^(?:ubuntu/images/[a-z0-9-]+/)?ubuntu-(?:[a-z]+-)?(\d{2}\.\d{2})(-|$)`)
)

// ImageAlias returns the alias of an image by its vendor's name:
// "debian-12-amd64-20250101-1" is "debian-12" and
// "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250101" is
// "ubuntu-24.04". It returns "" for every other name.
func ImageAlias(name string) string {
	name = strings.ToLower(name)
	if m := debianName.FindStringSubmatch(name); m != nil {
		return "debian-" + m[1]
	}
	if m := ubuntuName.FindStringSubmatch(name); m != nil {
		return "ubuntu-" + m[1]
	}
	return ""
}

func names[T any](list []T, name func(T) string) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, name(v))
	}
	return out
}

// nearest is [Nearest] as text for an error.
func nearest(wish string, known []string) string {
	if len(known) == 0 {
		return "there are none"
	}
	return strings.Join(Nearest(wish, known, 5), ", ")
}
