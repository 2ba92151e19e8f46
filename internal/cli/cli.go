// Package cli is what the commands have in common: how they end by a signal,
// what they write of an error, and their exit codes, 0 done, 1 failed, 2 wrong
// usage. It decides nothing about what went wrong: that is each command's own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes of all commands.
const (
	Done       = 0
	Failed     = 1
	WrongUsage = 2
)

// Context returns a context that ends with the first SIGTERM or SIGINT. A second
// one ends the process at once, whatever hangs. The function gives the signals
// back to the system.
func Context() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// UsageError is a fault in the command line.
type UsageError struct{ Err error }

// Usage makes an error a fault in the command line.
func Usage(err error) error { return UsageError{Err: err} }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e UsageError) Unwrap() error { return e.Err }

// Write writes an error in the name of a program, each fault on a line of its own.
func Write(w io.Writer, program string, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "%s: %s\n", program, strings.TrimSuffix(line, "\n"))
	}
}

// Report writes an error, if there is one, and returns the exit code for it.
func Report(w io.Writer, program string, err error) int {
	if err == nil {
		return Done
	}
	Write(w, program, err)
	if _, ok := errors.AsType[UsageError](err); ok {
		fmt.Fprintf(w, "%s: see %s --help\n", program, program)
		return WrongUsage
	}
	return Failed
}
