package service

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Places on the host. All are below Spec.Root.
const (
	binDir     = "/usr/local/bin"
	binPath    = binDir + "/cbnetd"
	configDir  = "/etc/cbnet"
	stateDir   = "/var/lib/cbnet" // default states lie in it
	unitDir    = "/etc/systemd/system"
	initDir    = "/etc/init.d"
	rcDir      = "/etc/rc2.d"
	systemdRun = "/run/systemd/system"
)

// Spec says what to install.
type Spec struct {
	Root string // a prefix of all paths, for tests and images: nothing is started then; "" is the host
	From string // the program to install; "" is the running one

	Interface  string // names the service: cbnetd-INTERFACE
	State      string // folder of the daemon's state
	Socket     string // control socket; "" is the daemon's default
	Credential []byte // content of the bundle or token file
	Join       bool   // the credential is a token
	Exec       bool   // commands may be run: no bounds on the daemon's rights
	// Flags are the daemon's other flags, each "--name" or "--name=value".
	Flags []string
}

// name is the name of the service.
func (s Spec) name() string { return "cbnetd-" + s.Interface }

// credentialPath is where the bundle or token lies on the host.
func (s Spec) credentialPath() string {
	if s.Join {
		return filepath.Join(configDir, s.Interface+".token")
	}
	return filepath.Join(configDir, s.Interface+".bundle")
}

// args returns the daemon's arguments.
func (s Spec) args() []string {
	flag := "--bundle="
	if s.Join {
		flag = "--join="
	}
	args := []string{flag + s.credentialPath(), "--interface=" + s.Interface, "--state=" + s.State}
	if s.Socket != "" {
		args = append(args, "--socket="+s.Socket)
	}
	if s.Exec {
		args = append(args, "--exec")
	}
	return append(args, s.Flags...)
}

func (s Spec) validate() error {
	if s.Interface == "" || strings.ContainsAny(s.Interface, "/ \t\n'\"\\%$@") {
		return fmt.Errorf("interface %q: not fit for the name of a service", s.Interface)
	}
	if !filepath.IsAbs(s.State) {
		return fmt.Errorf("state %q: want an absolute path: a service has no working folder", s.State)
	}
	if len(s.Credential) == 0 {
		return errors.New("bundle or token: it is empty")
	}
	for _, a := range s.args() {
		if strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("flag %q: a service's flags hold no control characters", a)
		}
	}
	return nil
}
