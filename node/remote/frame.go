package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is one byte of kind, four bytes of length (big endian) and that many
// bytes. A stream of frames ends with one of kind exit or fail.
type kind byte

const (
	kindStdout kind = 1
	kindStderr kind = 2
	kindExit   kind = 3 // payload: the exit code, four bytes
	kindFail   kind = 4 // payload: why the command could not be run or was ended
	kindAlive  kind = 5 // no payload: the command runs and is silent
)

// maxFrame bounds a frame's payload: the size of one read from a pipe.
const maxFrame = 64 << 10

// errFrame: bytes that are no frame.
var errFrame = errors.New("malformed answer")

func writeFrame(w io.Writer, k kind, payload []byte) error {
	head := [5]byte{byte(k)}
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

// readFrame reads one frame; the payload is valid until buf is used again. A
// stream that ends between frames is io.EOF.
func readFrame(r io.Reader, buf []byte) (kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes: %w", n, errFrame)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, fmt.Errorf("cut frame: %w", err)
	}
	return kind(head[0]), buf[:n], nil
}
