package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/guard"
)

// fake is a driver whose calls return the errors of a list, one after the
// other, and then succeed.
type fake struct {
	mu    sync.Mutex
	errs  []error
	calls []time.Time
	block bool // until the context ends
}

func (f *fake) next(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, time.Now())
	if f.block {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, ctx.Err())
	}
	if len(f.errs) == 0 {
		return nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return err
}

func (f *fake) Provider() string { return "fake" }
func (f *fake) Regions(ctx context.Context) ([]cloud.Region, error) {
	return []cloud.Region{{Name: "r"}}, f.next(ctx)
}
func (f *fake) EnsureNetwork(ctx context.Context, _ cloud.NetworkSpec) (cloud.Network, error) {
	return cloud.Network{ID: "n", SubnetID: "s", SecurityGroup: "g"}, f.next(ctx)
}
func (f *fake) CreateVM(ctx context.Context, s cloud.VMSpec) (cloud.VM, error) {
	return cloud.VM{ID: "v", Token: s.Token}, f.next(ctx)
}
func (f *fake) Delete(ctx context.Context, _ cloud.Resource) error { return f.next(ctx) }
func (f *fake) List(ctx context.Context, _ string, _ cloud.Owner) ([]cloud.Resource, error) {
	return nil, f.next(ctx)
}
func (f *fake) Specs(ctx context.Context, _ string) ([]cloud.Spec, error)   { return nil, f.next(ctx) }
func (f *fake) Images(ctx context.Context, _ string) ([]cloud.Image, error) { return nil, f.next(ctx) }

type console struct{}

func (console) ConsoleOutput(context.Context, string, string) (string, error) { return "text", nil }

type power struct{}

func (power) Start(context.Context, string, string) error  { return nil }
func (power) Stop(context.Context, string, string) error   { return nil }
func (power) Reboot(context.Context, string, string) error { return nil }

type pricer struct{}

func (pricer) PricePerHour(string, string) (float64, bool) { return 0.5, true }

func TestRepeat(t *testing.T) {
	lost := fmt.Errorf("x: %w", cloud.ErrUnavailable)
	create := func(ctx context.Context, d cloud.Driver) error {
		_, err := d.CreateVM(ctx, cloud.VMSpec{Region: "r"})
		return err
	}
	list := func(ctx context.Context, d cloud.Driver) error {
		_, err := d.List(ctx, "r", cloud.Owner{})
		return err
	}
	for _, tc := range []struct {
		name  string
		errs  []error
		do    func(context.Context, cloud.Driver) error
		calls int
		want  error
	}{
		{"success", nil, create, 1, nil},
		{"lost answer", []error{lost}, create, 2, nil},
		{"throttled", []error{cloud.ErrThrottled, cloud.ErrThrottled}, list, 3, nil},
		{"not found just after create", []error{cloud.ErrNotFound}, create, 2, nil},
		{"not found for good", []error{cloud.ErrNotFound, cloud.ErrNotFound, cloud.ErrNotFound, cloud.ErrNotFound, cloud.ErrNotFound, cloud.ErrNotFound}, create, 5, cloud.ErrNotFound},
		{"not found while reading", []error{cloud.ErrNotFound}, list, 1, cloud.ErrNotFound},
		{"quota", []error{cloud.ErrQuota}, create, 1, cloud.ErrQuota},
		{"unknown error", []error{errors.New("x")}, create, 1, nil},
		{"without end", []error{lost, lost, lost, lost, lost}, create, 4, cloud.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{errs: tc.errs}
				tries := 8
				if tc.name == "without end" {
					tries = 4
				}
				err := tc.do(t.Context(), guard.New(f, guard.Options{Tries: tries}))
				if len(f.calls) != tc.calls {
					t.Errorf("%d calls, want %d", len(f.calls), tc.calls)
				}
				if tc.name == "unknown error" {
					if err == nil {
						t.Error("no error")
					}
				} else if !errors.Is(err, tc.want) {
					t.Errorf("error %v, want %v", err, tc.want)
				}
			})
		})
	}
}

func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{errs: []error{cloud.ErrUnavailable, cloud.ErrUnavailable, &cloud.APIError{Class: cloud.ErrThrottled, After: 7 * time.Second}}}
		d := guard.New(f, guard.Options{Pause: time.Second, MaxPause: 2 * time.Second})
		if err := d.Delete(t.Context(), cloud.Resource{}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct{ least, most time.Duration }{
			{time.Second / 2, time.Second}, {time.Second, 2 * time.Second}, {7 * time.Second, 7*time.Second + 100*time.Millisecond},
		} {
			if got := f.calls[i+1].Sub(f.calls[i]); got < want.least || got > want.most {
				t.Errorf("pause %d is %s, want between %s and %s", i, got, want.least, want.most)
			}
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{block: true}
		start := time.Now()
		_, err := guard.New(f, guard.Options{Tries: 2, ReadTimeout: 3 * time.Second}).List(t.Context(), "r", cloud.Owner{})
		if !errors.Is(err, context.DeadlineExceeded) || len(f.calls) != 2 {
			t.Errorf("got %v after %d calls, want two that time out", err, len(f.calls))
		}
		if took := time.Since(start); took < 6*time.Second || took > 7*time.Second {
			t.Errorf("took %s, want two tries of 3 s", took)
		}
	})
}

func TestEndOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{errs: []error{&cloud.APIError{Class: cloud.ErrThrottled, After: time.Hour}}}
		d := guard.New(f, guard.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := d.Delete(ctx, cloud.Resource{}); !errors.Is(err, cloud.ErrThrottled) || time.Since(start) > time.Second {
			t.Errorf("got %v after %s, want the throttle at once: no try is possible before the end", err, time.Since(start))
		}
	})
}

// TestAnHourIsTooLong asserts that no answer stops all calls for an hour.
func TestAnHourIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{errs: []error{&cloud.APIError{Class: cloud.ErrThrottled, After: time.Hour}}}
		start := time.Now()
		if err := guard.New(f, guard.Options{}).Delete(t.Context(), cloud.Resource{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("took %s, want five minutes", took)
		}
	})
}

// mute is a cloud that says yes and not to what.
type mute struct{ *fake }

func (m mute) EnsureNetwork(ctx context.Context, _ cloud.NetworkSpec) (cloud.Network, error) {
	return cloud.Network{ID: "n"}, m.next(ctx)
}

func (m mute) CreateVM(ctx context.Context, _ cloud.VMSpec) (cloud.VM, error) {
	return cloud.VM{}, m.next(ctx)
}

func TestAnswersWithoutIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := guard.New(mute{&fake{}}, guard.Options{Tries: 2})
		if net, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{}); !errors.Is(err, cloud.ErrUnavailable) {
			t.Errorf("got %+v, %v", net, err)
		}
		if vm, err := d.CreateVM(t.Context(), cloud.VMSpec{}); !errors.Is(err, cloud.ErrUnavailable) {
			t.Errorf("got %+v, %v", vm, err)
		}
	})
}

type nat struct{}

func (nat) NAT() string { return "Cloud NAT" }

type quoter struct{ errs []error }

type keyTypes struct{}

func (keyTypes) SSHKeyTypes() []string { return []string{"ssh-rsa"} }

func (q *quoter) Quotas(context.Context, string) ([]cloud.Quota, error) {
	if len(q.errs) > 0 {
		err := q.errs[0]
		q.errs = q.errs[1:]
		return nil, err
	}
	return []cloud.Quota{{Name: "CPUS", Used: 1, Limit: 8}}, nil
}

// has lists the capabilities of a driver.
func has(d cloud.Driver) (out []string) {
	note := func(name string, ok bool) {
		if ok {
			out = append(out, name)
		}
	}
	_, ok := cloud.As[cloud.Catalog](d)
	note("catalog", ok)
	_, ok = cloud.As[cloud.Console](d)
	note("console", ok)
	_, ok = cloud.As[cloud.Power](d)
	note("power", ok)
	_, ok = cloud.As[cloud.Pricer](d)
	note("pricer", ok)
	_, ok = cloud.As[cloud.NAT](d)
	note("nat", ok)
	_, ok = cloud.As[cloud.KeyTypes](d)
	note("key types", ok)
	_, ok = cloud.As[cloud.Quoter](d)
	note("quoter", ok)
	return out
}

func TestCapabilities(t *testing.T) {
	base := &fake{}
	for _, tc := range []struct {
		name string
		d    guard.Driver
	}{
		{"none", base},
		{"console", struct {
			*fake
			console
		}{fake: base}},
		{"power and pricer", struct {
			*fake
			power
			pricer
		}{fake: base}},
		{"a way out", struct {
			*fake
			nat
		}{fake: base}},
		{"types of keys", struct {
			*fake
			keyTypes
		}{fake: base}},
		{"quotas", struct {
			*fake
			*quoter
		}{base, &quoter{}}},
		{"all", struct {
			*fake
			console
			power
			pricer
			nat
			keyTypes
			*quoter
		}{fake: base, quoter: &quoter{}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := has(guard.New(tc.d, guard.Options{}))
			if d := cmp.Diff(has(tc.d), got); d != "" {
				t.Errorf("capabilities (-driver's +guard's):\n%s", d)
			}
		})
	}
}

func TestCapabilitiesAreGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := struct {
			*fake
			console
			power
			pricer
			nat
			*quoter
		}{fake: &fake{}, quoter: &quoter{errs: []error{cloud.ErrThrottled, cloud.ErrUnavailable}}}
		d := guard.New(all, guard.Options{})
		c, _ := cloud.As[cloud.Console](d)
		if s, err := c.ConsoleOutput(t.Context(), "r", "i"); s != "text" || err != nil {
			t.Errorf("console: %q, %v", s, err)
		}
		p, _ := cloud.As[cloud.Power](d)
		if err := errors.Join(p.Start(t.Context(), "r", "i"), p.Stop(t.Context(), "r", "i"), p.Reboot(t.Context(), "r", "i")); err != nil {
			t.Error(err)
		}
		pr, _ := cloud.As[cloud.Pricer](d)
		if v, ok := pr.PricePerHour("r", "s"); v != 0.5 || !ok {
			t.Errorf("price %v, %t", v, ok)
		}
		n, _ := cloud.As[cloud.NAT](d)
		if n.NAT() != "Cloud NAT" {
			t.Errorf("way out %q", n.NAT())
		}
		q, _ := cloud.As[cloud.Quoter](d)
		if list, err := q.Quotas(t.Context(), "r"); err != nil || len(list) != 1 || len(all.quoter.errs) != 0 {
			t.Errorf("quotas after two failures: %v, %v", list, err)
		}
	})
}

func TestMetricsAndLog(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := guard.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f := &fake{errs: []error{cloud.ErrThrottled}}
	d := guard.New(f, guard.Options{
		Account: "acc", Metrics: m, Pause: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	_, err = d.CreateVM(t.Context(), cloud.VMSpec{Region: "r", Name: "web-1", Token: "tok-secret", UserData: []byte("user-secret")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "cbnet_cloud_calls_total" && l.GetName() == "result" {
					got[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{"ok": 1, "throttled": 1}, got); diff != "" {
		t.Errorf("calls by result (-want +got):\n%s", diff)
	}
	if n := strings.Count(log.String(), "object=web-1"); n != 2 {
		t.Errorf("%d lines about web-1, want 2:\n%s", n, &log)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("a secret in the log:\n%s", &log)
	}
	m.Close()
	if got, _ := reg.Gather(); len(got) != 0 {
		t.Errorf("%d metrics left after Close", len(got))
	}
}
