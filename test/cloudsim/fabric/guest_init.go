package fabric

// initCommand is the hidden sub-command that makes a process PID 1 of a VM.
const initCommand = "vm-init"

// IsInit tells from the program's arguments (os.Args) that it was started to be
// PID 1 of a VM: main must then call [Init] and exit with its result.
func IsInit(args []string) bool { return len(args) > 1 && args[1] == initCommand }
