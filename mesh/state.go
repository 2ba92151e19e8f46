package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Files in the state directory.
const (
	peersFile       = "peers.json"       // remembered records and endpoints
	recordFile      = "record.json"      // what this node said last of itself
	revocationsFile = "revocations.list" // the signed list in force, as it came
)

// remembered is a peer as it is kept on disk.
type remembered struct {
	Envelope []byte         `json:"envelope"`
	Endpoint netip.AddrPort `json:"endpoint,omitzero"` // where it answered last
}

type peersState struct {
	Format int          `json:"format"`
	Peers  []remembered `json:"peers"`
}

// recordState is what must survive so that versions only rise.
type recordState struct {
	Format   int        `json:"format"`
	Version  uint64     `json:"version"`
	Observed netip.Addr `json:"observed,omitzero"` // this node's address as an introducer saw it
}

// store keeps a mesh's state in a directory. A missing file is an empty one.
type store struct{ dir string }

func (s store) peers() ([]protocol.Remembered, error) {
	b, err := s.read(peersFile)
	if err != nil || b == nil {
		return nil, err
	}
	return parsePeers(b)
}

// parsePeers reads a file of remembered peers.
func parsePeers(b []byte) ([]protocol.Remembered, error) {
	var p peersState
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s: %w: want JSON", peersFile, protocol.ErrMalformed)
	}
	if p.Format != protocol.Format || len(p.Peers) > protocol.MaxMembers {
		return nil, fmt.Errorf("%s: format %d, %d peers: %w", peersFile, p.Format, len(p.Peers), protocol.ErrMalformed)
	}
	ps := make([]protocol.Remembered, len(p.Peers))
	for i, r := range p.Peers {
		ps[i] = protocol.Remembered(r)
	}
	return ps, nil
}

func (s store) savePeers(ps []protocol.Remembered) error {
	p := peersState{Format: protocol.Format, Peers: make([]remembered, len(ps))}
	for i, r := range ps {
		p.Peers[i] = remembered(r)
	}
	return s.write(peersFile, p)
}

func (s store) forgetPeers() error {
	if err := os.Remove(filepath.Join(s.dir, peersFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s store) record() (recordState, error) {
	var r recordState
	b, err := s.read(recordFile)
	if err != nil || b == nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Format != protocol.Format {
		return recordState{}, fmt.Errorf("%s: %w: want JSON of format %d", recordFile, protocol.ErrMalformed, protocol.Format)
	}
	return r, nil
}

func (s store) saveRecord(r recordState) error {
	r.Format = protocol.Format
	return s.write(recordFile, r)
}

func (s store) revocations() ([]byte, error) { return s.read(revocationsFile) }

func (s store) saveRevocations(signed []byte) error {
	return identity.WriteFile(filepath.Join(s.dir, revocationsFile), signed, 0o600)
}

func (s store) read(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (s store) write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return identity.WriteFile(filepath.Join(s.dir, name), append(b, '\n'), 0o600)
}
