package fabric

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// initCommand is the hidden sub-command that makes a process PID 1 of a VM.
const initCommand = "vm-init"

// Exit statuses of PID 1.
const (
	exitPowerOff = 0
	exitBroken   = 1
	exitReboot   = 64 // start me again
)

// lifeFD is the descriptor of the pipe to the fabric: first the configuration,
// then silence until the fabric dies.
const lifeFD = 3

// Times that the guest gives others.
const (
	bootTimeout   = 30 * time.Minute // of one cloud-init stage: user-data may install a lot
	scriptTimeout = 30 * time.Second // of one init script at boot
	stopTimeout   = 2 * time.Second  // of one init script at shutdown
	termTimeout   = time.Second      // from SIGTERM to SIGKILL
)

// initConfig is what the fabric tells PID 1.
type initConfig struct {
	Hostname string `json:"hostname"`
	Terminal string `json:"terminal"` // path of the console on the host
	// SysFiles are files that /sys has beside the kernel's, by path below it.
	SysFiles map[string]string `json:"sysFiles,omitempty"`
}

// IsInit tells from the program's arguments (os.Args) that it was started to be
// PID 1 of a VM: main must then call [Init] and exit with its result.
func IsInit(args []string) bool {
	return len(args) == 2 && args[1] == initCommand && os.Getpid() == 1
}

// Init is PID 1 of a VM: it makes the machine out of its namespaces, boots it,
// and reaps until it is told to go down. The result is the exit status.
//
//	mounts, host name        then  cloud-init init --local, init
//	/etc/rc2.d/S* start            as they were before user-data ran
//	cloud-init modules config, final
//
// SIGTERM or SIGPWR switches the machine off, SIGINT restarts it: the init
// scripts are stopped in reverse order, everything else is ended, and the
// namespaces go with PID 1.
func Init() int {
	unix.CloseOnExec(lifeFD)
	life := bufio.NewReader(os.NewFile(lifeFD, "life"))
	line, err := life.ReadBytes('\n')
	if err != nil {
		return exitBroken // the fabric has died
	}
	go func() {
		_, _ = io.Copy(io.Discard, life) // returns when the fabric dies
		os.Exit(exitBroken)
	}()
	var c initConfig
	if err := json.Unmarshal(line, &c); err != nil {
		return broken(err)
	}
	if err := makeRoot(c); err != nil {
		return broken(err)
	}
	return (&initProcess{reaper: newReaper()}).run()
}

func broken(err error) int {
	fmt.Fprintln(os.Stderr, "vm-init:", err)
	return exitBroken
}

// initProcess is PID 1 once its root is in place.
type initProcess struct {
	reaper *reaper
}

// run boots in the background and waits for the order to go down.
func (p *initProcess) run() int {
	orders := make(chan os.Signal, 1)
	signal.Notify(orders, unix.SIGTERM, unix.SIGINT, unix.SIGPWR)
	go p.boot()
	order := <-orders
	p.shutdown()
	if order == unix.SIGINT {
		return exitReboot
	}
	return exitPowerOff
}

// boot runs what a machine runs after its kernel. A stage that fails is told on
// the console and does not stop the others, as on a real machine.
func (p *initProcess) boot() {
	start := time.Now()
	p.stage("cloud-init", "init", "--local")
	p.stage("cloud-init", "init")
	for _, script := range initScripts() {
		if err := p.reaper.run(scriptTimeout, script, "start"); err != nil {
			fmt.Printf("vm-init: %s start: %v\n", script, err)
		}
	}
	p.stage("cloud-init", "modules", "--mode=config")
	p.stage("cloud-init", "modules", "--mode=final")
	fmt.Printf("vm-init: booted in %.1f s\n", time.Since(start).Seconds())
}

func (p *initProcess) stage(argv ...string) {
	if err := p.reaper.run(bootTimeout, argv...); err != nil {
		fmt.Printf("vm-init: %v: %v\n", argv, err)
	}
}

// initScripts lists the start scripts of run level 2 in their order.
func initScripts() []string {
	scripts, err := filepath.Glob("/etc/rc2.d/S*") // sorted
	if err != nil {
		return nil // the pattern is well formed
	}
	return scripts
}

// shutdown stops the init scripts, then everything.
func (p *initProcess) shutdown() {
	fmt.Println("vm-init: going down")
	scripts := initScripts()
	for i := len(scripts) - 1; i >= 0; i-- {
		if err := p.reaper.run(stopTimeout, scripts[i], "stop"); err != nil {
			fmt.Printf("vm-init: %s stop: %v\n", scripts[i], err)
		}
	}
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.Kill(-1, s); errors.Is(err, unix.ESRCH) {
			return // nobody is left
		}
		p.reaper.waitAll(termTimeout)
	}
}
