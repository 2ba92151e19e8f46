package mesh

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"time"
)

func FuzzMeta(f *testing.F) {
	f.Add(meta{flags: 1, name: 2, digest: digest{version: 3}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err == nil && !bytes.Equal(m.append(nil), b[:metaSize]) {
			t.Errorf("%x does not encode back", b)
		}
	})
}

func FuzzEcho(f *testing.F) {
	f.Add(echo{kind: echoAsk, nonce: 1, revocations: 2}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEcho(b)
		if err == nil && !bytes.Equal(e.append(nil), b[:echoSize]) {
			t.Errorf("%x does not encode back", b)
		}
	})
}

func FuzzSummary(f *testing.F) {
	f.Add([]byte(`{"format":1,"from":"a","records":{"b":{"v":1,"h":"AAAAAAAAAAAAAAAAAAAAAA"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSummary(b)
		if err != nil {
			return
		}
		if _, err := s.marshal(); err != nil || len(s.records) > maxMembers {
			t.Errorf("%q: %d records, %v", b, len(s.records), err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	var b bytes.Buffer
	if err := writeFrame(&b, request{Format: format, From: "a", Records: [][]byte{{1}}, Names: []string{"b"}}, maxRequest); err != nil {
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

func readWhole(r io.Reader) (request, error) {
	n, err := readSize(r, maxRequest)
	if err != nil {
		return request{}, err
	}
	return readRequest(r, n)
}

func FuzzReply(f *testing.F) {
	var b bytes.Buffer
	if err := writeFrame(&b, reply{Format: format, Records: [][]byte{{1}}, Acknowledged: []string{"b"}}, maxReply); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readReply(bytes.NewReader(b), maxReply)
		if err == nil && (len(p.Records) > maxMembers || len(p.Acknowledged) > maxMembers) {
			t.Errorf("%q: over the limits", b)
		}
	})
}

func FuzzPreface(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	// The same in each process: the workers of a fuzz run make it anew.
	good := binary.BigEndian.AppendUint64(append([]byte{format}, make([]byte, nonceSize)...), uint64(now.Unix()))
	good = append(good, prefaceMAC([32]byte{1}, good)...)
	if err := newPrefaces([32]byte{1}).check(good, now); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := newPrefaces([32]byte{1}).check(b, now); err == nil && !bytes.Equal(b, good) {
			t.Errorf("%x passed as a preface", b)
		}
	})
}

func FuzzPeersFile(f *testing.F) {
	f.Add([]byte(`{"format":1,"peers":[{"envelope":"AA==","endpoint":"1.2.3.4:5"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ps, err := parsePeers(b); err == nil && len(ps) > maxMembers {
			t.Errorf("%d peers", len(ps))
		}
	})
}

func FuzzGossipName(f *testing.F) {
	f.Add("node-1.18f")
	f.Fuzz(func(t *testing.T, s string) {
		node, boot, err := splitGossipName(s)
		if err == nil && gossipName(node, boot) != s {
			t.Errorf("%q does not join back", s)
		}
	})
}
