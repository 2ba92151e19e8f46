package cloud

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns up to n of known that are most like wish, the likest first:
// what a user who mistyped a name may have meant. Likest is what takes the
// fewest letters to add, drop, change or swap, then what begins alike.
func Nearest(wish string, known []string, n int) []string {
	type candidate struct {
		name             string
		distance, shared int
	}
	list := make([]candidate, 0, len(known))
	from := []rune(strings.ToLower(wish))
	for _, name := range known {
		to := []rune(strings.ToLower(name))
		list = append(list, candidate{name, distance(from, to), prefix(from, to)})
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(b.shared, a.shared), cmp.Compare(a.name, b.name))
	})
	list = slices.Compact(list)
	out := make([]string, 0, min(n, len(list)))
	for _, c := range list[:min(n, len(list))] {
		out = append(out, c.name)
	}
	return out
}

// distance is the optimal string alignment distance: the least number of
// letters added, dropped, changed or swapped with their neighbour.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// prefix is the number of letters that a and b begin with alike.
func prefix(a, b []rune) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
