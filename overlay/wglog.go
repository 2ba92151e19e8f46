package overlay

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

// wgLogEvery is the least time between two warnings of one kind from
// wireguard-go: it repeats some for every packet.
const wgLogEvery = 10 * time.Minute

// keyLike matches what may be a key, in hex or base64.
var keyLike = regexp.MustCompile(`[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=|(private|preshared)_key.*|line ".*`)

// redact takes out of a message whatever may be a secret.
func redact(s string) string { return keyLike.ReplaceAllString(s, "REDACTED") }

// wgLogger adapts a logger to wireguard-go: its errors, which mend themselves,
// become warnings, each kind at most once per wgLogEvery; the rest is debug.
func wgLogger(log *slog.Logger) *device.Logger {
	var mu sync.Mutex
	last := make(map[string]time.Time) // by format, of which there are a few dozen
	return &device.Logger{
		Verbosef: func(format string, args ...any) {
			if log.Enabled(context.Background(), slog.LevelDebug) {
				log.Debug("wireguard", "detail", redact(fmt.Sprintf(format, args...)))
			}
		},
		Errorf: func(format string, args ...any) {
			now := time.Now()
			mu.Lock()
			due := now.Sub(last[format]) >= wgLogEvery
			if due {
				last[format] = now
			}
			mu.Unlock()
			level := slog.LevelDebug
			if due {
				level = slog.LevelWarn
			}
			log.Log(context.Background(), level, "wireguard", "detail", redact(fmt.Sprintf(format, args...)))
		},
	}
}
