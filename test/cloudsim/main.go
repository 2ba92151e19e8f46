// Command cloudsim simulates clouds on one Linux host: the vendors' wire
// protocols on one HTTP listener, and VMs that really boot, in namespaces.
//
//	cloudsim --listen 127.0.0.1:4000 --state /tmp/sim [--boot-time 2s] [--faults FILE]
//
// When ready it prints one JSON line to stdout with the URL of each cloud and of
// the admin API; logs go to stderr. DIR/credentials holds credentials for each
// cloud. SIGTERM or SIGINT removes everything that was made; what a killed
// cloudsim left is removed at the next start. There is one per network namespace.
//
// The admin API, below the admin URL:
//
//	GET /inventory         what clients created, in all clouds
//	GET /faults            the faults in force
//	PUT /faults            replaces them; see package faults
//	GET /vms/ID/console    the console of a VM, by its id in its cloud
//
// It is a test bed, not a product: it trusts everyone who can reach the listener,
// and results obtained with it are simulated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/internal/version"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	if fabric.IsInit(os.Args) {
		os.Exit(fabric.Init())
	}
	// Caught to the end: timeout(1) and terminals send a signal more than once,
	// and the clean-up, which has a deadline, must not be cut short.
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the command line, read and checked.
type settings struct {
	listen     string
	state      string
	bootTime   time.Duration
	faults     faults.Config
	noMachines bool
	level      slog.Level
}

// errDone says that the command line asked for something that is done already.
var errDone = errors.New("nothing else to do")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stdout, stderr)
	switch {
	case errors.Is(err, errDone):
		return exitDone
	case err != nil:
		fmt.Fprintln(stderr, "cloudsim:", err)
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: s.level}))
	if err := serve(ctx, s, stdout, log); err != nil {
		fmt.Fprintln(stderr, "cloudsim:", err)
		return exitFailed
	}
	return exitDone
}

// parse reads the command line and the files it names; its error tells all
// faults at once.
func parse(args []string, stdout, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("cloudsim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "`ADDR:PORT` of all APIs")
	flags.StringVar(&s.state, "state", "", "`DIR` for credentials and disks")
	flags.DurationVar(&s.bootTime, "boot-time", 2*time.Second, "`time` from the creation of a VM to its power-on")
	flags.TextVar(&s.level, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
	flags.BoolVar(&s.noMachines, "no-machines", false, "serve the APIs only: VMs change state and do not exist; needs no root")
	file := flags.String("faults", "", "`FILE` with the faults to start with, as for PUT /faults")
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return s, errDone
	} else if err != nil {
		return s, errors.New("see --help")
	}
	if *showVersion {
		fmt.Fprintln(stdout, "cloudsim", version.Version)
		return s, errDone
	}
	var errs []error
	if flags.NArg() > 0 {
		errs = append(errs, fmt.Errorf("argument %q: wants none", flags.Arg(0)))
	}
	if _, _, err := net.SplitHostPort(s.listen); err != nil {
		errs = append(errs, fmt.Errorf("--listen %s: want ADDR:PORT", s.listen))
	}
	if s.state == "" {
		errs = append(errs, errors.New("--state: want a directory"))
	}
	if s.bootTime < 0 {
		errs = append(errs, fmt.Errorf("--boot-time %s: must not be negative", s.bootTime))
	}
	var err error
	if s.faults, err = readFaults(*file); err != nil {
		errs = append(errs, fmt.Errorf("--faults: %w", err))
	}
	return s, errors.Join(errs...)
}

func readFaults(file string) (faults.Config, error) {
	if file == "" {
		return faults.Config{}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return faults.Config{}, err
	}
	defer f.Close()
	return faults.Parse(f, cloudNames)
}
