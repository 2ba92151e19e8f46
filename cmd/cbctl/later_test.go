package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeNamesLaterVerbs: what the release does not have is in README.md.
func TestReadmeNamesLaterVerbs(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n## What this release does not do yet\n")
	if !ok {
		t.Fatal("README.md does not say what is missing")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for group, verbs := range later {
		for verb := range verbs {
			if verb == "" && strings.Contains(section, "`"+group+"`") {
				continue
			}
			m := regexp.MustCompile("`" + group + " ([a-z|]+)`").FindStringSubmatch(section)
			if m == nil || !slices.Contains(strings.Split(m[1], "|"), verb) {
				t.Errorf("README.md does not say that %s %s is missing", group, verb)
			}
		}
	}
}
