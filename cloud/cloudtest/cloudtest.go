// Package cloudtest is the suite that every driver passes against every
// endpoint it can reach: simulated clouds, foreign servers, and live accounts.
//
// The main test loses the answer of every call that changes something, each in
// turn, after the cloud has done it, and makes the driver's method again with a
// new driver, as a restarted process would: in the end there must be no double
// and no orphan.
//
// A [Target] says how to reach an endpoint. What an endpoint cannot honour is
// named in its [Quirks], never passed over in silence.
package cloudtest

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// Target is an endpoint, and what the suite must know about it.
type Target struct {
	// New returns a new driver, with nothing remembered from others, whose
	// requests go through transport.
	New func(t testing.TB, transport http.RoundTripper) cloud.Driver
	// NewWrong returns a driver whose credentials are wrong.
	NewWrong func(t testing.TB) cloud.Driver

	Region      string
	Image       string // wish: alias, name or id
	VCPU        int    // wish
	MemoryMiB   int    // wish
	MaxUserData int    // the driver's limit in bytes
	// UnknownID returns a well-formed id of something that does not exist.
	UnknownID func(kind cloud.Kind) string
	// UnknownImage is the same for an image. Default: UnknownID(KindVM).
	UnknownImage string
	// Kinds are what a network consists of, beside its key and its way out.
	// Default: network, subnet, security group, router.
	Kinds []cloud.Kind
	// NATKinds are what NetworkSpec.NAT adds to them. Default: nothing.
	NATKinds []cloud.Kind
	// VMKey returns the key that the endpoint itself says a machine was made
	// with, in the form of Network.Key, "" if it does not show the machine yet.
	// Optional.
	VMKey func(t testing.TB, id string) string
	// Timeout is how long a machine may take to run, and to be gone. Default 1 min.
	Timeout time.Duration
	// Tick is the pause between two lists. Default 100 ms.
	Tick time.Duration
	// Inventory returns what the endpoint itself says exists with the mesh's
	// mark, one line each. Optional: without it List is believed.
	Inventory func(t testing.TB, mesh string) []string
	// SetFaults makes the endpoint fail from now on. Optional: only simulated
	// clouds can.
	SetFaults func(t testing.TB, f Faults)

	Quirks Quirks
}

// Faults are failures that a simulated cloud makes. The zero value is none.
type Faults struct {
	Throttle   float64 // share of calls refused as too many
	Drop       float64 // share of changing calls whose answer is lost
	LateFail   float64 // share of machines that are accepted and then fail
	VMQuota    int     // most machines; 0: no limit
	NoCapacity bool    // no machine can be started
}

// Quirks are the duties an endpoint is known not to honour; each leaves out the
// check named in its comment and nothing else.
type Quirks struct {
	DeletesInUse   string // why: it deletes what others depend on, so ErrInUse is not checked
	NoCredentials  string // why: it accepts any credentials, so ErrAuth is not checked
	NoPublicIP     string // why: it shows no public address
	NoConsole      string // why: it has no console
	NoStop         string // why: machines cannot be stopped
	AnyPrivateIP   string // why: it ignores the planned address
	LaxUserData    string // why: user-data of the full length is not tried
	IgnoresToken   string // why: it ignores idempotency tokens, so a create that arrives late makes a double
	AcceptsUnknown string // why: it accepts unknown machine types or images
	AnyRegion      string // why: it knows no regions, or does not tell them
}

// skip notes a quirk in the log and reports whether there is one.
func skip(t testing.TB, check, why string) bool {
	t.Helper()
	if why != "" {
		t.Logf("NOT CHECKED: %s: %s", check, why)
	}
	return why != ""
}

// Run runs the suite.
func Run(t *testing.T, target Target) {
	if target.Timeout == 0 {
		target.Timeout = time.Minute
	}
	if target.Tick == 0 {
		target.Tick = 100 * time.Millisecond
	}
	if target.Kinds == nil {
		target.Kinds = []cloud.Kind{cloud.KindNetwork, cloud.KindSubnet, cloud.KindSecurityGroup, cloud.KindRouter}
	}
	s := &suite{Target: target}
	t.Run("catalog", s.catalog)
	t.Run("bad input", s.badInput)
	t.Run("wrong credentials", s.wrongCredentials)
	t.Run("wrong region", s.wrongRegion)
	t.Run("unknown ids", s.unknownIDs)
	t.Run("ended context", s.endedContext)
	t.Run("life cycle", s.lifeCycle)
	t.Run("repeat", s.repeat)
	t.Run("key", s.key)
	t.Run("key type", s.keyType)
	t.Run("way out", s.wayOut)
	t.Run("quotas", s.quotas)
	t.Run("foreign owner", s.foreignOwner)
	t.Run("wrong order", s.wrongOrder)
	t.Run("stop and start", s.stopAndStart)
	t.Run("side by side", s.sideBySide)
	t.Run("answer lost", s.answerLost)
	t.Run("every answer lost", s.everyAnswerLost)
	t.Run("late create", s.lateCreate)
	t.Run("storm", s.storm)
	t.Run("quota", s.quota)
	t.Run("no capacity", s.noCapacity)
	t.Run("late failure", s.lateFailure)
}

// suite is a Target under test.
type suite struct {
	Target
	spec, image string // resolved by the first that needs them
}

// cidr is the range of every network of the suite; each scenario has its own
// network.
var cidr = netip.MustParsePrefix("10.77.5.0/24")
