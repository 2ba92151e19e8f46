package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
)

// registerLogLevel gives all verbs --log-level: at debug every call of the API
// is logged to standard error. Progress and errors are no log; they are written
// in any case.
func registerLogLevel(root *cobra.Command) {
	root.PersistentFlags().String("log-level", "warn", "debug, info, warn or error; debug shows the calls of the server")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		_, err := newLog(cmd)
		return err
	}
}

// newLog returns the log of a command.
func newLog(cmd *cobra.Command) (*slog.Logger, error) {
	f := cmd.Flag("log-level")
	if f == nil {
		return slog.New(slog.DiscardHandler), nil
	}
	var level slog.Level
	switch s := f.Value.String(); s {
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(s)); err != nil {
			return nil, usageError{fmt.Errorf("--log-level: %w", err)}
		}
	default:
		return nil, usageError{fmt.Errorf("--log-level: %.40q: want debug, info, warn or error", s)}
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})), nil
}
