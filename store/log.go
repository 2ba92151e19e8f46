package store

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// startNoise is how long after its start the member's errors count as those of
// starting: it tries every four seconds what it could not do yet, so what lasts
// is said again. An error that ends the start is returned by Open.
const startNoise = 5 * time.Second

// phase says how loud etcd may be: while it starts and stops, its parts notice
// that others are not there yet or no more, and call that errors.
type phase struct {
	start   time.Time
	closing atomic.Bool
}

// level returns the level at which an error of etcd is logged now.
func (p *phase) level() slog.Level {
	if p.closing.Load() || time.Since(p.start) < startNoise {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// newZap returns a logger for etcd that passes errors, and nothing less, to
// ours. What etcd calls fatal is an error here, always: no library ends our
// process by logging.
func newZap(log *slog.Logger, p *phase) *zap.Logger {
	return zap.New(bridge{log: log, phase: p}, zap.WithFatalHook(zapcore.WriteThenGoexit))
}

// bridge is a zapcore.Core over slog.
type bridge struct {
	log    *slog.Logger
	phase  *phase
	fields []zapcore.Field
}

var _ zapcore.Core = bridge{}

// Enabled implements zapcore.Core.
func (b bridge) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }

// With implements zapcore.Core.
func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	b.fields = append(append([]zapcore.Field(nil), b.fields...), fields...)
	return b
}

// Check implements zapcore.Core.
func (b bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

// Write implements zapcore.Core.
func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(b.fields, fields...) {
		f.AddTo(enc)
	}
	level := b.phase.level()
	if e.Level > zapcore.ErrorLevel {
		level = slog.LevelError // etcd gives up
	}
	b.log.LogAttrs(context.Background(), level, "etcd", slog.String("message", e.Message), slog.Any("fields", enc.Fields))
	return nil
}

// Sync implements zapcore.Core.
func (b bridge) Sync() error { return nil }
