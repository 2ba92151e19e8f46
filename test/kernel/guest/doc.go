// Package guest is what runs inside a test's virtual machine, as its first
// process: it makes a bare Linux kernel usable and then runs commands for the
// test, over HTTP. There is neither a shell nor a distribution in the machine.
//
//	kernel ──/init──▶ Main: mounts, modules, network, then HTTP on [Port]
//	kernel ──/sbin/modprobe──▶ LoadModule: a module that the kernel asks for
//
// The same program is both; its own main function tells which is meant, see
// [IsInit] and [IsModprobe]. Package vm is the other side.
//
// It is not fit for a machine that anyone else can reach: whoever can connect is
// root.
package guest
