package sim

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// line is one event of the trace.
type line struct {
	at   time.Duration
	who  string
	what string
	more string
	n    int
}

// trace keeps the last lines and the hash of all.
type trace struct {
	hash  uint64
	count int
	last  [400]line
}

func (t *trace) add(l line) {
	t.last[t.count%len(t.last)] = l
	t.count++
	h := fnv.New64a()
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], t.hash)
	binary.LittleEndian.PutUint64(b[8:], uint64(l.at))
	binary.LittleEndian.PutUint64(b[16:], uint64(l.n))
	_, _ = h.Write(b[:]) // a hash never errs
	for _, s := range []string{l.who, l.what, l.more} {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	t.hash = h.Sum64()
}

// text returns the last lines.
func (t *trace) text() string {
	var b strings.Builder
	for i := max(0, t.count-len(t.last)); i < t.count; i++ {
		l := t.last[i%len(t.last)]
		fmt.Fprintf(&b, "%12s %-8s %-14s %s", l.at, l.who, l.what, l.more)
		if l.n != 0 {
			fmt.Fprintf(&b, " (%d)", l.n)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// log adds a line to the trace.
func (w *World) log(who, what, more string, n int) { w.trace.add(line{w.now, who, what, more, n}) }
