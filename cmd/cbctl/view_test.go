package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/api"
)

func TestTableLeavesEmptyColumnsOut(t *testing.T) {
	tests := []struct {
		name string
		fill func(*table)
		want string
	}{
		{"nobody has a reason", func(t *table) { t.head("NAME", "WHY", "N"); t.row("a", "", "1"); t.row("b", "", "") }, "NAME  N\na     1\nb     -\n"},
		{"one has", func(t *table) { t.head("NAME", "WHY"); t.row("a", ""); t.row("b", "x\x1by") }, "NAME  WHY\na     -\nb     x y\n"},
		{"no rows", func(t *table) { t.head("NAME", "WHY") }, "NAME  WHY\n"},
		{"no names", func(t *table) { t.row("a", "") }, "a  -\n"},
		{"notes between", func(t *table) { t.note("one\ntwo"); t.head("A", "B"); t.row("1", ""); t.note("end") }, "one two\nA\n1\nend\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			out := output{form: "table"}
			if err := out.print(&b, nil, tt.fill); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPlanRows(t *testing.T) {
	var b strings.Builder
	out := output{form: "table"}
	err := out.print(&b, nil, func(t *table) {
		planRows(t, []api.Plan{{Name: "shop", Unpriced: 1, Changes: []api.Change{
			{Action: "change", Kind: "network", Name: "net", Cloud: "gcp", Region: "r1", CIDR: "172.16.0.0/22", Egress: "Cloud NAT", Reason: "the way out is added"},
			{Action: "keep", Kind: "network", Name: "net", Cloud: "gcp", Region: "r2", CIDR: "172.16.4.0/22"},
			{Action: "create", Kind: "vm", Name: "shop-web-1", Cloud: "gcp", Region: "r1", Spec: "e2-small", Image: "debian-12"},
		}}})
	})
	const want = "" +
		"ACTION  KIND     NAME        CLOUD  REGION  SPEC                      IMAGE      WHY\n" +
		"change  network  net         gcp    r1      172.16.0.0/22, Cloud NAT  -          the way out is added\n" +
		"keep    network  net         gcp    r2      172.16.4.0/22             -          -\n" +
		"create  vm       shop-web-1  gcp    r1      e2-small                  debian-12  -\n" +
		"shop: 1 to create, 1 to change, 1 to keep; 1 node of unknown price\n"
	if err != nil || b.String() != want {
		t.Errorf("got\n%swant\n%s%v", b.String(), want, err)
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1450 * time.Millisecond: "1.4s", 12900 * time.Millisecond: "12s", 187 * time.Second: "3m07s", 26 * time.Hour: "26h00m",
	} {
		if got := clock(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestLiveLine(t *testing.T) {
	st := api.MCIS{Name: "shop", Phase: "applying", Desired: 3, Ready: 1, Nodes: []api.Node{
		{Name: "a", Phase: "ready"}, {Name: "b", Phase: "joining"}, {Name: "c", Phase: "creating"}, {Name: "d", Phase: "joining"},
	}}
	if got, want := liveLine(st), "shop: applying, 1 of 3 nodes ready; joining: b d; creating: c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLiveLineIsErased: an event takes the place of the live line, which is
// written again below it and never wider than the terminal.
func TestLiveLineIsErased(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.live, p.columns = true, 20
	p.status = api.MCIS{Name: "shop", Phase: "applying", Desired: 1000}
	p.draw()
	if err := p.show(api.Event{MCIS: "shop", Step: "plan", Message: "accepted"}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\r\x1b[K")
	if len(lines) != 2 || !strings.HasSuffix(strings.TrimSpace(lines[0]), "s  shop: apply") || len(lines[0]) != 19 {
		t.Fatalf("got %q", lines)
	}
	if !strings.Contains(lines[1], "accepted\n") || strings.HasSuffix(lines[1], "\n") || !p.stale {
		t.Errorf("got %q", lines[1])
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "YES\n": true, "y": true, "n\n": false, "\n": false, "": false, "yep\n": false} {
		if err := confirm(t.Context(), bufio.NewReader(strings.NewReader(in))); (err == nil) != want {
			t.Errorf("%q: %v, want yes: %v", in, err, want)
		}
	}
}

// TestConfirmInterrupted: nobody has to press return after ctrl-C.
func TestConfirmInterrupted(t *testing.T) {
	r, w := io.Pipe()
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := confirm(ctx, bufio.NewReader(r)); !errors.Is(err, errNotConfirmed) {
		t.Errorf("got %v, want %v", err, errNotConfirmed)
	}
}

func TestRetryNoticeOnce(t *testing.T) {
	var b strings.Builder
	tell := retryNotice(&b)
	tell(errors.New("refused"), time.Minute)
	tell(errors.New("refused"), time.Minute)
	if got, want := b.String(), "cbctl: refused; trying again for 1m0s\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInterrupted(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	failed := errors.New("refused")
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"not at all", t.Context(), failed, "refused"},
		{"in a call", ended, failed, "interrupted"},
		{"while waiting", ended, errInterrupted, "stopped waiting"},
		{"when asked", ended, errNotConfirmed, errNotConfirmed.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := interrupted(tt.ctx, tt.err); got.Error() != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
	if err := interrupted(ended, nil); err != nil {
		t.Errorf("done: %v", err)
	}
}
