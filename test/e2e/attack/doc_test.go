// Package attack_test holds built daemons to what is required of them under
// attack, on the real data path: an insider with a valid certificate and a
// tunnel to everyone, who speaks in its own way from its overlay address, and a
// stranger at the introducer. Honest streams lose nothing, memory stays flat,
// nothing of it reaches a device, and each kind is counted at /metrics.
package attack_test
