package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/internal/cli"
	"github.com/cbnet-io/cbnet/internal/version"
	"github.com/cbnet-io/cbnet/node"
)

const long = `cbserver is the control plane of a mesh.

The first start makes the mesh's certificate authority and the administrator's
token in DIR, and writes DIR/admin.context; CBCTL_CONTEXT=DIR/admin.context lets
cbctl in. It needs root, since it is a node of the mesh, and cbnetd beside its
own executable, which the machines it creates download.

To be open for the machines on HOST: 7443/tcp, 7950/tcp and 51820/udp.`

// flags are the command line's.
type flags struct {
	data, mesh, cidr, listen, public, introduce string
	iface, etcd, sealKey, logLevel              string
	port                                        int
	deadline                                    time.Duration
}

func newCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "cbserver --data DIR --public HOST [flags]",
		Short:         "the control plane of cbnet",
		Long:          long,
		Version:       fmt.Sprintf("%s %s/%s %s", version.Version, runtime.GOOS, runtime.GOARCH, runtime.Version()),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usage(fmt.Errorf("%q: cbserver takes no arguments, only flags", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.config(cmd.ErrOrStderr())
			if err != nil {
				return cli.Usage(err)
			}
			return run(cmd.Context(), c, cmd.OutOrStdout())
		},
	}
	f.register(cmd.Flags())
	cmd.SetVersionTemplate("cbserver {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	cmd.CompletionOptions.DisableDefaultCmd = true
	return cmd
}

func (f *flags) register(s *pflag.FlagSet) {
	s.StringVar(&f.data, "data", "", "`DIR` of the server's own state (required)")
	s.StringVar(&f.mesh, "mesh", "", "`NAME` of the mesh, at the first start (default cbnet)")
	s.StringVar(&f.cidr, "cidr", "", "IPv4 `PREFIX` of the mesh, at the first start (default "+identity.DefaultCIDR.String()+")")
	s.StringVar(&f.listen, "listen", ":7443", "serve the API on TCP `ADDR:PORT`")
	s.StringVar(&f.public, "public", "", "`HOST` where machines reach the API, the introducer and WireGuard (default: this host's first public or private address)")
	s.StringVar(&f.introduce, "introduce", ":7950", "let new nodes in on TCP `ADDR:PORT`")
	s.IntVar(&f.port, "port", node.DefaultPort, "UDP `PORT` of WireGuard")
	s.StringVar(&f.iface, "interface", node.DefaultInterface, "`NAME` of the tunnel's interface")
	s.StringVar(&f.etcd, "etcd", "", "`ENDPOINTS` of an etcd cluster, with commas between (default: an embedded one in DIR)")
	s.StringVar(&f.sealKey, "seal-key", "", "`FILE` with the key that seals credentials (default DIR/seal.key)")
	s.DurationVar(&f.deadline, "deadline", 5*time.Minute, "`TIME` a machine may take to be created, and then to join")
	s.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

// config is the checked command line.
type config struct {
	data, mesh     string
	cidr           netip.Prefix // invalid: as stored, or the default
	listen, public string
	introduce      string
	iface          string
	port           int
	etcd           []string
	sealKey        string // empty: the store's own place
	deadline       time.Duration
	log            *slog.Logger
}

// config checks the command line and returns all faults at once.
func (f *flags) config(logTo io.Writer) (config, error) {
	c := config{
		data: f.data, mesh: f.mesh, listen: f.listen, public: f.public, introduce: f.introduce,
		iface: f.iface, port: f.port, sealKey: f.sealKey, deadline: f.deadline,
	}
	var errs []error
	fault := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	if f.data == "" {
		fault("data", errors.New("missing; want a directory for the server's state"))
	}
	if f.mesh != "" {
		fault("mesh", identity.ParseName(f.mesh))
	}
	if f.cidr != "" {
		var err error
		c.cidr, err = parseCIDR(f.cidr)
		fault("cidr", err)
	}
	fault("listen", checkListen(f.listen))
	fault("introduce", checkListen(f.introduce))
	fault("public", checkHost(f.public))
	if f.deadline < time.Second {
		fault("deadline", fmt.Errorf("%s: want at least a second", f.deadline))
	}
	if f.etcd != "" {
		c.etcd = strings.Split(f.etcd, ",")
	}
	// The node checks port and interface as cbnetd does.
	if err := (node.Config{Interface: f.iface, Port: f.port}).Validate(); err != nil {
		errs = append(errs, err)
	}
	level, err := parseLevel(f.logLevel)
	fault("log-level", err)
	c.log = slog.New(slog.NewTextHandler(logTo, &slog.HandlerOptions{Level: level}))
	return c, errors.Join(errs...)
}

func parseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%.80q: want an IPv4 prefix such as %s", s, identity.DefaultCIDR)
	}
	return p, (identity.Mesh{Format: identity.Format, Name: "check", CIDR: p, CIDR6: netip.MustParsePrefix("fd00::/64")}).Validate()
}

func checkListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		return fmt.Errorf("%.80q: want ADDR:PORT or :PORT", s)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return fmt.Errorf("%.80q: want an IP address before the port", s)
	}
	return nil
}

func checkHost(s string) error {
	if strings.ContainsAny(s, "/:@ \t\n") && !isIPv6(s) {
		return fmt.Errorf("%.80q: want a host name or an address, without a port", s)
	}
	return nil
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}

func parseLevel(s string) (slog.Level, error) {
	var level slog.Level
	switch s {
	case "debug", "info", "warn", "error":
		return level, level.UnmarshalText([]byte(s))
	}
	return level, fmt.Errorf("%.40q: want debug, info, warn or error", s)
}
