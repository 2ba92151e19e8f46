package protocol

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/cbnet-io/cbnet/identity"
)

// Summary is the state that members exchange in a push/pull: what each has of
// everyone, so that whatever was missed heals.
type Summary struct {
	From        string
	Revocations uint64
	Records     map[string]Digest
}

type summaryJSON struct {
	Format      int                       `json:"format"`
	From        string                    `json:"from"`
	Revocations uint64                    `json:"revocations,omitempty"`
	Records     map[string]summaryElement `json:"records"`
}

type summaryElement struct {
	Version uint64 `json:"v"`
	Hash    string `json:"h"` // base64url without padding
}

// Marshal encodes the summary.
func (s Summary) Marshal() ([]byte, error) {
	j := summaryJSON{Format: Format, From: s.From, Revocations: s.Revocations, Records: make(map[string]summaryElement, len(s.Records))}
	for name, d := range s.Records {
		j.Records[name] = summaryElement{d.Version, base64.RawURLEncoding.EncodeToString(d.Hash[:])}
	}
	return json.Marshal(j)
}

// ParseSummary reads a summary of at most MaxMembers well-formed entries.
func ParseSummary(b []byte) (Summary, error) {
	var j summaryJSON
	if len(b) > MaxReply {
		return Summary{}, fmt.Errorf("summary of %d bytes: %w", len(b), ErrMalformed)
	}
	if err := json.Unmarshal(b, &j); err != nil || j.Format != Format || len(j.Records) > MaxMembers {
		return Summary{}, fmt.Errorf("summary of %d bytes: %w", len(b), ErrMalformed)
	}
	if err := identity.ParseName(j.From); err != nil {
		return Summary{}, fmt.Errorf("summary: %w: %w", ErrMalformed, err)
	}
	s := Summary{From: j.From, Revocations: j.Revocations, Records: make(map[string]Digest, len(j.Records))}
	for name, e := range j.Records {
		h, err := base64.RawURLEncoding.DecodeString(e.Hash)
		if err != nil || len(h) != 16 || identity.ParseName(name) != nil {
			return Summary{}, fmt.Errorf("summary entry %.80q: %w", name, ErrMalformed)
		}
		s.Records[name] = Digest{e.Version, [16]byte(h)}
	}
	return s, nil
}
