// Package vm boots small Linux machines for tests: a distribution's own kernel
// under an emulating QEMU, and nothing else but a program of ours as the first
// process. They show what a network namespace cannot: another kernel's modules,
// above all its WireGuard.
//
//	kernel, err := vm.FetchKernel(ctx, cacheDir)       // Debian's package, unpacked
//	err = vm.WriteImage(w, kernel, vm.Image{Init: exe, Boot: []string{"virtio_net"}})
//	m, err := vm.Start(vm.Config{Name: "a", Kernel: kernel, Initrd: path, Tap: "tap0", Addrs: addrs})
//	defer m.Close()
//	err = m.Ready(ctx)
//	result, err := m.Run(ctx, "/bin/cbctl", "node", "status")
//
// The machines use no KVM, so they run wherever QEMU does, and some ten times
// slower than the host. Times measured inside say nothing about real machines.
//
// Package guest is what runs inside; requests go to it over the machine's
// network card, which is a TAP device of the caller's network namespace.
package vm
