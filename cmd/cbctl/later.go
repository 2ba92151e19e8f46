package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// later lists the verbs that are planned and that this release does not have,
// by their group, each with what to do meanwhile. README.md names them too, and
// a test compares.
var later = map[string]map[string]string{
	"mcis": {
		"suspend": "", "resume": "", "cp": "", "ssh": "use cbctl mcis exec",
		"reboot": "use cbctl mcis exec NAME --node N -- reboot",
		"scale":  "change count in the file and apply it again",
	},
	"mesh": {"": "the nodes that a server made are in cbctl mcis list, those that this host knows in cbctl node peers"},
	"app":  {"": "start programs by cbctl mcis exec"},
}

// addLater adds a hidden command for every verb of a group that this release
// does not have: who knows it from the documents is told so, whatever the flags.
func addLater(cmd *cobra.Command, group string) *cobra.Command {
	for verb, hint := range later[group] {
		if verb != "" {
			cmd.AddCommand(newLater(verb, hint))
		}
	}
	return cmd
}

// newLater returns a verb, or a group of verbs, that ends as wrong usage.
func newLater(name, hint string) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := strings.TrimPrefix(cmd.CommandPath(), "cbctl ") + ": this release does not have it yet"
			if hint != "" {
				text += "; " + hint
			}
			return usageError{fmt.Errorf("%s", text)}
		},
	}
}
