package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/service"
	"github.com/cbnet-io/cbnet/overlay"
)

const installLong = `install makes this host run cbnetd, now and after each start.

It copies the program to /usr/local/bin/cbnetd and the bundle or token to
/etc/cbnet, and writes a systemd unit, or an init script where systemd does not
run. Without --exec the unit gives the daemon CAP_NET_ADMIN and nothing else.
Installing again with the same flags changes nothing.`

func newInstallCommand() *cobra.Command {
	var (
		f          flags
		root, from string
	)
	cmd := &cobra.Command{
		Use:   "install (--bundle FILE | --join FILE|-) [flags]",
		Short: "run cbnetd as a service of this host",
		Long:  installLong,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := f.config(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			s, err := f.spec(c, cmd.InOrStdin())
			if err != nil {
				return err
			}
			s.Root, s.From = root, from
			if err := needRoot(root, "install"); err != nil {
				return err
			}
			if err := service.Install(cmd.Context(), s, service.Exec); err != nil {
				return fmt.Errorf("install: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "cbnetd-%s is installed\n", s.Interface)
			return err
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&root, "root", "", "write below `DIR` and start nothing")
	cmd.Flags().StringVar(&from, "from", "", "install this `PROGRAM` (default: the one that runs)")
	return cmd
}

// spec reads and checks the credential and returns what to install.
func (f *flags) spec(c node.Config, stdin io.Reader) (service.Spec, error) {
	s := service.Spec{Interface: c.Interface, State: c.State, Exec: c.Exec, Join: c.Join != "", Flags: f.forService()}
	if s.State == "" {
		s.State = filepath.Join(node.DefaultStateDir, c.Interface)
	}
	s.Socket = c.Socket
	path, flag := c.Bundle, "--bundle"
	if s.Join {
		path, flag = c.Join, "--join"
	}
	if path == "" {
		return s, &node.InputError{What: "--bundle", Err: errors.New("want --bundle FILE or --join FILE")}
	}
	data, err := readCredential(path, stdin)
	if err != nil {
		return s, &node.InputError{What: flag, Err: err}
	}
	if s.Join {
		_, err = identity.ParseToken(string(data))
	} else {
		_, err = identity.ParseBundle(data)
	}
	if err != nil {
		return s, &node.InputError{What: flag + " " + path, Err: err}
	}
	s.Credential = data
	return s, nil
}

func readCredential(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(stdin, identity.MaxToken+1))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, identity.MaxBundle+1))
}

// needRoot says early and plainly what the many file errors would say.
func needRoot(root, verb string) error {
	if root == "" && os.Geteuid() != 0 {
		return fmt.Errorf("%s: %w: it changes this host and needs root; run it with sudo", verb, node.ErrPrivilege)
	}
	return nil
}

func newUninstallCommand() *cobra.Command {
	var r service.Removal
	cmd := &cobra.Command{
		Use:   "uninstall [--interface cbn0] [--purge]",
		Short: "stop the service and remove all that install wrote",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (node.Config{Interface: r.Interface}).Validate(); err != nil {
				return err
			}
			if err := needRoot(r.Root, "uninstall"); err != nil {
				return err
			}
			if err := service.Uninstall(cmd.Context(), r, service.Exec); err != nil {
				return fmt.Errorf("uninstall: %w", err)
			}
			if r.Root == "" {
				if err := overlay.Cleanup(r.Interface); err != nil {
					return fmt.Errorf("uninstall: %w", err)
				}
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "cbnetd-%s is removed\n", r.Interface)
			return err
		},
	}
	cmd.Flags().StringVar(&r.Interface, "interface", node.DefaultInterface, "`NAME` of the service's interface")
	cmd.Flags().BoolVar(&r.Purge, "purge", false, "remove the node's state too: its keys and its place in the mesh")
	cmd.Flags().StringVar(&r.Root, "root", "", "remove below `DIR` and stop nothing")
	return cmd
}
