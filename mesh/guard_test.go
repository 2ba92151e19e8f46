package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// labelledAs puts a label of three letters before a message.
func labelledAs(b string) []byte { return []byte("\xf4\x03abc" + b) }

func TestCheckPacket(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		want string // class of the error, "" if there is none
	}{
		{"a ping", labelledAs("\x00x"), ""},
		{"without a label", []byte("\x04x"), ""},
		{"with a sum", labelledAs("\x0c\x00\x00\x00\x00\x05x"), ""},
		{"several", labelledAs("\x07\x02\x00\x01\x00\x02\x03\x04x"), ""},
		{"several with a sum", labelledAs("\x0c\x00\x00\x00\x00\x07\x01\x00\x01\x0b"), ""},
		{"none of several", labelledAs("\x07\x00"), ""},
		{"compressed", labelledAs("\x09x"), "malformed"},
		{"compressed with a sum", labelledAs("\x0c\x00\x00\x00\x00\x09x"), "malformed"},
		{"compressed among several", labelledAs("\x07\x02\x00\x01\x00\x01\x03\x09"), "malformed"},
		{"several in several", labelledAs("\x07\x01\x00\x02\x07\x00"), "malformed"},
		{"for the user", labelledAs("\x08x"), "malformed"},
		{"enciphered", labelledAs("\x0ax"), "malformed"},
		{"a label and nothing", labelledAs(""), "malformed"},
		{"a label cut short", []byte("\xf4\xff"), "malformed"},
		{"sizes cut short", labelledAs("\x07\x09\x00"), "malformed"},
		{"parts cut short", labelledAs("\x07\x01\x00\x09\x00"), "malformed"},
		{"an empty part", labelledAs("\x07\x01\x00\x00"), "malformed"},
		{"too large", make([]byte, maxPacket+1), "oversize"},
	}
	for _, tt := range tests {
		if got := classOf(checkPacket(tt.b)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func classOf(err error) string {
	if err == nil {
		return ""
	}
	return protocol.Fault(err)
}

const header = "\x06\x83\xa5Nodes\x01\xacUserStateLen\x00\xa4Join\xc2"

func TestCheckStream(t *testing.T) {
	node := "\x82\xa4Name\xa1a\xa4Port\xcd\x1f\x0a"
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"a ping", labelledAs("\x00"), ""},
		{"an answer", []byte("\x02"), ""},
		{"an error", []byte("\x0d"), ""},
		{"a push/pull", labelledAs(header + node), ""},
		{"with bytes of every kind", []byte(header + "\x84\xa4Name\xc4\x01a\xa4Addr\xd9\x01a\xa4Meta\xda\x00\x01a\xa3Vsn\xc0"), ""},
		{"compressed", labelledAs("\x09"), "malformed"},
		{"for the user", labelledAs("\x08"), "malformed"},
		{"no map", []byte("\x06\xc0"), "malformed"},
		{"a map of many", []byte("\x06\x8f"), "malformed"},
		{"no name", []byte("\x06\x83\x01"), "malformed"},
		{"no number", []byte("\x06\x81\xa5Nodes\xa1x"), "malformed"},
		{"too many nodes", []byte("\x06\x81\xa5Nodes\xce\x00\x10\x00\x00"), "oversize"},
		{"nodes of 64 bits", []byte("\x06\x81\xa5Nodes\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "oversize"},
		{"fewer nodes than none", []byte("\x06\x81\xa5Nodes\xd0\xff"), "oversize"},
		{"fewer nodes than none, in full", []byte("\x06\x81\xa5Nodes\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), "oversize"},
		{"a summary too large", []byte("\x06\x81\xacUserStateLen\xce\x01\x00\x00\x00"), "oversize"},
		{"a long field", []byte(header + "\x81\xa4Meta\xda\x02\x00"), "oversize"},
		{"a list for a field", []byte(header + "\x81\xa3Vsn\x9f"), "malformed"},
		{"a state that is none", []byte(header + "\x81\xa5State\x09"), "oversize"},
		{"cut short", []byte(header + "\x82\xa4Name"), "invalid"}, // memberlist says so itself
	}
	for _, tt := range tests {
		if got := classOf(checkStream(bytes.NewReader(tt.b))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// pieces is a connection that says something and ends.
type pieces struct {
	net.Conn
	io.Reader
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b) }

// TestGuardedConn: what passes is what came, to the byte, up to a limit.
func TestGuardedConn(t *testing.T) {
	good := header + "\x81\xa4Name\xa1a" + strings.Repeat("summary", 1000)
	read := func(s string) (string, []error, error) {
		var told []error
		g := guard(pieces{Reader: strings.NewReader(s[1:])}, []byte(s[:1]), func(err error) { told = append(told, err) }, func() {})
		b, err := io.ReadAll(g)
		return string(b), told, err
	}
	if got, told, err := read(good); got != good || err != nil || told != nil {
		t.Errorf("%d of %d bytes, %v, %v", len(got), len(good), err, told)
	}
	if got, told, err := read("\x09bomb"); got != "" || err == nil || len(told) != 1 {
		t.Errorf("%q of a compressed stream passed, %v, %v", got, err, told)
	}
	if got, told, err := read("\x0d" + strings.Repeat("x", 2*maxGossip)); len(got) > maxGossip || !errors.Is(err, protocol.ErrTooLarge) || len(told) != 1 {
		t.Errorf("%d bytes passed, %v, %v", len(got), err, told)
	}
}

// TestBulk: of large requests one caller may have one, and all maxBulky; small
// ones pass meanwhile.
func TestBulk(t *testing.T) {
	request := func(n int) io.Reader {
		q := `{"format":1,"from":"` + strings.Repeat("x", n) + `"}`
		return strings.NewReader(string(binary.BigEndian.AppendUint32(nil, uint32(len(q)))) + q)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBulk()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var ends []func()
		for i := range maxBulky {
			_, done, err := b.read(ctx, request(2*protocol.MaxSmall), string(rune('a'+i)))
			if err != nil {
				t.Fatalf("large request %d: %v", i, err)
			}
			ends = append(ends, done)
		}
		if _, _, err := b.read(ctx, request(2*protocol.MaxSmall), "a"); !errors.Is(err, errBusy) {
			t.Errorf("a second one of a caller: %v", err)
		}
		if _, done, err := b.read(ctx, request(100), "a"); err != nil {
			t.Errorf("a small one: %v", err)
		} else {
			done()
		}
		start := time.Now()
		if _, _, err := b.read(ctx, request(2*protocol.MaxSmall), "z"); !errors.Is(err, errBusy) || time.Since(start) != requestTimeout {
			t.Errorf("one too many: %v after %s", err, time.Since(start))
		}
		time.AfterFunc(time.Second, ends[0])
		start = time.Now()
		if _, done, err := b.read(ctx, request(2*protocol.MaxSmall), "z"); err != nil || time.Since(start) != time.Second {
			t.Errorf("when one ends: %v after %s", err, time.Since(start))
		} else {
			done()
		}
		if _, _, err := b.read(ctx, strings.NewReader("\xff\xff\xff\xff"), "y"); protocol.Fault(err) != "oversize" {
			t.Errorf("a request of 4 GB: %v", err)
		}
		for _, end := range ends[1:] {
			end()
		}
		if len(b.all) != 0 || len(b.callers) != 0 {
			t.Errorf("%d under way, %d callers at the end", len(b.all), len(b.callers))
		}
	})
}

// TestCallers: how often one certificate is introduced, and how many at a time.
func TestCallers(t *testing.T) {
	c := &callers{by: map[string]*visitor{}}
	now := time.Now()
	for i := range maxPerCaller {
		if !c.enter("a", now) {
			t.Fatalf("introduction %d is refused", i)
		}
	}
	if c.enter("a", now) || !c.enter("b", now) {
		t.Error("one certificate has more than its share, or keeps another out")
	}
	let := maxPerCaller
	for range 100 {
		c.leave("a")
		if !c.enter("a", now) {
			break
		}
		let++
	}
	if let != callerBurst {
		t.Errorf("%d introductions in a burst, want %d", let, callerBurst)
	}
	c.by["a"].inside = 0
	if !c.enter("a", now.Add(time.Minute)) {
		t.Error("refused for ever")
	}
}

func FuzzPacket(f *testing.F) {
	for _, s := range []string{"\x00x", "\x0c\x00\x00\x00\x00\x07\x01\x00\x01\x0b", "\x07\x02\x00\x01\x00\x02\x03\x04x", "\x09x"} {
		f.Add(labelledAs(s))
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkPacket(b) == nil && (len(b) == 0 || len(b) > maxPacket || b[0] == 9 || b[0] == 8) {
			t.Errorf("%x passed", b)
		}
	})
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(header + "\x82\xa4Name\xa1a\xa4Port\xcd\x1f\x0a"))
	f.Add(labelledAs("\x00"))
	f.Add([]byte("\x06\x81\xa5Nodes\xd3\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		refused := false
		g := guard(pieces{Reader: bytes.NewReader(b)}, nil, func(error) { refused = true }, func() {})
		got, err := io.ReadAll(g)
		switch {
		case refused && (err == nil || len(got) > 0):
			t.Errorf("%x: refused, and yet %d bytes passed", b, len(got))
		case !refused && !bytes.Equal(got, b):
			t.Errorf("%x became %x", b, got)
		}
		if !refused && len(b) > 0 && (b[0] == 8 || b[0] == 9) {
			t.Errorf("%x passed", b)
		}
	})
}
