package mesh

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// A preface is what a caller says before an introducer answers anything at all,
// as the first MAC of a WireGuard handshake does: it shows that the caller
// knows the hash of the certificate of one of the mesh's authorities. It proves
// no identity; TLS does that afterwards.
//
// While a mesh changes its authority, the caller takes the one that issued its
// own certificate, and the introducer takes any that it trusts: an introducer
// that does not trust the caller's issuer would refuse its certificate anyway.
//
//	byte    format number
//	        nonce, 16 random bytes
//	uint64  time, seconds since 1970, big endian
//	        HMAC-SHA256, keyed by the hash of a CA certificate, of context and the above
const prefaceSize = 1 + nonceSize + 8 + sha256.Size

const (
	nonceSize      = 16
	prefaceContext = "cbnet introducer v1\x00"
)

var (
	errPreface = errors.New("not of this mesh: its first bytes are not made with this mesh's CA")
	errSkew    = errors.New("clock too far off")
	errReplay  = errors.New("replayed")
)

// newPreface makes a preface for the mesh.
func newPreface(caHash [32]byte, now time.Time) ([]byte, error) {
	b := make([]byte, 1+nonceSize, prefaceSize)
	b[0] = protocol.Format
	if _, err := rand.Read(b[1:]); err != nil {
		return nil, fmt.Errorf("preface: %w", err)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(now.Unix()))
	return append(b, prefaceMAC(caHash, b)...), nil
}

func prefaceMAC(caHash [32]byte, b []byte) []byte {
	h := hmac.New(sha256.New, caHash[:])
	h.Write([]byte(prefaceContext))
	h.Write(b)
	return h.Sum(nil)
}

// prefaces checks prefaces and remembers them against replay. Only callers that
// know a CA's hash can make it grow, and they not beyond a limit.
type prefaces struct {
	caHashes [][32]byte // of the authorities that are trusted

	mu   sync.Mutex // guards the fields below
	seen map[[nonceSize]byte]time.Time
}

func newPrefaces(caHashes ...[32]byte) *prefaces {
	return &prefaces{caHashes: caHashes, seen: make(map[[nonceSize]byte]time.Time)}
}

// check verifies a preface as of now. The MAC comes first: whoever does not
// know a CA's hash learns nothing and costs nothing.
func (p *prefaces) check(b []byte, now time.Time) error {
	if len(b) != prefaceSize || b[0] != protocol.Format {
		return errPreface
	}
	if !p.knows(b[:prefaceSize-sha256.Size], b[prefaceSize-sha256.Size:]) {
		return errPreface
	}
	if skew := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(b[1+nonceSize:])), 0)); skew.Abs() > maxSkew {
		return fmt.Errorf("%w: by %s", errSkew, skew.Round(time.Second))
	}
	return p.remember([nonceSize]byte(b[1:1+nonceSize]), now)
}

// knows reports whether the MAC is made with a hash of a trusted authority.
func (p *prefaces) knows(signed, mac []byte) bool {
	known := false
	for _, h := range p.caHashes { // all of them: the time tells nothing
		known = hmac.Equal(mac, prefaceMAC(h, signed)) || known
	}
	return known
}

func (p *prefaces) remember(nonce [nonceSize]byte, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.seen[nonce]; ok {
		return errReplay
	}
	if len(p.seen) >= maxNonces {
		for n, t := range p.seen {
			if now.Sub(t) > 2*maxSkew {
				delete(p.seen, n)
			}
		}
	}
	if len(p.seen) >= maxNonces {
		return fmt.Errorf("%w, perhaps: too many callers", errReplay)
	}
	p.seen[nonce] = now
	return nil
}
