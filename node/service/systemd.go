package service

import (
	"fmt"
	"path/filepath"
	"strings"
)

func unitPath(name string) string { return filepath.Join(unitDir, name+".service") }

// hardening bounds what the daemon may do: it needs CAP_NET_ADMIN for its
// interface, its state folder, and the TUN device where the kernel has no
// WireGuard. There is no watchdog: to kill a daemon that waits for its disk would
// end the forwarding that goes on meanwhile.
const hardening = `CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
UMask=0077
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
`

// unbounded is for a daemon that runs commands for the mesh's servers: they
// may need anything, and what they leave running outlives a restart.
const unbounded = `KillMode=process
`

// unit returns the systemd unit, see systemd.service(5).
func unit(s Spec) string {
	args := []string{quoteUnit(binPath)}
	for _, a := range s.args() {
		args = append(args, quoteUnit(a))
	}
	limits := hardening + fmt.Sprintf("ReadWritePaths=%s\n", quoteUnit(s.State))
	if s.Socket != "" {
		limits += fmt.Sprintf("ReadWritePaths=%s\n", quoteUnit(filepath.Dir(s.Socket)))
	}
	if s.Exec {
		limits = unbounded
	}
	return fmt.Sprintf(`# Written by cbnetd install. Changes are lost when it runs again.
[Unit]
Description=cbnet node daemon on %s
Wants=network-online.target
After=network-online.target
# Never give up: the network may come back after any time.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=%s
Restart=on-failure
RestartSec=1
# 2: a broken flag or file. Trying again would not help.
RestartPreventExitStatus=2
# Ready means a place in the mesh, which may take as long as it takes.
TimeoutStartSec=infinity
TimeoutStopSec=10
RuntimeDirectory=cbnet wireguard
RuntimeDirectoryPreserve=yes
%sOOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
`, s.Interface, strings.Join(args, " "), limits)
}

// quoteUnit quotes one word for ExecStart: specifiers, variables and C escapes
// are switched off.
func quoteUnit(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s)
	if s == "" || strings.ContainsAny(s, " \t;'\\\"") {
		return `"` + s + `"`
	}
	return s
}
