package netlab

import (
	"encoding/binary"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The internet's own addresses, from which it reports errors.
var (
	internetIP4 = [4]byte{198, 18, 0, 1}
	internetIP6 = [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1} // 2001:db8::1
)

// tooBig is what a router answers to a packet beyond its MTU: "fragmentation
// needed" (RFC 1191) or "packet too big" (RFC 4443). It is nil for what must not
// be answered: ICMP errors, fragments but the first, and foreign bytes.
func tooBig(packet []byte, mtu int) []byte {
	if len(packet) >= 20 && packet[0]>>4 == 4 {
		return tooBig4(packet, mtu)
	}
	if len(packet) >= 40 && packet[0]>>4 == 6 {
		return tooBig6(packet, mtu)
	}
	return nil
}

func tooBig4(packet []byte, mtu int) []byte {
	header := int(packet[0]&0x0f) * 4
	if header < 20 || len(packet) < header+8 || binary.BigEndian.Uint16(packet[6:])&0x1fff != 0 {
		return nil
	}
	if packet[9] == 1 && packet[header] != byte(ipv4.ICMPTypeEcho) && packet[header] != byte(ipv4.ICMPTypeEchoReply) {
		return nil
	}
	quoted := min(len(packet), 576-28) // RFC 1812 4.3.2.3
	out := make([]byte, 28+quoted)
	out[0], out[8], out[9] = 0x45, 64, 1
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	copy(out[12:16], internetIP4[:])
	copy(out[16:20], packet[12:16])
	binary.BigEndian.PutUint16(out[10:], checksum(out[:20], 0))
	message := out[20:]
	message[0], message[1] = byte(ipv4.ICMPTypeDestinationUnreachable), 4
	binary.BigEndian.PutUint16(message[6:], uint16(mtu))
	copy(message[8:], packet[:quoted])
	binary.BigEndian.PutUint16(message[2:], checksum(message, 0))
	return out
}

func tooBig6(packet []byte, mtu int) []byte {
	if packet[6] == 58 && len(packet) > 40 && packet[40] < 128 { // an ICMPv6 error
		return nil
	}
	quoted := min(len(packet), 1280-48) // RFC 4443 2.4(c)
	body := make([]byte, 4+quoted)
	binary.BigEndian.PutUint32(body, uint32(mtu))
	copy(body[4:], packet[:quoted])
	out := make([]byte, 44+len(body))
	out[0], out[6], out[7] = 0x60, 58, 64
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	copy(out[8:24], internetIP6[:])
	copy(out[24:40], packet[8:24])
	message := out[40:]
	message[0] = byte(ipv6.ICMPTypePacketTooBig)
	copy(message[4:], body)
	pseudo := icmp.IPv6PseudoHeader(out[8:24], out[24:40])
	binary.BigEndian.PutUint32(pseudo[32:], uint32(len(message)))
	binary.BigEndian.PutUint16(message[2:], checksum(message, sum(pseudo, 0)))
	return out
}

// checksum is that of RFC 1071, over data and an earlier sum.
func checksum(data []byte, before uint32) uint16 {
	s := sum(data, before)
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func sum(data []byte, s uint32) uint32 {
	for ; len(data) >= 2; data = data[2:] {
		s += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		s += uint32(data[0]) << 8
	}
	return s
}
