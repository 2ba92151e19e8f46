package cloud

import (
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of VMSpec.Labels, those of the strictest cloud: Alibaba takes 20 tags,
// four of which are the mark, and GCP 63 characters of a narrow alphabet.
const (
	MaxLabels = 16
	MaxLabel  = 36 // bytes of a key or a value: twelve characters of Hangul, Kanji or Hanzi
)

// escape begins an encoded label. What begins with it is encoded itself, so
// that no two labels look alike.
const escape = "x--"

var (
	plainLabel = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	labelCode  = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
)

// EncodeLabel writes a key or a value in the narrowest alphabet of all clouds,
// that of a DNS label (RFC 1123): what is one already stays as it is, all else
// becomes "x--" and the base32hex (RFC 4648) of its UTF-8. The empty text stays
// empty. [DecodeLabel] is its inverse. Text of at most [MaxLabel] bytes takes at
// most 61 characters.
func EncodeLabel(s string) string {
	if s == "" || plainLabel.MatchString(s) && !strings.HasPrefix(s, escape) {
		return s
	}
	return escape + labelCode.EncodeToString([]byte(s))
}

// DecodeLabel reads what [EncodeLabel] wrote, and returns as it is what that
// cannot have written: a label of others.
func DecodeLabel(s string) string {
	code, ok := strings.CutPrefix(s, escape)
	if !ok {
		return s
	}
	raw, err := labelCode.DecodeString(code)
	if err != nil || !utf8.Valid(raw) || EncodeLabel(string(raw)) != s {
		return s
	}
	return string(raw)
}

// UserLabels returns what is not the mark of an object's tags.
func UserLabels(tags map[string]string) map[string]string {
	labels := maps.Clone(tags)
	maps.DeleteFunc(labels, func(k, _ string) bool { return strings.HasPrefix(k, markPrefix) })
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// CheckLabel reports what is wrong with a label of VMSpec.Labels.
func CheckLabel(key, value string) error {
	switch {
	case key == "":
		return errors.New("label: a key is empty")
	case strings.HasPrefix(key, markPrefix):
		return fmt.Errorf("label %q: keys that begin with %q are not for users", key, markPrefix)
	case len(key) > MaxLabel || len(value) > MaxLabel:
		return fmt.Errorf("label %.40q: %.40q: want at most %d bytes each", key, value, MaxLabel)
	case !utf8.ValidString(key + value):
		return fmt.Errorf("label %q: %q: want UTF-8", key, value)
	case strings.ContainsFunc(key+value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("label %q: %q: want no control characters", key, value)
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	var errs []error
	if len(labels) > MaxLabels {
		errs = append(errs, fmt.Errorf("labels: %d, at most %d are possible", len(labels), MaxLabels))
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		errs = append(errs, CheckLabel(k, labels[k]))
	}
	return errors.Join(errs...)
}
