package mcis

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
)

// ParseSpec reads the documents of kind MCIS in a YAML file. On error it is
// [Faults] with everything that is wrong; the specs that could be read, as far
// as they could, come back beside it.
func ParseSpec(file string, data []byte) ([]Spec, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nil, Faults{{File: file, What: "no document of kind MCIS"}}
		}
		if err != nil {
			return nil, Faults{{File: file, What: fmt.Sprint(err)}}
		}
	}
}
