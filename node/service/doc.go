// Package service installs cbnetd as a service of the host and removes it
// again.
//
// [Install] copies the program to /usr/local/bin, the bundle or token to
// /etc/cbnet, and writes a systemd unit where systemd runs, otherwise a plain
// init script that restarts the daemon by itself. Both are made anew from the
// same [Spec], so installing twice changes nothing the second time. A list of
// what was written lies beside the bundle; [Uninstall] works by it.
//
// One host may run several daemons, one for each interface; they share the
// program.
package service
