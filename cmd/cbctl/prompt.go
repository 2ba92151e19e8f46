package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errNotConfirmed: the user was asked and did not say yes.
var errNotConfirmed = errors.New("not confirmed; nothing was done")

// unlessInterrupted reads from the user, or gives up when ctx ends: a read of a
// terminal cannot be ended, so it is left behind.
func unlessInterrupted[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ch := make(chan answer, 1)
	go func() {
		v, err := read()
		ch <- answer{v, err}
	}()
	select {
	case a := <-ch:
		return a.value, a.err
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr) // the ^C stands at the end of the question
		var zero T
		return zero, errNotConfirmed
	}
}

// confirm reads an answer and fails unless it is yes.
func confirm(ctx context.Context, in *bufio.Reader) error {
	answer, err := unlessInterrupted(ctx, func() (string, error) { return in.ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}

// readSecret reads a line from the terminal without showing it. Interrupted, it
// leaves the terminal as it was.
func readSecret(ctx context.Context) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	data, err := unlessInterrupted(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		return nil, errors.Join(err, term.Restore(fd, state))
	}
	return data, err
}
