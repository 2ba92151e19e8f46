package node

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/overlay"
)

// Defaults of a Config.
const (
	DefaultInterface = control.DefaultInterface
	DefaultPort      = 51820 // UDP, WireGuard's registered habit
	DefaultStateDir  = "/var/lib/cbnet"
)

// MetricsPort is where metrics are read on the overlay address, TCP.
const MetricsPort = 9586

const (
	maxInterface = 15  // IFNAMSIZ less the final zero
	maxNetwork   = 200 // bytes of a network id
	maxAdvertise = 8   // addresses, of the 16 endpoints in a record
)

// Config says what a node is. At most one of Bundle and Join is set; with
// neither the node uses what an earlier enrolment left in State.
type Config struct {
	Bundle string // path of a bundle file
	Join   string // path of a file with a token, "-" for stdin: enrol first

	State     string // folder of our own; default /var/lib/cbnet/INTERFACE
	Socket    string // control socket; default /run/cbnet/INTERFACE.sock
	Interface string // default "cbn0"
	Port      int    // UDP port of WireGuard; default 51820

	Introduce string           // ADDR:PORT to let others in; empty: do not
	Advertise []netip.Addr     // public addresses that lead here
	Observed  bool             // the address at which an introducer sees this host leads here, too
	Datapath  overlay.Datapath // default: the kernel's if it has one
	NoOffload bool             // userspace datapath: packets one by one, without segmentation offloads
	Exec      bool             // let the mesh's servers run commands here
	// Network is the id of the private network the node is in, such as
	// "aws/ap-northeast-2/shop-1a2b": nodes of equal ids use private addresses.
	Network string
}

// InputError is a fault in what the user gave: a flag, or a file's field.
// Nothing was changed on the host.
type InputError struct {
	What string // flag or file
	Err  error  // what was expected
}

// Error implements error.
func (e *InputError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

func (c Config) withDefaults() Config {
	if c.Interface == "" {
		c.Interface = DefaultInterface
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.State == "" {
		c.State = filepath.Join(DefaultStateDir, c.Interface)
	}
	if c.Socket == "" {
		c.Socket = control.DefaultSocket(c.Interface)
	}
	return c
}

// Validate returns all faults of a configuration, each an [*InputError] that
// names the flag, joined. It reads no file.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(flag string, err error) {
		if err != nil {
			errs = append(errs, &InputError{What: "--" + flag, Err: err})
		}
	}
	if c.Bundle != "" && c.Join != "" {
		fault("join", errors.New("want either --bundle or --join, not both"))
	}
	fault("interface", checkInterface(c.Interface))
	if c.Port < 1 || c.Port > 65535 {
		fault("port", fmt.Errorf("%d: want a port from 1 to 65535", c.Port))
	}
	fault("socket", control.CheckSocketPath(c.Socket))
	fault("introduce", checkIntroduce(c.Introduce))
	fault("network", checkNetwork(c.Network))
	if len(c.Advertise) > maxAdvertise {
		fault("advertise", fmt.Errorf("%d addresses: want at most %d", len(c.Advertise), maxAdvertise))
	}
	for _, a := range c.Advertise {
		fault("advertise", checkAdvertise(a))
	}
	return errors.Join(errs...)
}

func checkInterface(s string) error {
	bad := func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r)
	}
	if s == "" || len(s) > maxInterface || s == "." || s == ".." || s[0] == '-' || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%.40q: want an interface name of 1 to %d letters, digits, dots, - and _", s, maxInterface)
	}
	return nil
}

func checkIntroduce(s string) error {
	if s == "" {
		return nil
	}
	if port, ok := strings.CutPrefix(s, ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return nil
		}
	}
	if ap, err := netip.ParseAddrPort(s); err != nil || ap.Port() == 0 {
		return fmt.Errorf("%.80q: want ADDR:PORT to listen on, such as 0.0.0.0:7950 or :7950", s)
	}
	return nil
}

func checkAdvertise(a netip.Addr) error {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return fmt.Errorf("%v: want an address at which other hosts reach this one", a)
	}
	return nil
}

func checkNetwork(s string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' } // as in records
	if len(s) > maxNetwork || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%.40q: want at most %d printable ASCII characters, such as aws/ap-northeast-2/shop", s, maxNetwork)
	}
	return nil
}

// checkRoles reports whether a grant allows what the flags ask for.
func (c Config) checkRoles(g identity.Grant) error {
	if c.Introduce != "" && !g.Has(identity.RoleIntroducer) && !g.Has(identity.RoleServer) {
		return &InputError{What: "--introduce", Err: fmt.Errorf(
			"the certificate of %s lacks the role introducer: others would refuse it; issue one with --role introducer", g.Node)}
	}
	return nil
}
