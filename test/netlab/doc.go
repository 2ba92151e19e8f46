// Package netlab makes networks for tests on one Linux host: hosts, sites with
// routers and NAT, and an impaired internet between the sites.
//
//	 lab.Internet: a user-space router of this process; per ordered pair of
//	 sites delay, jitter, loss, reordering, duplication, rate, MTU, cuts
//	───────┬─────────────────────────────┬────────────────────────
//	   up  │ TUN 198.18.1.1              │ TUN, no address of its own
//	┌──────┴───────────┐         ┌───────┴──────────┐
//	│ router of "home" │ NAT     │ router of "aws"  │ 1:1 NAT
//	└──────┬───────────┘         └───────┬──────────┘
//	   lan │ bridge 192.168.1.0/24       │ 192.168.2.0/24, 2001:db8:2::/64
//	   ┌───┴──┐  ┌──────┐                │
//	   │ eth0 │  │ eth0 │            ┌───┴──┐
//	   └──────┘  └──────┘            │ eth0 │ seen as 198.18.2.2
//	   host "a"  host "b"            └──────┘ host "c"
//
// Each router and each [Host] has a network namespace; a host has a mount
// namespace with a /run of its own beside it (locks and the UAPI sockets of
// WireGuard lie there), and a /proc and /sys that fit. All other files are those
// of the caller: what lies in t.TempDir() is seen by the test and all hosts.
//
//	lab := netlab.New(t, netlab.Options{})
//	home := lab.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy})
//	aws := lab.Site("aws", netlab.SiteOptions{NAT: netlab.NATOneToOne, IPv6: true})
//	a, c := home.Host("a"), aws.Host("c")
//	lab.Internet.Link(home, aws, netlab.Link{Delay: 15 * time.Millisecond, Loss: 0.01})
//
//	p := c.Start("cbnetd", "/path/to/cbnetd", "--bundle", bundle)        // a daemon, its log kept
//	out, err := a.Command(ctx, "ip", "addr").Output()                   // a command
//	err = a.Do(func() error { conn, err = net.Dial("udp", addr); ... }) // Go code
//	results, err := a.Ping(ctx, []netip.Addr{c.Public()})               // many at once
//	lab.Internet.Split(home)                                            // a partition
//	lab.Internet.Heal()
//	p.Kill()
//
// # What is left behind
//
// Nothing, whatever happens. No namespace has a name: they are held by
// descriptors of this process. All processes of a lab live in one PID namespace,
// whose PID 1 ends with this process, so that even after kill -9 the kernel
// removes processes, namespaces, links, mounts and rules by itself, and there is
// nothing to sweep. Nothing is made in the caller's own network namespace, so
// labs do not get in each other's way and may run in private namespaces.
//
// To look into a host from outside: `nsenter --net=PATH`, see [Host.NetNS].
//
// # What it is not
//
// The kernel of all hosts is one: clock, modules and the sysctls outside of
// namespaces are shared. The internet neither fragments nor decrements the TTL;
// traffic within a site does not pass it. Delays are exact to about a
// millisecond. It needs root and nft(8); without them tests are skipped, or fail
// where the environment has CI set.
//
// Methods may be called concurrently, but those that make sites, hosts and
// processes must be called from the goroutine of the test: they end the test on
// failure.
package netlab
