package protocol

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Candidate is one address at which a peer may be reached, as users see it.
type Candidate struct {
	Endpoint netip.AddrPort
	Kind     string        // "private", "public" or "observed", as the peer's record says, or "heard": it came from there
	Class    string        // what a byte costs there: "network", "lan", "public", "observed" or "relay"
	Tried    time.Time     // the last attempt, zero if there was none
	Answered time.Time     // it last worked, zero if never
	Tries    int           // attempts since it last worked
	RTT      time.Duration // smoothed round trip, 0 if never measured
	Verdict  Verdict
}

// Verdict says what is to be thought of a candidate.
type Verdict string

// The verdicts.
const (
	VerdictInUse    Verdict = "in use"    // and it works
	VerdictTrying   Verdict = "trying"    // no answer yet
	VerdictWorks    Verdict = "works"     // it answered when it was last tried, a better one is in use
	VerdictNoAnswer Verdict = "no answer" // when it was last tried
	VerdictNotTried Verdict = "not tried"
	VerdictRefused  Verdict = "refused" // the device takes it for no peer
)

// Way is how a node reaches a peer.
type Way struct {
	Name       string
	State      string // as Peer.State
	Path       string // as Peer.Path
	Class      string // of the path in use, as Candidate.Class; empty if there is none
	Endpoint   netip.AddrPort
	RTT        time.Duration // smoothed round trip, 0 if never measured
	Steers     string        // the node of the pair that tries better addresses
	Candidates []Candidate   // best first
}

// Standing is how far a name belongs to the mesh.
type Standing string

// The standings of a name.
const (
	StandingMember  Standing = "member"
	StandingSelf    Standing = "self"
	StandingUnknown Standing = "unknown"
	StandingRevoked Standing = "revoked"
	StandingExpired Standing = "expired"
	StandingLeft    Standing = "left"
	StandingRefused Standing = "refused" // its record is not used: another has a better claim
)

// Case is all that is known of why a peer is reached, or is not.
type Case struct {
	Now      time.Time
	Self     string // this node
	Name     string // the one that is asked about
	Standing Standing
	Reason   string   // why it is refused
	Near     []string // names like it, if it is unknown
	Alone    bool     // this node knows nobody, or reaches nobody

	// Of a member.
	Way       Way
	Away      time.Time // it said then that it stops; zero if it did not
	Heard     time.Time // WireGuard heard it last; zero if never
	Answered  time.Time // it last answered through the tunnel; zero if never
	Port      int       // UDP and TCP port inside the tunnel that has to answer
	SelfNATed bool      // others see this node at an address that is not its own
	PeerNATed bool
	SelfHard  bool // and at another port each time
}

// Explanation is a case in plain words.
type Explanation struct {
	Summary  string   // one sentence
	Findings []string // what was tried, and what came of it
	Advice   []string // what to do, most promising first; empty if there is nothing to do
}

// Explain puts a case into words.
func (c Case) Explain() Explanation {
	switch c.Standing {
	case StandingSelf:
		return Explanation{Summary: c.Name + " is this node"}
	case StandingUnknown:
		return c.unknown()
	case StandingRevoked:
		return Explanation{
			Summary: c.Name + " is revoked: every node refuses it",
			Advice:  []string{"If it should be back, issue its name anew to another key."},
		}
	case StandingExpired:
		return Explanation{Summary: "the certificate of " + c.Name + " has expired", Advice: []string{"Renew it there."}}
	case StandingLeft:
		return Explanation{
			Summary: c.Name + " has left the mesh and gave its place up",
			Advice:  []string{"To have it back, start its daemon again: it joins by an introducer."},
		}
	case StandingRefused:
		return Explanation{
			Summary: c.Name + " is refused: " + c.Reason,
			Advice:  []string{"Issue one of the two another address or, if a machine was copied, a certificate and a key of its own."},
		}
	}
	return c.member()
}

func (c Case) unknown() Explanation {
	e := Explanation{Summary: "no node named " + quote(c.Name) + " was ever introduced to this mesh, as far as this node knows"}
	if len(c.Near) > 0 {
		e.Advice = append(e.Advice, "Did you mean "+strings.Join(c.Near, " or ")+"?")
	}
	if c.Alone {
		e.Findings = append(e.Findings, "this node reaches nobody, so it would not have heard of it")
		e.Advice = append(e.Advice, "See first why this node is alone: its log says what became of the introducers.")
		return e
	}
	e.Advice = append(e.Advice, "If the name is right, look at that node: is its daemon running, and does it reach an introducer?")
	return e
}

func (c Case) member() Explanation {
	switch c.Way.State {
	case "up":
		return Explanation{Summary: c.works(), Findings: c.findings()}
	case "away":
		return Explanation{
			Summary:  fmt.Sprintf("%s is away since %s: it said that it stops, and keeps its place", c.Name, c.Away.UTC().Format(time.RFC3339)),
			Findings: c.findings(),
			Advice:   []string{"Start its daemon again."},
		}
	}
	verb := "is unreachable"
	if c.Way.State == "connecting" {
		verb = "is not reached yet"
	}
	e := Explanation{Summary: c.Name + " " + verb, Findings: c.findings()}
	if !c.Answered.IsZero() {
		e.Summary += ", silent for " + ago(c.Now, c.Answered)
	}
	e.Summary += c.because()
	e.Advice = c.advice()
	return e
}

func (c Case) works() string {
	s := fmt.Sprintf("%s is reached by %s (%s)", c.Name, c.Way.Endpoint, c.Way.Class)
	if c.Way.RTT > 0 {
		s += fmt.Sprintf(", round trip %s", c.Way.RTT.Round(10*time.Microsecond))
	}
	return s
}

// hears reports whether WireGuard hears the peer though nothing answers inside.
func (c Case) hears() bool {
	return !c.Heard.IsZero() && c.Now.Sub(c.Heard) < heardFor && c.Heard.Sub(c.Answered) > 3*time.Second
}

func (c Case) because() string {
	switch {
	case c.hears():
		return fmt.Sprintf(": WireGuard hears it, but nothing answers on port %d in the tunnel", c.Port)
	case len(c.Way.Candidates) == 0:
		return ": it names no address that can be reached from here, so it has to call"
	case c.SelfNATed && c.PeerNATed:
		return ": both nodes are behind a NAT"
	}
	return ""
}

// findings says what became of each candidate.
func (c Case) findings() []string {
	var out []string
	for _, a := range c.Way.Candidates {
		s := fmt.Sprintf("%s (%s)", a.Endpoint, a.Kind)
		switch a.Verdict {
		case VerdictInUse:
			s += " is in use"
		case VerdictWorks:
			s += " works too, last seen " + ago(c.Now, a.Answered) + " ago"
		case VerdictNotTried:
			s += " was not tried"
		case VerdictRefused:
			s += " is refused by the device: it would cut this host's own network off"
		default:
			s += fmt.Sprintf(" tried %s, last %s ago, no answer", times(a.Tries), ago(c.Now, a.Tried))
		}
		out = append(out, s)
	}
	return out
}

func (c Case) advice() []string {
	if c.hears() {
		return []string{fmt.Sprintf("See on %s whether cbnetd runs, and whether its firewall lets UDP and TCP port %d in on the tunnel's interface.", c.Name, c.Port)}
	}
	var out []string
	if ports := c.toOpen(); len(ports) > 0 {
		out = append(out, fmt.Sprintf("Open UDP %s towards %s, in the firewall or security group there and on the way out of here.", strings.Join(ports, " and "), c.Name))
	}
	switch {
	case c.SelfHard && c.PeerNATed:
		out = append(out, "The NAT here uses another port for each destination, so the two cannot meet: give one of the nodes a public address, or forward its port.")
	case c.SelfNATed && c.PeerNATed:
		out = append(out, "Give one of the nodes a public address, or forward its port, and say so by --advertise.")
	case len(c.Way.Candidates) == 0:
		out = append(out, fmt.Sprintf("If %s has a public address, say so there by --advertise; if not, let UDP in here, so that it can call.", c.Name))
	}
	return append(out, "See on "+c.Name+" whether cbnetd runs.")
}

// toOpen lists the ports of the addresses that did not answer.
func (c Case) toOpen() []string {
	var ports []string
	for _, a := range c.Way.Candidates {
		if p := fmt.Sprint(a.Endpoint.Port()); a.Verdict != VerdictRefused && a.Class != classObserved.String() && !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	return ports
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func ago(now, then time.Time) string { return max(0, now.Sub(then)).Round(time.Second).String() }

func quote(s string) string { return fmt.Sprintf("%.80q", s) }

// maxNear bounds the names that are proposed instead of an unknown one.
const maxNear = 3

// NearNames returns those of the names that look like the one meant, best first.
func NearNames(meant string, names []string) []string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	if len(meant) > 64 {
		meant = meant[:64] // no name is longer
	}
	for _, n := range names {
		d := distance(meant, n)
		if strings.HasPrefix(n, meant) || strings.HasPrefix(meant, n) {
			d = min(d, 1)
		}
		if d <= max(1, len(meant)/3) {
			found = append(found, near{n, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, f := range found[:min(len(found), maxNear)] {
		out = append(out, f.name)
	}
	return out
}

// distance is how many bytes have to be put in, taken out or changed to make
// one text of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
