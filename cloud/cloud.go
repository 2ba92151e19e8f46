package cloud

import (
	"context"
	"net/netip"
	"time"
)

// Driver creates, lists and deletes what an MCIS needs on one account of one
// cloud. It knows no policy: it does not retry, does not limit its rate, does
// not wait longer than one call takes and keeps no state. See the package
// documentation for the duties of every method.
type Driver interface {
	// Provider returns the kind of cloud: "aws", "openstack", ...
	Provider() string
	// Regions lists the regions the account may use.
	Regions(ctx context.Context) ([]Region, error)
	// EnsureNetwork makes the network, subnet, way out and security group that
	// spec describes, or completes and returns what an earlier call with the
	// same owner and name left. It is repeatable after a crash or a lost answer
	// at any of its inner steps.
	EnsureNetwork(ctx context.Context, spec NetworkSpec) (Network, error)
	// CreateVM starts one machine. A second call with the same token and
	// request returns the first one's machine, whether or not the first answer
	// arrived, and never starts another.
	CreateVM(ctx context.Context, spec VMSpec) (VM, error)
	// Delete removes one resource that List returned, with what it holds of its
	// own (ports, addresses). It returns nil when the resource is gone or its
	// deletion has begun, ErrOwner when the mark of ownership is missing or
	// another's, and ErrInUse while something else still depends on it.
	Delete(ctx context.Context, res Resource) error
	// List returns everything in the region that bears the owner's mark, in one
	// batch of calls, VMs with their state and addresses. A zero Owner.MCIS
	// matches every MCIS of the mesh.
	List(ctx context.Context, region string, owner Owner) ([]Resource, error)
}

// Catalog is the optional capability to turn a wish into a cloud's own names.
// Every driver has it; use [ResolveSpec] and [ResolveImage].
type Catalog interface {
	// Specs lists the machine types of a region.
	Specs(ctx context.Context, region string) ([]Spec, error)
	// Images lists the images of a region that cbnet has an alias for
	// ("debian-12", "ubuntu-24.04"), and on a private cloud all images.
	Images(ctx context.Context, region string) ([]Image, error)
}

// Console is the optional capability to read what a VM printed while booting.
type Console interface {
	// ConsoleOutput returns the last bytes of the VM's console, perhaps
	// minutes old. Empty output is no error.
	ConsoleOutput(ctx context.Context, region, id string) (string, error)
}

// Power is the optional capability to stop and start machines.
type Power interface {
	Start(ctx context.Context, region, id string) error
	Stop(ctx context.Context, region, id string) error
	Reboot(ctx context.Context, region, id string) error
}

// NAT is the optional capability to give machines without a public address a
// way out, for [NetworkSpec].NAT. Without it such machines reach nothing but
// their network.
type NAT interface {
	// NAT returns the vendor's name of what does it, for plans: "Cloud NAT".
	NAT() string
}

// KeyTypes is the optional capability of a cloud that takes SSH keys of some types
// only. Without it a cloud takes any key that [CheckSSHKey] passes.
type KeyTypes interface {
	// SSHKeyTypes lists what [NetworkSpec].SSHKey may be, by the first word of
	// its line: "ssh-rsa".
	SSHKeyTypes() []string
}

// Quoter is the optional capability to tell how much of an account's limits is
// used.
type Quoter interface {
	// Quotas returns the limits of a region that machines count against.
	Quotas(ctx context.Context, region string) ([]Quota, error)
}

// Quota is a limit of an account.
type Quota struct {
	Name  string // the vendor's own: "CPUS", "Total Regional Cores"
	Used  int
	Limit int // -1: none
}

// Pricer is the optional capability to tell prices.
type Pricer interface {
	// PricePerHour returns the list price of a machine type in US dollars an
	// hour, and false where it is not known.
	PricePerHour(region, spec string) (float64, bool)
}

// Owner says whose resource something is. It is written on the resource in the
// very call that creates it, as tags, labels or metadata whose keys start with
// "cbnet-", or in its name and description where the API has none of these.
type Owner struct {
	Mesh string // uid of the server's mesh: two servers never touch each other's resources
	MCIS string // uid of the MCIS, random at first apply
}

// Region is a place where an account may create machines.
type Region struct {
	Name  string
	Zones []string
}

// Spec is a machine type.
type Spec struct {
	Name      string
	VCPU      int
	MemoryMiB int
}

// Image is a bootable image.
type Image struct {
	ID      string
	Name    string
	Alias   string    // "debian-12", "ubuntu-24.04"; empty if it is none of these
	Created time.Time // newest wins among images of one alias
}

// NetworkSpec asks for the one network an MCIS has in a region.
type NetworkSpec struct {
	Owner  Owner
	Region string
	Name   string       // deterministic: the same on every try; at most 40 characters of [a-z0-9-]
	CIDR   netip.Prefix // of the one subnet
	// Open lists what the internet may reach on the VMs. Everything else is
	// closed, all that leaves is open, and VMs of the network reach each other
	// on the same ports only.
	Open []Port
	// NAT gives machines without a public address a way out. It is refused
	// ([ErrInvalid]) by drivers that lack the capability [NAT].
	NAT bool
	// SSHKey is one line of an authorized_keys file: the key that the image's
	// usual user of the network's machines accepts. Empty: none.
	SSHKey string
}

// Port is a port that a security group opens to everyone.
type Port struct {
	Protocol string // "udp" or "tcp"
	Number   int
}

// Network is what EnsureNetwork made. The ids are opaque to callers and come
// back in VMSpec as they are.
type Network struct {
	ID            string
	SubnetID      string
	SecurityGroup string
	Key           string // of NetworkSpec.SSHKey, empty if that was
}

// VMSpec asks for one machine.
type VMSpec struct {
	Owner     Owner
	Region    string
	Zone      string // empty: the cloud's or the driver's choice
	Name      string // deterministic; at most 60 characters of [a-z0-9-]
	Node      string // name of the node in the mesh, for the tag cbnet-node
	Token     string // idempotency key: at most 64 ASCII characters, the same on every try of this VM
	Network   Network
	PrivateIP netip.Addr // planned address in the subnet, chosen by the caller; the natural key where the cloud has no token
	Spec      string     // machine type, the cloud's own name
	Image     string     // image id, the cloud's own
	UserData  []byte     // raw; the driver encodes it
	PublicIP  bool
	Forwards  bool // may forward packets that are not its own (gateways)
	// Labels are the user's own, kept as the cloud's tags or labels, in any
	// script: see [EncodeLabel]. At most [MaxLabels] of [MaxLabel] bytes each.
	Labels map[string]string
}

// VM is the machine part of a Resource of kind KindVM.
type VM struct {
	ID        string
	Name      string
	Node      string // from the mark
	Token     string // from the mark
	State     VMState
	Reason    string // the vendor's words when State is VMFailed
	PrivateIP netip.Addr
	PublicIP  netip.Addr // zero while there is none
	Zone      string
	Created   time.Time // zero where the cloud does not tell
}

// VMState is the state of a machine.
type VMState string

// The states every cloud's own states map to.
const (
	VMPending  VMState = "pending"
	VMRunning  VMState = "running"
	VMStopped  VMState = "stopped"
	VMDeleting VMState = "deleting"
	VMFailed   VMState = "failed" // the cloud gave up after it had said yes
)

// Kind is the kind of a resource.
type Kind string

// The kinds in the order in which they can be deleted: a resource never
// depends on one of a later kind. See [DeleteOrder].
const (
	KindVM            Kind = "vm"
	KindPublicIP      Kind = "publicIp"
	KindPort          Kind = "port"   // network interface
	KindRouter        Kind = "router" // router, internet gateway
	KindKey           Kind = "key"    // public SSH key
	KindSecurityGroup Kind = "securityGroup"
	KindSubnet        Kind = "subnet"
	KindNetwork       Kind = "network"
	KindGroup         Kind = "group" // what holds all others, where a cloud has such a thing
)

// Resource is one thing that bears an owner's mark.
type Resource struct {
	Kind   Kind
	Region string
	ID     string
	Name   string
	Owner  Owner
	VM     *VM               // set when Kind is KindVM
	Parent string            // id of what it lives in, if the driver needs it for Delete
	Tags   map[string]string // as the cloud has them
	Labels map[string]string // of machines: VMSpec.Labels, decoded
}
