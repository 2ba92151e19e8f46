// Package overlay is one node's data plane: a WireGuard interface with its
// keys, peers, addresses and routes.
//
// It is told the whole wanted state and makes the machine match:
//
//	dev, err := overlay.Open(ctx, overlay.Options{Interface: "cbn0", Log: log})
//	...
//	defer dev.Close()
//	err = dev.Set(ctx, overlay.Config{PrivateKey: key, Port: 51820, ...})
//
// [Device.Set] may be called as often as the caller likes. It reads what the
// machine has, computes the difference with a pure function and makes only the
// calls that are needed: a second equal Set changes nothing, and peers that did
// not change keep their sessions.
//
// # Datapaths
//
// The kernel's WireGuard is used where the kernel has it, and otherwise an
// embedded wireguard-go on a TUN device. Both are driven by wgctrl, the latter
// through the same UAPI socket that the `wg` tool uses, so there is one code
// path for configuring, and `wg show` works on either.
//
// The userspace datapath holds each packet in a buffer of 64 KiB. What is
// received and not yet written is bounded to two batches of 128 packets; the
// rest waits in the sockets. A process that opens one passes
// [UserspaceMemoryLimit] to [runtime/debug.SetMemoryLimit] and
// [UserspaceGCPercent] to [runtime/debug.SetGCPercent]; a package must not change
// such settings of the whole process. [Options.NoOffload] handles packets one by
// one: slower, with less memory, and safe on kernels whose segmentation offloads
// are broken.
//
// Two peers that call each other at the same moment would refuse each other's
// responses and wait for 5 s. The userspace datapath's socket sees both
// initiations and lets one side go first; the kernel's cannot.
//
// # What it is not
//
// It decides nothing: who is a peer, what a peer may claim and which endpoint
// is best is up to its caller. It does not verify certificates and it is no
// firewall. It speaks to Linux only.
//
// # Namespaces
//
// Interfaces, UDP sockets and locks belong to the network namespace of the
// process, UAPI sockets (/var/run/wireguard/NAME.sock) to its mount namespace.
// Two processes with equal interface names in two network namespaces therefore
// need a mount namespace each, unless both use the kernel's WireGuard.
//
// All methods of [Device] may be called from several goroutines.
package overlay
