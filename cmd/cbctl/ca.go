package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/identity"
)

func newCACommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ca", Short: "a certificate authority in a directory: a mesh without any server", RunE: group,
	}
	cmd.AddCommand(newCAInit(), newCAIssue(), newCARevoke(), newCARotate(), newCAList())
	return cmd
}

// required fails unless every named flag has a value.
func required(cmd *cobra.Command, names ...string) error {
	var errs []error
	for _, n := range names {
		if cmd.Flags().Lookup(n).Value.String() == "" {
			errs = append(errs, usageError{fmt.Errorf("%swant --%s", prefix(cmd), n)})
		}
	}
	return errors.Join(errs...)
}

func newCAInit() *cobra.Command {
	var dir, mesh, cidr string
	cmd := &cobra.Command{
		Use: "init --dir DIR --mesh NAME", Short: "make an authority for a new mesh", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "dir", "mesh"); err != nil {
				return err
			}
			p, err := netip.ParsePrefix(cidr)
			if err != nil {
				return usageError{fmt.Errorf("--cidr: %q: want an IPv4 prefix such as %s", cidr, identity.DefaultCIDR)}
			}
			m, err := identity.NewMesh(mesh, p)
			if err != nil {
				return usageError{err}
			}
			d, err := identity.InitDir(dir, m, time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "mesh %s: %s and %s; keep %s safe\n", m.Name, m.CIDR, m.CIDR6, dir)
			return errors.Join(err, d.Close())
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` of the authority")
	cmd.Flags().StringVar(&mesh, "mesh", "", "`NAME` of the mesh")
	cmd.Flags().StringVar(&cidr, "cidr", identity.DefaultCIDR.String(), "IPv4 `PREFIX` that nodes are numbered from")
	return cmd
}

// caIssue is the flags of `cbctl ca issue`.
type caIssue struct {
	dir, node, ip, renew, out          string
	days                               int
	groups, routes, roles, introducers []string
}

func newCAIssue() *cobra.Command {
	var f caIssue
	cmd := &cobra.Command{
		Use: "issue --dir DIR (--node NAME | --renew FILE) --out FILE", Short: "make a node's bundle: key, certificate, whom to call", Args: args(0, "no arguments"),
		Long: `issue makes a node's bundle: its key, its certificate, whom to trust and whom to call.

With --renew it is a new bundle for the node of an earlier one: key, addresses,
groups, routes, roles and introducers stay as they are where no flag says
otherwise. FILE may be the --out file as well.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names := []string{"dir", "node", "out"}
			if f.renew != "" {
				names = []string{"dir", "out"}
			}
			if err := required(cmd, names...); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	s := cmd.Flags()
	s.StringVar(&f.dir, "dir", "", "`DIR` of the authority")
	s.StringVar(&f.node, "node", "", "`NAME` of the node")
	s.StringVar(&f.ip, "ip", "", "IPv4 overlay address `A.B.C.D` (default: the next free one)")
	s.IntVar(&f.days, "days", identity.OfflineDays, "`DAYS` the certificate is valid")
	s.StringArrayVar(&f.groups, "group", nil, "`GROUP` the node is in; may be repeated")
	s.StringArrayVar(&f.routes, "route", nil, "subnet `CIDR` the node may route; may be repeated")
	s.StringArrayVar(&f.roles, "role", nil, "introducer, gateway or relay; may be repeated")
	s.StringArrayVar(&f.introducers, "introducer", nil, "`HOST:PORT` that lets the node in; may be repeated")
	s.StringVar(&f.renew, "renew", "", "`FILE` with an earlier bundle of the node, whose key and grant the new one has")
	s.StringVar(&f.out, "out", "", "`FILE` to write the bundle to, mode 0600")
	return cmd
}

func (f *caIssue) run(cmd *cobra.Command) error {
	req, err := f.request()
	if err != nil {
		return err
	}
	var earlier *identity.Bundle
	if f.renew != "" {
		if earlier, err = identity.LoadBundle(f.renew); err != nil {
			return usageError{fmt.Errorf("--renew: %w", err)}
		}
	}
	d, err := identity.OpenDir(f.dir)
	if err != nil {
		return err
	}
	b, err := f.issue(d, earlier, req)
	if err := errors.Join(err, d.Close()); err != nil {
		return badGrant(err)
	}
	if err := b.Save(f.out); err != nil {
		return err
	}
	g, err := b.Grant(time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "node %s: %s and %s, until %s; bundle in %s\n", g.Node, g.IP, g.IP6, b.Certificate.NotAfter.Format(time.DateOnly), f.out)
	return err
}

func (f *caIssue) issue(d *identity.Dir, earlier *identity.Bundle, req identity.Request) (*identity.Bundle, error) {
	if earlier != nil {
		kept, err := d.Renewal(earlier)
		if err != nil {
			return nil, fmt.Errorf("--renew: %s: %w", f.renew, err)
		}
		if req, err = override(kept, req); err != nil {
			return nil, err
		}
	}
	return d.Issue(req, time.Now())
}

// override puts what flags ask for over what is kept of an earlier bundle.
func override(kept, asked identity.Request) (identity.Request, error) {
	if n := asked.Grant.Node; n != "" && n != kept.Grant.Node {
		return kept, usageError{fmt.Errorf("--node: %q: the bundle of --renew is that of %s", n, kept.Grant.Node)}
	}
	kept.Validity = asked.Validity
	if asked.Grant.IP.IsValid() {
		kept.Grant.IP = asked.Grant.IP
	}
	if asked.Grant.Groups != nil {
		kept.Grant.Groups = asked.Grant.Groups
	}
	if asked.Grant.Routes != nil {
		kept.Grant.Routes = asked.Grant.Routes
	}
	if asked.Grant.Roles != nil {
		kept.Grant.Roles = asked.Grant.Roles
	}
	if asked.Introducers != nil {
		kept.Introducers = asked.Introducers
	}
	return kept, nil
}

// badGrant makes what was asked for, and cannot be granted, wrong usage.
func badGrant(err error) error {
	if errors.Is(err, identity.ErrGrant) || errors.Is(err, identity.ErrTaken) || errors.Is(err, identity.ErrTooLarge) {
		return usageError{err}
	}
	return err
}

// request checks the flags and returns all faults at once.
func (f *caIssue) request() (identity.Request, error) {
	req := identity.Request{Grant: identity.Grant{Node: f.node, Groups: f.groups}, Validity: time.Duration(f.days) * 24 * time.Hour, Introducers: f.introducers}
	var errs []error
	fault := func(flag string, err error) {
		if err != nil {
			errs = append(errs, usageError{fmt.Errorf("--%s: %w", flag, err)})
		}
	}
	if f.node != "" || f.renew == "" {
		fault("node", identity.ParseName(f.node))
	}
	for _, g := range f.groups {
		fault("group", identity.ParseName(g))
	}
	if f.ip != "" {
		ip, err := netip.ParseAddr(f.ip)
		if err != nil || !ip.Is4() {
			err = fmt.Errorf("%.80q: want an IPv4 address", f.ip)
		}
		fault("ip", err)
		req.Grant.IP = ip
	}
	if f.days < 1 {
		fault("days", fmt.Errorf("%d: want at least 1", f.days))
	}
	for _, r := range f.routes {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			err = fmt.Errorf("%.80q: want a subnet such as 192.168.10.0/24", r)
		}
		fault("route", err)
		req.Grant.Routes = append(req.Grant.Routes, p)
	}
	for _, r := range f.roles {
		fault("role", checkRole(r))
		req.Grant.Roles = append(req.Grant.Roles, identity.Role(r))
	}
	for _, i := range f.introducers {
		fault("introducer", identity.ParseHostPort(i))
	}
	return req, errors.Join(errs...)
}

func checkRole(r string) error {
	switch identity.Role(r) {
	case identity.RoleIntroducer, identity.RoleGateway, identity.RoleRelay:
		return nil
	}
	return fmt.Errorf("%.80q: want introducer, gateway or relay", r)
}

func newCARevoke() *cobra.Command {
	var dir, node, out string
	cmd := &cobra.Command{
		Use:   "revoke --dir DIR --node NAME --out FILE",
		Short: "revoke every certificate of a node; hand the list to any node (cbctl node revoke)",
		Args:  args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "dir", "node", "out"); err != nil {
				return err
			}
			d, err := identity.OpenDir(dir)
			if err != nil {
				return err
			}
			list, err := d.Revoke(node, time.Now())
			if err := errors.Join(err, d.Close()); err != nil {
				return err
			}
			if err := identity.WriteFile(out, list, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "node %s is revoked; give any node the list: cbctl node revoke --file %s\n", node, out)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` of the authority")
	cmd.Flags().StringVar(&node, "node", "", "`NAME` of the node")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write the signed revocation list to")
	return cmd
}

func newCAList() *cobra.Command {
	var dir string
	var out output
	cmd := &cobra.Command{
		Use: "list --dir DIR", Short: "list what was issued", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "dir"); err != nil {
				return err
			}
			if _, err := os.Stat(dir); err != nil {
				return fmt.Errorf("--dir: %w", err)
			}
			d, err := identity.OpenDir(dir)
			if err != nil {
				return err
			}
			list := append([]identity.Issued{}, d.List()...) // [] and not null when nothing was issued
			if err := d.Close(); err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), list, func(t *table) { issuedRows(t, list) })
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` of the authority")
	out.register(cmd)
	return cmd
}

func issuedRows(t *table, list []identity.Issued) {
	t.head("NODE", "IP", "IP6", "ROLES", "GROUPS", "EXPIRES", "SERIAL", "REVOKED")
	for _, i := range list {
		var roles []string
		for _, r := range i.Roles {
			roles = append(roles, string(r))
		}
		revoked := ""
		if i.Revoked != nil {
			revoked = i.Revoked.Format(time.DateTime)
		}
		t.row(i.Node, i.IP.String(), i.IP6.String(), strings.Join(roles, ","), strings.Join(i.Groups, ","), i.Expires.Format(time.DateOnly), i.Serial, revoked)
	}
}
