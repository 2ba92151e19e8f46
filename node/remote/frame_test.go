package remote

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrames(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		code int
		out  string
		want error
	}{
		{name: "exit", in: []byte{1, 0, 0, 0, 2, 'h', 'i', 3, 0, 0, 0, 4, 0, 0, 0, 9}, code: 9, out: "hi"},
		{name: "sign of life", in: []byte{5, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0}},
		{name: "unknown kinds are skipped", in: []byte{99, 0, 0, 0, 1, 7, 3, 0, 0, 0, 4, 0, 0, 0, 0}},
		{name: "cut between frames", in: []byte{1, 0, 0, 0, 1, 'h'}, out: "h", want: io.ErrUnexpectedEOF},
		{name: "cut head", in: []byte{1, 0, 0}, want: io.ErrUnexpectedEOF},
		{name: "cut payload", in: []byte{1, 0, 0, 0, 3, 'h'}, want: io.ErrUnexpectedEOF},
		{name: "too large", in: []byte{1, 0xff, 0xff, 0xff, 0xff}, want: errFrame},
		{name: "short code", in: []byte{3, 0, 0, 0, 1, 1}, want: errFrame},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			code, err := copyFrames(bytes.NewReader(tt.in), Command{Stdout: &out})
			if !errors.Is(err, tt.want) || code != tt.code || out.String() != tt.out {
				t.Errorf("code %d, output %q, %v; want %d, %q, %v", code, out.String(), err, tt.code, tt.out, tt.want)
			}
		})
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 'h', 'i', 3, 0, 0, 0, 4, 0, 0, 0, 9})
	f.Add([]byte{4, 0, 0, 0, 2, 'n', 'o'})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out, errs bytes.Buffer
		_, err := copyFrames(bytes.NewReader(data), Command{Stdout: &out, Stderr: &errs})
		if err == nil && len(data) < 9 {
			t.Errorf("%x is no whole stream", data)
		}
		if out.Len()+errs.Len() > len(data) {
			t.Error("more output than input")
		}
	})
}
