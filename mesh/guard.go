package mesh

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Kinds of memberlist's messages: their numbers are part of its protocol
// (memberlist v0.7, net.go).
const (
	gossipPing         = 0
	gossipIndirectPing = 1
	gossipAck          = 2
	gossipSuspect      = 3
	gossipAlive        = 4
	gossipDead         = 5
	gossipPushPull     = 6
	gossipCompound     = 7
	gossipNack         = 11
	gossipCRC          = 12
	gossipError        = 13
	gossipLabel        = 244
)

// checkPacket refuses packets that no node of ours sends and that cost much to
// read: compressed ones above all, which memberlist would blow up to 40 MiB
// each.
func checkPacket(b []byte) error {
	if len(b) > maxPacket {
		return fmt.Errorf("packet of %d bytes: %w", len(b), protocol.ErrTooLarge)
	}
	if len(b) >= 2 && b[0] == gossipLabel {
		b = b[min(2+int(b[1]), len(b)):]
	}
	if len(b) >= 5 && b[0] == gossipCRC {
		b = b[5:]
	}
	if len(b) < 2 || b[0] != gossipCompound {
		return checkKind(b)
	}
	n := int(b[1])
	sizes, parts := b[2:], []byte(nil)
	if len(sizes) < 2*n {
		return fmt.Errorf("packet cut short: %w", protocol.ErrMalformed)
	}
	sizes, parts = sizes[:2*n], sizes[2*n:]
	for ; len(sizes) > 0; sizes = sizes[2:] {
		size := int(binary.BigEndian.Uint16(sizes))
		if size > len(parts) {
			return fmt.Errorf("packet cut short: %w", protocol.ErrMalformed)
		}
		if err := checkKind(parts[:size]); err != nil {
			return err
		}
		parts = parts[size:]
	}
	return nil
}

// checkKind accepts the messages that stand in packets.
func checkKind(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("empty packet: %w", protocol.ErrMalformed)
	}
	switch b[0] {
	case gossipPing, gossipIndirectPing, gossipAck, gossipSuspect, gossipAlive, gossipDead, gossipNack:
		return nil
	}
	return fmt.Errorf("packet of kind %d: %w", b[0], protocol.ErrMalformed)
}

// checkStream reads the beginning of a stream of memberlist's, up to where its
// user state begins, and refuses what no node of ours sends: memberlist makes
// room for as many nodes and bytes as the other promises, and keeps whatever
// stands in their fields.
func checkStream(r io.ByteReader) error {
	kind, err := r.ReadByte()
	if err == nil && kind == gossipLabel {
		var n byte
		n, err = r.ReadByte()
		for ; err == nil && n > 0; n-- {
			_, err = r.ReadByte()
		}
		if err == nil {
			kind, err = r.ReadByte()
		}
	}
	if err != nil {
		return err
	}
	switch kind {
	case gossipPing, gossipAck, gossipError:
		return nil
	case gossipPushPull:
		return checkPushPull(r)
	}
	return fmt.Errorf("stream of kind %d: %w", kind, protocol.ErrMalformed)
}

// checkPushPull reads a header and the nodes: maps in MessagePack.
func checkPushPull(r io.ByteReader) error {
	limits := map[string]uint64{"Nodes": maxGossipNodes, "UserStateLen": protocol.MaxSummary, "Join": 1}
	values, err := readFields(r, limits)
	if err != nil {
		return err
	}
	limits = map[string]uint64{"Port": 1<<16 - 1, "Incarnation": 1<<32 - 1, "State": 3}
	for range values["Nodes"] {
		if _, err := readFields(r, limits); err != nil {
			return err
		}
	}
	return nil
}

// readFields reads one map of numbers, each up to its limit, and of short texts
// for which there is none.
func readFields(r io.ByteReader, limits map[string]uint64) (map[string]uint64, error) {
	n, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if n&0xf0 != 0x80 || n&0x0f > 7 {
		return nil, fmt.Errorf("push/pull, want a map of at most seven: %w", protocol.ErrMalformed)
	}
	values := make(map[string]uint64, 3)
	for range n & 0x0f {
		name, err := readShort(r)
		if err != nil {
			return nil, err
		}
		limit, ok := limits[name]
		if !ok {
			if err := skipText(r); err != nil {
				return nil, err
			}
			continue
		}
		v, err := readNumber(r)
		if err != nil {
			return nil, err
		}
		if v > limit {
			return nil, fmt.Errorf("push/pull with %s of %d, more than %d: %w", name, v, limit, protocol.ErrTooLarge)
		}
		values[name] = v
	}
	return values, nil
}

// skipText reads a text of at most maxField bytes.
func skipText(r io.ByteReader) error {
	kind, err := r.ReadByte()
	if err != nil {
		return err
	}
	var n uint64
	switch {
	case kind == 0xc0: // nil
	case kind&0xe0 == 0xa0:
		n = uint64(kind & 0x1f)
	case kind >= 0xc4 && kind <= 0xc6: // bin
		n, err = readBig(r, 1<<(kind-0xc4))
	case kind >= 0xd9 && kind <= 0xdb: // str
		n, err = readBig(r, 1<<(kind-0xd9))
	default:
		return fmt.Errorf("push/pull, want a text: %w", protocol.ErrMalformed)
	}
	if err == nil && n > maxField {
		return fmt.Errorf("push/pull with a field of %d bytes: %w", n, protocol.ErrTooLarge)
	}
	for ; err == nil && n > 0; n-- {
		_, err = r.ReadByte()
	}
	return err
}

// readBig reads a number of some bytes, big endian.
func readBig(r io.ByteReader, size int) (v uint64, err error) {
	for range size {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		v = v<<8 | uint64(b)
	}
	return v, nil
}

// readShort reads a string of at most 31 bytes.
func readShort(r io.ByteReader) (string, error) {
	n, err := r.ReadByte()
	if err == nil && n&0xe0 != 0xa0 {
		err = fmt.Errorf("push/pull, want a name: %w", protocol.ErrMalformed)
	}
	b := make([]byte, n&0x1f)
	for i := 0; err == nil && i < len(b); i++ {
		b[i], err = r.ReadByte()
	}
	return string(b), err
}

// readNumber reads a number, a negative one as one of 64 bits, or a boolean as
// 0 or 1.
func readNumber(r io.ByteReader) (uint64, error) {
	kind, err := r.ReadByte()
	switch {
	case err != nil:
		return 0, err
	case kind < 0x80:
		return uint64(kind), nil
	case kind == 0xc2 || kind == 0xc3:
		return uint64(kind - 0xc2), nil
	case kind >= 0xcc && kind <= 0xcf:
		return readBig(r, 1<<(kind-0xcc))
	case kind >= 0xd0 && kind <= 0xd3:
		size := 1 << (kind - 0xd0)
		v, err := readBig(r, size)
		if v>>(8*size-1) == 1 {
			v |= 1 << 63
		}
		return v, err
	}
	return 0, fmt.Errorf("push/pull, want a number: %w", protocol.ErrMalformed)
}

// guardedConn is a stream that memberlist reads from: of at most maxGossip
// bytes, and checked before memberlist sees any. One goroutine reads.
type guardedConn struct {
	net.Conn
	refused func(error) // told once if the stream is
	closed  func()      // told once

	whole io.LimitedReader
	r     io.Reader // nil until the beginning was read
	err   error     // why the stream is refused
}

func guard(c net.Conn, first []byte, refused func(error), closed func()) *guardedConn {
	return &guardedConn{
		Conn: c, refused: refused, closed: sync.OnceFunc(closed),
		whole: io.LimitedReader{R: io.MultiReader(bytes.NewReader(first), c), N: maxGossip},
	}
}

// Read implements net.Conn.
func (c *guardedConn) Read(b []byte) (int, error) {
	if c.r == nil {
		c.begin()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(b)
	if err == io.EOF && c.whole.N <= 0 {
		c.refuse(fmt.Errorf("stream of more than %d bytes: %w", maxGossip, protocol.ErrTooLarge))
		err = c.err
	}
	return n, err
}

// begin checks the beginning and puts it back. What the connection has to say
// comes after what it sent.
func (c *guardedConn) begin() {
	var seen bytes.Buffer
	br := bufio.NewReader(&c.whole)
	c.r = io.MultiReader(&seen, br)
	if err := checkStream(&byteTee{br, &seen}); errors.Is(err, protocol.ErrMalformed) || errors.Is(err, protocol.ErrTooLarge) {
		c.refuse(err)
	}
}

func (c *guardedConn) refuse(err error) {
	c.err = err
	c.refused(err)
}

// Close implements net.Conn.
func (c *guardedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// byteTee keeps what is read through it.
type byteTee struct {
	r    io.ByteReader
	seen *bytes.Buffer
}

// ReadByte implements io.ByteReader.
func (t *byteTee) ReadByte() (byte, error) {
	b, err := t.r.ReadByte()
	if err == nil {
		err = t.seen.WriteByte(b)
	}
	return b, err
}
