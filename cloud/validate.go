package cloud

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
)

// Limits that hold on every cloud.
const (
	MaxNetworkName = 40 // characters of NetworkSpec.Name
	MaxVMName      = 60 // characters of VMSpec.Name
	MaxToken       = 64 // characters of VMSpec.Token: AWS and Alibaba allow no more
)

// firstVMAddr is the offset of the first address for VMs: clouds keep the
// first four for the network, its gateway, DNS and the future.
const firstVMAddr = 4

var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Validate reports all faults that can be seen without asking a cloud. The
// error wraps [ErrInvalid].
func (s NetworkSpec) Validate() error {
	var errs []error
	errs = append(errs, checkOwner(s.Owner), checkName("name", s.Name, MaxNetworkName))
	if !s.CIDR.IsValid() || !s.CIDR.Addr().Is4() || s.CIDR != s.CIDR.Masked() || s.CIDR.Bits() > 28 || s.CIDR.Bits() < 16 {
		errs = append(errs, fmt.Errorf("cidr %s: want an IPv4 prefix between /16 and /28 without host bits", s.CIDR))
	}
	for _, p := range s.Open {
		if p.Protocol != "udp" && p.Protocol != "tcp" || p.Number < 1 || p.Number > 65535 {
			errs = append(errs, fmt.Errorf("open port %s/%d: want udp or tcp, 1 to 65535", p.Protocol, p.Number))
		}
	}
	if s.SSHKey != "" {
		errs = append(errs, CheckSSHKey(s.SSHKey))
	}
	return invalid("network", s.Name, errs)
}

// Validate reports all faults that can be seen without asking a cloud;
// maxUserData is the driver's limit of VMSpec.UserData in bytes. The error
// wraps [ErrInvalid].
func (s VMSpec) Validate(maxUserData int) error {
	var errs []error
	errs = append(errs, checkOwner(s.Owner), checkName("name", s.Name, MaxVMName))
	if s.Token == "" || len(s.Token) > MaxToken || !printable(s.Token) {
		errs = append(errs, fmt.Errorf("token: want 1 to %d visible ASCII characters", MaxToken))
	}
	if len(s.UserData) > maxUserData {
		errs = append(errs, fmt.Errorf("user-data: %d bytes, at most %d are possible here", len(s.UserData), maxUserData))
	}
	if s.Spec == "" {
		errs = append(errs, errors.New("machine type: missing"))
	}
	if s.Image == "" {
		errs = append(errs, errors.New("image: missing"))
	}
	if s.Network.SubnetID == "" || s.Network.SecurityGroup == "" {
		errs = append(errs, errors.New("network: missing"))
	}
	if !s.PrivateIP.Is4() {
		errs = append(errs, fmt.Errorf("private address %s: want an IPv4 address of the subnet", s.PrivateIP))
	}
	errs = append(errs, checkLabels(s.Labels))
	return invalid("VM", s.Name, errs)
}

// VMAddr returns the i-th address (from 0) of a subnet that is free for VMs on
// every cloud, and false when there are no more. Drivers keep the first four
// addresses and the upper quarter, at most 17, for gateways and DHCP.
func VMAddr(subnet netip.Prefix, i int) (netip.Addr, bool) {
	size := 1 << (32 - subnet.Bits())
	if !subnet.Addr().Is4() || i < 0 || firstVMAddr+i >= size-Reserved(subnet) {
		return netip.Addr{}, false
	}
	return offset(subnet, firstVMAddr+i), true
}

// Reserved returns how many addresses at the upper end of a subnet are not for
// VMs, broadcast included.
func Reserved(subnet netip.Prefix) int {
	return min(17, 1<<(32-subnet.Bits())/4)
}

func offset(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(n)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func checkOwner(o Owner) error {
	if o.Mesh == "" || o.MCIS == "" || !printable(o.Mesh+o.MCIS) || len(o.Mesh) > MaxToken || len(o.MCIS) > MaxToken {
		return fmt.Errorf("owner %q: want the uids of mesh and MCIS, 1 to %d visible ASCII characters each", o.Description(), MaxToken)
	}
	return nil
}

func checkName(what, s string, limit int) error {
	if len(s) > limit || !nameRule.MatchString(s) {
		return fmt.Errorf("%s %q: want 1 to %d characters of a-z, 0-9 and - inside", what, s, limit)
	}
	return nil
}

// printable reports whether s is visible ASCII without spaces.
func printable(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

func invalid(what, name string, errs []error) error {
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w: %w", what, name, ErrInvalid, err)
}
