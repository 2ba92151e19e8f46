package protocol

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
)

func FuzzMeta(f *testing.F) {
	f.Add(Meta{Flags: 1, Name: 2, Digest: Digest{Version: 3}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMeta(b)
		if err == nil && !bytes.Equal(m.Append(nil), b[:metaSize]) {
			t.Errorf("%x does not encode back", b)
		}
	})
}

func FuzzEcho(f *testing.F) {
	f.Add(Echo{Kind: EchoAsk, Nonce: 1, Revocations: 2}.Append(nil))
	f.Add(Echo{Kind: EchoAnswer, Seen: netip.MustParseAddrPort("198.51.100.7:40000")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEcho(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Append(nil)[:echoSize], b[:echoSize]) {
			t.Errorf("%x does not encode back", b)
		}
		if again, err := ParseEcho(e.Append(nil)); err != nil || again != e {
			t.Errorf("%x: %+v, and again %+v, %v", b, e, again, err)
		}
	})
}

func FuzzSummary(f *testing.F) {
	f.Add([]byte(`{"format":1,"from":"a","records":{"b":{"v":1,"h":"AAAAAAAAAAAAAAAAAAAAAA"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSummary(b)
		if err != nil {
			return
		}
		if _, err := s.Marshal(); err != nil || len(s.Records) > MaxMembers {
			t.Errorf("%q: %d records, %v", b, len(s.Records), err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	var b bytes.Buffer
	if err := WriteFrame(&b, Request{Format: Format, From: "a", Records: [][]byte{{1}}, Names: []string{"b"}}, MaxRequest); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readWhole(bytes.NewReader(b))
		if err == nil && (len(q.Names) > maxNames || len(q.Records) > maxNames) {
			t.Errorf("%q: over the limits", b)
		}
	})
}

func readWhole(r io.Reader) (Request, error) {
	n, err := ReadSize(r, MaxRequest)
	if err != nil {
		return Request{}, err
	}
	return ReadRequest(r, n)
}

func FuzzReply(f *testing.F) {
	var b bytes.Buffer
	if err := WriteFrame(&b, Reply{Format: Format, Records: [][]byte{{1}}, Acknowledged: []string{"b"}}, MaxReply); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ReadReply(bytes.NewReader(b), MaxReply)
		if err == nil && (len(p.Records) > MaxMembers || len(p.Acknowledged) > MaxMembers) {
			t.Errorf("%q: over the limits", b)
		}
	})
}

func FuzzGossipName(f *testing.F) {
	f.Add("node-1.18f")
	f.Fuzz(func(t *testing.T, s string) {
		node, boot, err := splitGossipName(s)
		if err == nil && GossipName(node, boot) != s {
			t.Errorf("%q does not join back", s)
		}
	})
}
