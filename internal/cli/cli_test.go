package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/internal/cli"
)

func TestReport(t *testing.T) {
	plain := errors.New("broken")
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"done", nil, cli.Done, ""},
		{"failed", plain, cli.Failed, "prog: broken\n"},
		{"two faults", errors.Join(plain, errors.New("late")), cli.Failed, "prog: broken\nprog: late\n"},
		{"usage", cli.Usage(plain), cli.WrongUsage, "prog: broken\nprog: see prog --help\n"},
		{"usage among others", fmt.Errorf("run: %w", errors.Join(plain, cli.Usage(plain))), cli.WrongUsage, "prog: run: broken\nprog: broken\nprog: see prog --help\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w bytes.Buffer
			if code := cli.Report(&w, "prog", tt.err); code != tt.code || w.String() != tt.want {
				t.Errorf("code %d, %q; want %d, %q", code, w.String(), tt.code, tt.want)
			}
		})
	}
	if !errors.Is(cli.Usage(plain), plain) {
		t.Error("the cause is lost")
	}
}

// hang makes this program one that takes its time to end.
const hang = "CBNET_CLI_HANG"

func TestMain(m *testing.M) {
	if os.Getenv(hang) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := cli.Context()
	defer stop()
	fmt.Println("up")
	<-ctx.Done()
	fmt.Println("ends")
	select {}
}

// The first signal is for the program, the second one for whatever hangs in it.
func TestSecondSignalEnds(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), hang+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines [2]string
	for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if _, err := fmt.Fscanln(out, &lines[i]); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // the handler is taken off at the same time
			end := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
			defer end.Stop()
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-again.C: // what came before the handler was off went to it
			_ = cmd.Process.Signal(syscall.SIGTERM)
			continue
		case err = <-ended:
		}
		break
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM || lines != [2]string{"up", "ends"} {
		t.Errorf("%v after %q; want the end by the second signal", err, lines)
	}
}
