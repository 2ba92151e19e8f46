package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/overlay"
)

// flags are the daemon's, as the command line holds them. `install` takes the
// same ones.
type flags struct {
	bundle, join, state, socket string
	iface                       string
	port                        int
	introduce                   string
	advertise                   []string
	datapath, network           string
	exec, noOffload             bool
	logLevel                    string
}

func (f *flags) register(s *pflag.FlagSet) {
	s.StringVar(&f.bundle, "bundle", "", "`FILE` with this node's certificate and key, as cbctl ca issue writes it")
	s.StringVar(&f.join, "join", "", "`FILE` with a token, or - for standard input: enrol with a server first")
	s.StringVar(&f.state, "state", "", "`DIR` of the node's own state (default "+node.DefaultStateDir+"/INTERFACE)")
	s.StringVar(&f.socket, "socket", "", "control socket `PATH` (default /run/cbnet/INTERFACE.sock)")
	s.StringVar(&f.iface, "interface", node.DefaultInterface, "`NAME` of the tunnel's interface")
	s.IntVar(&f.port, "port", node.DefaultPort, "UDP `PORT` of WireGuard")
	s.StringVar(&f.introduce, "introduce", "", "let others in on TCP `ADDR:PORT`")
	s.StringArrayVar(&f.advertise, "advertise", nil, "public `ADDR` that leads to this host, or \"observed\" if the one introducers see does; may be repeated")
	s.StringVar(&f.datapath, "datapath", string(overlay.Auto), "auto, kernel or userspace")
	s.BoolVar(&f.noOffload, "no-offload", false, "userspace datapath: no segmentation offloads, where a kernel's are broken or memory is short; slower")
	s.StringVar(&f.network, "network", "", "`ID` of the private network this host is in, such as aws/REGION/NETWORK")
	s.BoolVar(&f.exec, "exec", false, "let the mesh's servers run commands on this host")
	s.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

// advertiseObserved stands for whatever address introducers see.
const advertiseObserved = "observed"

// config turns the flags into a configuration and a log. All faults come at
// once.
func (f *flags) config(w io.Writer) (node.Config, *slog.Logger, error) {
	c := node.Config{
		Bundle: f.bundle, Join: f.join, State: f.state, Socket: f.socket,
		Interface: f.iface, Port: f.port, Introduce: f.introduce,
		Datapath: overlay.Datapath(f.datapath), NoOffload: f.noOffload, Exec: f.exec, Network: f.network,
	}
	var errs []error
	fault := func(flag, format string, args ...any) {
		errs = append(errs, &node.InputError{What: "--" + flag, Err: fmt.Errorf(format, args...)})
	}
	for _, s := range f.advertise {
		if s == advertiseObserved {
			c.Observed = true
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			fault("advertise", "%.80q: want an IP address, or %q", s, advertiseObserved)
			continue
		}
		c.Advertise = append(c.Advertise, a)
	}
	if f.iface == "" {
		fault("interface", "want a name")
	}
	if f.port == 0 {
		fault("port", "0: want a port from 1 to 65535")
	}
	switch c.Datapath {
	case overlay.Auto, overlay.Kernel, overlay.Userspace:
	default:
		fault("datapath", "%.40q: want auto, kernel or userspace", f.datapath)
	}
	if f.noOffload && c.Datapath == overlay.Kernel {
		fault("no-offload", "the kernel's datapath has no such switch: leave it away, or use --datapath userspace")
	}
	var level slog.Level
	switch f.logLevel {
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
			errs = append(errs, err)
		}
	default:
		fault("log-level", "%.40q: want debug, info, warn or error", f.logLevel)
	}
	errs = append(errs, c.Validate())
	if err := errors.Join(errs...); err != nil {
		return node.Config{}, nil, err
	}
	return c, slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
}

// forService returns the flags that a service passes on, as it was given them,
// without those that name its files.
func (f *flags) forService() []string {
	out := []string{fmt.Sprintf("--port=%d", f.port)}
	add := func(name, value, def string) {
		if value != def {
			out = append(out, "--"+name+"="+value)
		}
	}
	add("introduce", f.introduce, "")
	for _, a := range f.advertise {
		add("advertise", a, "")
	}
	add("datapath", f.datapath, string(overlay.Auto))
	if f.noOffload {
		add("no-offload", "true", "")
	}
	add("network", f.network, "")
	add("log-level", f.logLevel, "info")
	return out
}
