package mesh

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

func FuzzPreface(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	// The same in each process: the workers of a fuzz run make it anew.
	good := binary.BigEndian.AppendUint64(append([]byte{protocol.Format}, make([]byte, nonceSize)...), uint64(now.Unix()))
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
		if ps, err := parsePeers(b); err == nil && len(ps) > protocol.MaxMembers {
			t.Errorf("%d peers", len(ps))
		}
	})
}
