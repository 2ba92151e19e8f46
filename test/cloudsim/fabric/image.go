package fabric

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// guestFile is a file that a cloud's image would bring.
type guestFile struct {
	text string
	mode fs.FileMode
}

// guestFiles are the files of a VM's image that differ from the host's, by path.
func guestFiles(v VM) map[string]guestFile {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails, by its contract
	files := map[string]guestFile{
		"etc/machine-id":                       {hex.EncodeToString(id) + "\n", 0o444},
		"etc/hostname":                         {v.Hostname + "\n", 0o644},
		"etc/hosts":                            {hostsFile, 0o644},
		"etc/resolv.conf":                      {resolvFile, 0o644},
		"etc/cloud/cloud.cfg":                  {cloudConfig(v.Datasource, distro()), 0o644},
		"etc/cloud/cloud.cfg.d/05_logging.cfg": {cloudLogging, 0o644},
		"usr/local/sbin/reboot":                {"#!/bin/sh\n# To PID 1: restart the machine.\nexec kill -INT 1\n", 0o755},
		"usr/local/sbin/poweroff":              {"#!/bin/sh\n# To PID 1: switch the machine off.\nexec kill -TERM 1\n", 0o755},
	}
	for name, text := range v.Seed {
		files["var/lib/cloud/seed/"+strings.ToLower(v.Datasource)+"/"+name] = guestFile{string(text), 0o600}
	}
	return files
}

const hostsFile = `127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
`

// resolvFile names no server: the simulated internet has no DNS, and a look-up
// fails at once, as nothing listens on the loopback address either.
const resolvFile = `# no name server in the simulated internet
options timeout:1 attempts:1
`

// distro is what cloud-init calls this distribution.
func distro() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "debian"
	}
	for line := range strings.Lines(string(data)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(id, `"'`)
		}
	}
	return "debian"
}

// cloudConfig is the configuration of cloud-init in the image: the modules that
// user-data may ask for, the one datasource of the cloud, and no network
// configuration, as the address is there before the guest starts. Users and SSH
// are left out: there is no SSH server in the image.
func cloudConfig(datasource, distro string) string {
	return fmt.Sprintf(`datasource_list: [ %s ]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: [ "http://169.254.169.254" ]
    max_wait: 30
    timeout: 5
  OpenStack:
    metadata_urls: [ "http://169.254.169.254" ]
    max_wait: 30
    timeout: 5
    retries: 5
  AliYun:
    metadata_urls: [ "http://100.100.100.200" ]
    max_wait: 30
    timeout: 5
network: {config: disabled}
preserve_hostname: false
manage_etc_hosts: localhost
disable_root: false
cloud_init_modules: [ bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts ]
cloud_config_modules: [ runcmd ]
cloud_final_modules: [ scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, final-message ]
output: {all: "| tee -a /var/log/cloud-init-output.log"}
system_info:
  distro: %s
  paths:
    cloud_dir: /var/lib/cloud/
    templates_dir: /etc/cloud/templates/
`, datasource, distro)
}

// cloudLogging sends cloud-init's log to its usual file, warnings also to the
// console.
const cloudLogging = `log_cfgs:
 - |
   [loggers]
   keys=root,cloudinit
   [handlers]
   keys=consoleHandler,fileHandler
   [formatters]
   keys=simple
   [logger_root]
   level=WARNING
   handlers=consoleHandler,fileHandler
   [logger_cloudinit]
   level=DEBUG
   qualname=cloudinit
   handlers=
   propagate=1
   [handler_consoleHandler]
   class=StreamHandler
   level=WARNING
   formatter=simple
   args=(sys.stderr,)
   [handler_fileHandler]
   class=FileHandler
   level=DEBUG
   formatter=simple
   args=('/var/log/cloud-init.log',)
   [formatter_simple]
   format=%(asctime)s - %(filename)s[%(levelname)s]: %(message)s
`
