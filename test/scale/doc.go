// Package scale holds a test that runs the drivers, guarded, against all
// simulated clouds at once: a hundred machines in as many regions, while calls
// are throttled and answers lost.
package scale
