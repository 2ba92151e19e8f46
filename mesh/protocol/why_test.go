package protocol_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

func TestExplain(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := func(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	public := protocol.Candidate{
		Endpoint: netip.MustParseAddrPort("198.51.100.7:51820"), Kind: "public", Class: "public",
		Tried: before(2), Tries: 4, Verdict: protocol.VerdictNoAnswer,
	}
	observed := protocol.Candidate{
		Endpoint: netip.MustParseAddrPort("203.0.113.9:40001"), Kind: "observed", Class: "observed",
		Tried: before(1), Tries: 1, Verdict: protocol.VerdictTrying,
	}
	way := func(state string, cs ...protocol.Candidate) protocol.Way {
		return protocol.Way{Name: "aws-1", State: state, Candidates: cs}
	}
	inUse := public
	inUse.Verdict, inUse.Answered = protocol.VerdictInUse, now
	up := way("up", inUse)
	up.Endpoint, up.Class, up.RTT = inUse.Endpoint, "public", 1500*time.Microsecond
	refused := public
	refused.Verdict = protocol.VerdictRefused
	for _, tt := range []struct {
		name string
		in   protocol.Case
		want protocol.Explanation
	}{
		{
			"tried, no answer", protocol.Case{Way: way("unreachable", public)},
			protocol.Explanation{
				Summary:  "aws-1 is unreachable",
				Findings: []string{"198.51.100.7:51820 (public) tried 4 times, last 2s ago, no answer"},
				Advice: []string{
					"Open UDP 51820 towards aws-1, in the firewall or security group there and on the way out of here.",
					"See on aws-1 whether cbnetd runs.",
				},
			},
		},
		{
			"fell silent", protocol.Case{Way: way("unreachable", public), Answered: before(30), Heard: before(30)},
			protocol.Explanation{
				Summary:  "aws-1 is unreachable, silent for 30s",
				Findings: []string{"198.51.100.7:51820 (public) tried 4 times, last 2s ago, no answer"},
				Advice: []string{
					"Open UDP 51820 towards aws-1, in the firewall or security group there and on the way out of here.",
					"See on aws-1 whether cbnetd runs.",
				},
			},
		},
		{
			"up", protocol.Case{Way: up},
			protocol.Explanation{
				Summary:  "aws-1 is reached by 198.51.100.7:51820 (public), round trip 1.5ms",
				Findings: []string{"198.51.100.7:51820 (public) is in use"},
			},
		},
		{
			"away", protocol.Case{Way: way("away", protocol.Candidate{Endpoint: public.Endpoint, Kind: "public", Verdict: protocol.VerdictNotTried}), Away: before(60)},
			protocol.Explanation{
				Summary:  "aws-1 is away since 2026-01-02T03:03:05Z: it said that it stops, and keeps its place",
				Findings: []string{"198.51.100.7:51820 (public) was not tried"}, Advice: []string{"Start its daemon again."},
			},
		},
		{
			"WireGuard hears it", protocol.Case{Way: way("unreachable", public), Heard: before(1), Answered: before(20), Port: 7946},
			protocol.Explanation{
				Summary:  "aws-1 is unreachable, silent for 20s: WireGuard hears it, but nothing answers on port 7946 in the tunnel",
				Findings: []string{"198.51.100.7:51820 (public) tried 4 times, last 2s ago, no answer"},
				Advice:   []string{"See on aws-1 whether cbnetd runs, and whether its firewall lets UDP and TCP port 7946 in on the tunnel's interface."},
			},
		},
		{
			"no endpoint", protocol.Case{Way: way("connecting")},
			protocol.Explanation{
				Summary: "aws-1 is not reached yet: it names no address that can be reached from here, so it has to call",
				Advice: []string{
					"If aws-1 has a public address, say so there by --advertise; if not, let UDP in here, so that it can call.",
					"See on aws-1 whether cbnetd runs.",
				},
			},
		},
		{
			"both behind a NAT", protocol.Case{Way: way("unreachable", observed), SelfNATed: true, PeerNATed: true},
			protocol.Explanation{
				Summary:  "aws-1 is unreachable: both nodes are behind a NAT",
				Findings: []string{"203.0.113.9:40001 (observed) tried once, last 1s ago, no answer"},
				Advice: []string{
					"Give one of the nodes a public address, or forward its port, and say so by --advertise.",
					"See on aws-1 whether cbnetd runs.",
				},
			},
		},
		{
			"a hard NAT", protocol.Case{Way: way("unreachable", observed), SelfNATed: true, PeerNATed: true, SelfHard: true},
			protocol.Explanation{
				Summary:  "aws-1 is unreachable: both nodes are behind a NAT",
				Findings: []string{"203.0.113.9:40001 (observed) tried once, last 1s ago, no answer"},
				Advice: []string{
					"The NAT here uses another port for each destination, so the two cannot meet: give one of the nodes a public address, or forward its port.",
					"See on aws-1 whether cbnetd runs.",
				},
			},
		},
		{
			"refused endpoint", protocol.Case{Way: way("unreachable", refused)},
			protocol.Explanation{
				Summary:  "aws-1 is unreachable",
				Findings: []string{"198.51.100.7:51820 (public) is refused by the device: it would cut this host's own network off"},
				Advice:   []string{"See on aws-1 whether cbnetd runs."},
			},
		},
		{"self", protocol.Case{Standing: protocol.StandingSelf}, protocol.Explanation{Summary: "aws-1 is this node"}},
		{
			"revoked", protocol.Case{Standing: protocol.StandingRevoked},
			protocol.Explanation{Summary: "aws-1 is revoked: every node refuses it", Advice: []string{"If it should be back, issue its name anew to another key."}},
		},
		{
			"expired", protocol.Case{Standing: protocol.StandingExpired},
			protocol.Explanation{Summary: "the certificate of aws-1 has expired", Advice: []string{"Renew it there."}},
		},
		{
			"left", protocol.Case{Standing: protocol.StandingLeft},
			protocol.Explanation{Summary: "aws-1 has left the mesh and gave its place up", Advice: []string{"To have it back, start its daemon again: it joins by an introducer."}},
		},
		{
			"clash", protocol.Case{Standing: protocol.StandingRefused, Reason: "claims the WireGuard key of b"},
			protocol.Explanation{
				Summary: "aws-1 is refused: claims the WireGuard key of b",
				Advice:  []string{"Issue one of the two another address or, if a machine was copied, a certificate and a key of its own."},
			},
		},
		{
			"unknown, others are near", protocol.Case{Standing: protocol.StandingUnknown, Near: []string{"aws-2", "aws-3"}},
			protocol.Explanation{
				Summary: `no node named "aws-1" was ever introduced to this mesh, as far as this node knows`,
				Advice: []string{
					"Did you mean aws-2 or aws-3?",
					"If the name is right, look at that node: is its daemon running, and does it reach an introducer?",
				},
			},
		},
		{
			"unknown, and alone", protocol.Case{Standing: protocol.StandingUnknown, Alone: true},
			protocol.Explanation{
				Summary:  `no node named "aws-1" was ever introduced to this mesh, as far as this node knows`,
				Findings: []string{"this node reaches nobody, so it would not have heard of it"},
				Advice:   []string{"See first why this node is alone: its log says what became of the introducers."},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Now, tt.in.Name = now, "aws-1"
			if d := cmp.Diff(tt.want, tt.in.Explain()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNearNames(t *testing.T) {
	names := []string{"aws-1", "aws-2", "aws-12", "gcp-1", "database", "web"}
	for _, tt := range []struct {
		meant string
		want  []string
	}{
		{"aws-3", []string{"aws-1", "aws-2"}},
		{"aws", []string{"aws-1", "aws-12", "aws-2"}},
		{"databse", []string{"database"}},
		{"wbe", nil},
		{strings.Repeat("x", 1<<20), nil},
	} {
		if d := cmp.Diff(tt.want, protocol.NearNames(tt.meant, names)); d != "" {
			t.Errorf("%.20q (-want +got):\n%s", tt.meant, d)
		}
	}
}
