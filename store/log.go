package store

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap returns a logger for etcd that passes errors, and nothing less, to
// ours. What etcd calls fatal is an error here: no library ends our process by
// logging.
func newZap(log *slog.Logger) *zap.Logger {
	return zap.New(bridge{log: log}, zap.WithFatalHook(zapcore.WriteThenGoexit))
}

// bridge is a zapcore.Core over slog.
type bridge struct {
	log    *slog.Logger
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
	b.log.LogAttrs(context.Background(), slog.LevelError, "etcd", slog.String("message", e.Message), slog.Any("fields", enc.Fields))
	return nil
}

// Sync implements zapcore.Core.
func (b bridge) Sync() error { return nil }
