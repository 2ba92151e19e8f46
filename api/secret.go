package api

import "log/slog"

// Secret is text that must not be printed: a token, a cloud's credentials. It
// goes over the wire as it is, and everywhere else it shows as REDACTED. Convert
// it to string where the value itself is needed.
type Secret string

const redacted = "REDACTED"

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }
