// Package faults makes simulated clouds fail the way real ones do: throttled
// calls, answers lost after the work was done, requests that are accepted and
// fail later, slow answers, full quotas and zones without capacity.
//
// The [Injector] holds the [Config] in force, which the admin API replaces at any
// time. A cloud wraps its handlers with [Injector.Call] and asks the rest.
package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxLatency bounds Config.Latency: above it every client has given up.
const MaxLatency = time.Minute

// Config is which faults are made. The zero Config makes none.
type Config struct {
	// Throttle is the share of calls, 0..1, that are refused as too many.
	Throttle float64 `json:"throttle"`

	// DropAfterCommit is the share of mutating calls, 0..1, that do their work
	// and whose connection is then closed without an answer.
	DropAfterCommit float64 `json:"dropAfterCommit"`

	// AsyncFail is the share of creations, 0..1, that are accepted and fail
	// afterwards, in the cloud's own way.
	AsyncFail float64 `json:"asyncFail"`

	// Latency is added to every call.
	Latency Duration `json:"latency"`

	// Hidden is how long a new machine is not found by its id, where the cloud
	// is one that is consistent only eventually.
	Hidden Duration `json:"hidden"`

	// BootTime is, by cloud, what passes before a started machine runs, in place
	// of what the program was started with: {"gcp": "40s"}.
	BootTime map[string]Duration `json:"bootTime,omitempty"`

	// DeleteTime is, by cloud, how long a deleted machine is still there.
	DeleteTime map[string]Duration `json:"deleteTime,omitempty"`

	// Quota bounds how many objects may exist, by "CLOUD/KIND" or
	// "CLOUD/REGION/KIND" with the kinds of the inventory: {"aws/vm": 4}.
	Quota map[string]int `json:"quota,omitempty"`

	// NoCapacity lists where no VM can be started: "CLOUD/REGION" or
	// "CLOUD/ZONE", such as "aws/us-east-1a".
	NoCapacity []string `json:"noCapacity,omitempty"`

	// DropNext drops the answers of the next N calls of an action, whatever
	// the shares say: {"RunInstances": 1}. It counts down as they are dropped.
	DropNext map[string]int `json:"dropNext,omitempty"`

	// Seed makes the shares repeatable: the same calls in the same order meet
	// the same faults. 0 = another course each time.
	Seed uint64 `json:"seed,omitempty"`
}

// Duration is a time.Duration that JSON writes as "50ms".
type Duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errors.New(`want a duration as a text, such as "50ms"`)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf(`%q: want a duration such as "50ms"`, s)
	}
	*d = Duration(v)
	return nil
}

// Parse reads a Config for clouds from JSON, refuses keys and clouds it does not
// know, and validates.
func Parse(r io.Reader, clouds []string) (Config, error) {
	var c Config
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("faults: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("faults: more than one JSON value")
	}
	return c, errors.Join(c.Validate(), c.strangers(clouds))
}

// strangers names every place whose cloud is none of clouds.
func (c Config) strangers(clouds []string) error {
	var errs []error
	check := func(field, place string) {
		if name, _, _ := strings.Cut(place, "/"); !slices.Contains(clouds, name) {
			errs = append(errs, fmt.Errorf("%s: no cloud %q: want one of %s", field, name, strings.Join(clouds, ", ")))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.BootTime)) {
		check("bootTime."+k, k)
	}
	for _, k := range slices.Sorted(maps.Keys(c.DeleteTime)) {
		check("deleteTime."+k, k)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Quota)) {
		check("quota."+k, k)
	}
	for i, p := range c.NoCapacity {
		check(fmt.Sprintf("noCapacity[%d]", i), p)
	}
	return errors.Join(errs...)
}

// Validate names everything that is wrong, joined.
func (c Config) Validate() error {
	var errs []error
	for _, s := range []struct {
		name  string
		share float64
	}{{"throttle", c.Throttle}, {"dropAfterCommit", c.DropAfterCommit}, {"asyncFail", c.AsyncFail}} {
		if !(s.share >= 0 && s.share <= 1) {
			errs = append(errs, fmt.Errorf("%s: %v: want 0 to 1", s.name, s.share))
		}
	}
	if c.Latency < 0 || time.Duration(c.Latency) > MaxLatency {
		errs = append(errs, fmt.Errorf("latency: %s: want 0 to %s", time.Duration(c.Latency), MaxLatency))
	}
	if c.Hidden < 0 {
		errs = append(errs, fmt.Errorf("hidden: %s: want at least 0", time.Duration(c.Hidden)))
	}
	for _, m := range []struct {
		name  string
		times map[string]Duration
	}{{"bootTime", c.BootTime}, {"deleteTime", c.DeleteTime}} {
		for _, k := range slices.Sorted(maps.Keys(m.times)) {
			if m.times[k] < 0 {
				errs = append(errs, fmt.Errorf("%s.%s: %s: want at least 0", m.name, k, time.Duration(m.times[k])))
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.Quota)) {
		if n := strings.Count(k, "/"); n < 1 || n > 2 {
			errs = append(errs, fmt.Errorf("quota.%s: want CLOUD/KIND or CLOUD/REGION/KIND", k))
		}
		if c.Quota[k] < 0 {
			errs = append(errs, fmt.Errorf("quota.%s: %d: want at least 0", k, c.Quota[k]))
		}
	}
	for i, p := range c.NoCapacity {
		if strings.Count(p, "/") != 1 {
			errs = append(errs, fmt.Errorf("noCapacity[%d]: %q: want CLOUD/REGION or CLOUD/ZONE", i, p))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.DropNext)) {
		if c.DropNext[k] < 0 {
			errs = append(errs, fmt.Errorf("dropNext.%s: %d: want at least 0", k, c.DropNext[k]))
		}
	}
	return errors.Join(errs...)
}

func (c Config) clone() Config {
	c.BootTime = maps.Clone(c.BootTime)
	c.DeleteTime = maps.Clone(c.DeleteTime)
	c.Quota = maps.Clone(c.Quota)
	c.NoCapacity = slices.Clone(c.NoCapacity)
	c.DropNext = maps.Clone(c.DropNext)
	return c
}

// Injector decides call by call. Its methods may be called concurrently.
type Injector struct {
	mu   sync.Mutex // guards the fields below
	conf Config
	rand *rand.Rand
}

// New makes an Injector; the Config must be valid.
func New(c Config) *Injector {
	i := &Injector{}
	i.Set(c)
	return i
}

// Set replaces the Config, which must be valid, for all later calls.
func (i *Injector) Set(c Config) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conf = c.clone()
	seed := c.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	i.rand = rand.New(rand.NewPCG(seed, seed))
}

// Config is what is in force, with DropNext as far as it has counted down.
func (i *Injector) Config() Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.conf.clone()
}

// Throttled decides whether a call is refused as too many.
func (i *Injector) Throttled() bool {
	return i.chance(func(c *Config) float64 { return c.Throttle })
}

// AsyncFail decides whether a creation that is accepted now fails afterwards.
func (i *Injector) AsyncFail() bool {
	return i.chance(func(c *Config) float64 { return c.AsyncFail })
}

// Quota is how many objects of a kind may exist: of the region if that is
// bounded, otherwise of the cloud. Not bounded is false.
func (i *Injector) Quota(cloud, region, kind string) (int, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n, ok := i.conf.Quota[cloud+"/"+region+"/"+kind]; ok {
		return n, true
	}
	n, ok := i.conf.Quota[cloud+"/"+kind]
	return n, ok
}

// NoCapacity tells whether one of the places (region, zone) of a cloud has no
// room for VMs.
func (i *Injector) NoCapacity(cloud string, places ...string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range places {
		if slices.Contains(i.conf.NoCapacity, cloud+"/"+p) {
			return true
		}
	}
	return false
}

// Latency is what is added to every call.
func (i *Injector) Latency() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Duration(i.conf.Latency)
}

// Hidden is how long a new machine is not found by its id.
func (i *Injector) Hidden() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Duration(i.conf.Hidden)
}

// BootTime is what passes before a cloud's started machine runs; usual unless
// the Config says otherwise.
func (i *Injector) BootTime(cloud string, usual time.Duration) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	if d, ok := i.conf.BootTime[cloud]; ok {
		return time.Duration(d)
	}
	return usual
}

// DeleteTime is how long a cloud's deleted machine is still there.
func (i *Injector) DeleteTime(cloud string) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Duration(i.conf.DeleteTime[cloud])
}

func (i *Injector) chance(share func(*Config) float64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := share(&i.conf)
	return s > 0 && i.rand.Float64() < s
}

// drop decides whether the answer of a mutating call is lost.
func (i *Injector) drop(action string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conf.DropNext[action] > 0 {
		i.conf.DropNext[action]--
		return true
	}
	return i.conf.DropAfterCommit > 0 && i.rand.Float64() < i.conf.DropAfterCommit
}
