package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// guessHost returns the first IPv4 address of this host that others may know,
// leaving out the tunnel's own interface.
func guessHost(tunnel string) (string, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("own addresses: %w", err)
	}
	for _, i := range ifaces {
		if i.Name == tunnel || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return "", fmt.Errorf("own addresses: %w", err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
				return p.Addr().String(), nil
			}
		}
	}
	return "", errors.New("this host has no address that machines could reach; say which one with --public HOST")
}

// advertise returns the addresses of the host as the own node tells them to its
// peers; none where it cannot be resolved or leads nowhere else.
func advertise(ctx context.Context, host string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || len(out) == 4 {
			continue
		}
		out = append(out, a)
	}
	return out
}
