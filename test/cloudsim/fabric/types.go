package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
)

// Sentinels that the methods of a [Fabric] wrap.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("exists already")
	ErrInUse     = errors.New("in use")
	ErrState     = errors.New("not possible in this state")
	ErrExhausted = errors.New("no address left")
	ErrClosed    = errors.New("fabric is closed")
)

// LockedError says that another process simulates clouds in this network
// namespace already.
type LockedError struct {
	PID int // of the process that holds the lock, 0 if unknown
}

// Error implements error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("another cloudsim runs in this network namespace (pid %d)", e.PID)
}

// Network is a VPC or a tenant network: VMs behind a router of their own. Two
// networks may have the same CIDR.
type Network struct {
	ID   string
	CIDR netip.Prefix // IPv4; the addresses of all its subnets
	MTU  int          // bytes, of VM ports; 0 = 1500

	// MetadataIP is where its VMs find their metadata service, on port 80; zero =
	// 169.254.169.254. No other address of the router answers them.
	MetadataIP netip.Addr
}

// Gateway says how a network reaches the internet.
type Gateway struct {
	// Attached lets traffic of publicly mapped addresses through, both ways
	// (an AWS internet gateway, or a Neutron router with floating IPs).
	Attached bool

	// SNAT gives the router a public address of its own, and VMs without a
	// mapping leave with it as their source. It has no effect unless Attached.
	SNAT bool
}

// Rule lets traffic of one VM port pass. Rules are stateful: answers pass.
type Rule struct {
	Ingress  bool         // to the VM; otherwise from it
	Protocol string       // "tcp", "udp", "icmp", "" = all; other protocols by number, such as "47"
	FromPort int          // tcp, udp: first port; icmp: type, -1 = all
	ToPort   int          // tcp, udp: last port, 0 with FromPort 0 = all ports; icmp: code, -1 = all
	CIDR     netip.Prefix // the other side; the zero Prefix = anyone. Rules with an IPv6 CIDR match nothing
}

// VM is a machine as its cloud defines it.
type VM struct {
	ID        string
	Cloud     string // whose it is, for [Options.Times]
	Hostname  string // the kernel's host name until cloud-init sets the one in the metadata
	NetworkID string
	PrivateIP netip.Addr
	Subnet    netip.Prefix     // of PrivateIP; zero = the network's CIDR. Its first address is the default gateway
	MAC       net.HardwareAddr // nil = derived from PrivateIP
	MTU       int              // bytes; 0 = the network's

	// Datasource is the cloud-init datasource that the guest uses: "AliYun",
	// "Azure", "Ec2", "GCE" or "OpenStack".
	Datasource string

	// Seed are files that the datasource finds on the disk instead of asking
	// anyone, by their names below /var/lib/cloud/seed: Azure's is
	// "ovf-env.xml", which a real machine has on a DVD. They are written when the
	// disk is made.
	Seed map[string][]byte

	// Agent is a program, all of it, that an image has in place of cloud-init: it
	// is called with the argument "startup" at the end of every boot, and
	// Datasource says nothing. Empty = the image has cloud-init.
	Agent string

	// Product is what the guest's firmware calls the machine (DMI):
	// /sys/class/dmi/id/product_name. Empty = there is no such file, or the
	// host's.
	Product string

	// Metadata answers requests of this VM, and of no other, to its network's
	// MetadataIP. Nil answers 404.
	Metadata http.Handler
}

// State is where a VM is in its life.
type State string

// The states of a VM.
//
//	StartVM --> pending --> running --> stopping --> stopped --> (StartVM) pending
//	                |          |  ^         |           |
//	                |          v  |         |           |
//	                |       rebooting       |           |
//	                +----------+------------+-----------+--> terminating --> terminated
//
// A VM whose PID 1 could not be started, or that powered itself off, is stopped.
const (
	StateNone        State = ""            // no such VM
	StatePending     State = "pending"     // accepted, or its boot time runs
	StateRunning     State = "running"     // PID 1 lives; cloud-init may still be at work
	StateRebooting   State = "rebooting"   // going down to come up again
	StateStopping    State = "stopping"    // going down
	StateStopped     State = "stopped"     // off; the disk is kept
	StateTerminating State = "terminating" // going down for good
	StateTerminated  State = "terminated"  // gone; only the console is kept
)
