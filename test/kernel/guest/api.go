package guest

import (
	"os"
	"path/filepath"
	"time"
)

// Port is where a guest takes requests, on TCP.
const Port = 8080

// Paths in the initial file system, known to both sides.
const (
	// ModuleTable names the modules to load: a line each, a name or alias and
	// then files in loading order.
	ModuleTable = "/lib/modules/table"

	// BootModules is the name in ModuleTable under which those are that the
	// guest loads by itself. All others are loaded when the kernel asks.
	BootModules = "boot"

	// Init and Modprobe are the program itself.
	Init     = "/init"
	Modprobe = "/sbin/modprobe"
)

// Parameters on the kernel's command line.
const (
	ParamName  = "guest.name"  // host name
	ParamAddrs = "guest.addrs" // of eth0: prefixes, with commas between
)

// RunRequest asks for a command to be run to its end (POST /run, answered by a
// [Result]).
type RunRequest struct {
	Args    []string
	Timeout time.Duration // after which it is killed
}

// Result is how a command ended.
type Result struct {
	Exit   int // code; -1 after a signal
	Stdout string
	Stderr string
}

// StartRequest asks for a command to be started and left running (POST /start,
// no answer). It writes to the console.
type StartRequest struct {
	Name string // for SignalRequest
	Args []string
}

// SignalRequest ends a started command (POST /signal, answered by a [Result]
// without output). The answer comes when it has ended.
type SignalRequest struct {
	Name    string
	Signal  int
	Timeout time.Duration
}

// File is one to be written (POST /file, no answer).
type File struct {
	Path string
	Mode os.FileMode
	Data []byte
}

// IsInit reports whether this process is a machine's first.
func IsInit() bool { return os.Getpid() == 1 && os.Args[0] == Init }

// IsModprobe reports whether the kernel started this process to load a module.
func IsModprobe() bool { return filepath.Base(os.Args[0]) == filepath.Base(Modprobe) }
