package protocol

import "log/slog"

// logger makes log lines actions. Messages are constant, args are keys and values.
type logger struct{ m *Machine }

// Debug says what else there is.
func (l logger) Debug(msg string, args ...any) { l.line(slog.LevelDebug, msg, args) }

// Info says that a state has changed.
func (l logger) Info(msg string, args ...any) { l.line(slog.LevelInfo, msg, args) }

// Warn says what is odd, but heals by itself.
func (l logger) Warn(msg string, args ...any) { l.line(slog.LevelWarn, msg, args) }

// Error says what a human must see to.
func (l logger) Error(msg string, args ...any) { l.line(slog.LevelError, msg, args) }

func (l logger) line(level slog.Level, msg string, args []any) {
	l.m.do(Log{Level: level, Message: msg, Args: args})
}

// warn logs what others do wrong, at a bounded rate: they must not fill the disk.
func (m *Machine) warn(msg string, args ...any) {
	m.do(Log{Level: slog.LevelWarn, Message: msg, Args: args, Limited: true})
}
