// Package bench measures whole programs side by side: cbnetd, a bare
// wireguard-go and nebula, between the same two network namespaces, round by
// round in turn, so that whatever else the machine does hits all alike.
//
//	host a                        host b
//	+-------------+    veth    +-------------+
//	| iperf3 -c   |============| iperf3 -s   |     raw
//	| cbnetd      |            | cbnetd      |     cbn0   10.66.0.0/16
//	| wireguard-go|            | wireguard-go|     wgb0   10.77.0.0/24
//	| nebula      |            | nebula      |     neb0   10.88.0.0/24
//	+-------------+            +-------------+
//
// Both ends run on one machine and share its cores, so a figure says nothing
// of two machines; the ratios do. This package is what is pure: statistics and
// the table. `make bench` runs the tests that measure, with -parts.
package bench
