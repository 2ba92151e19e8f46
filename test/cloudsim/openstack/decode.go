package openstack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decodeWrapped reads a body of the form {"NAME": {...}} into dst, a pointer to
// a struct. Attributes that the struct does not have are refused, as the
// services do; its error says which, in plain words.
func decodeWrapped(body []byte, name string, dst any) error {
	var outer map[string]json.RawMessage
	if err := strictJSON(body, &outer); err != nil {
		return fmt.Errorf("the request body is not valid JSON: %w", err)
	}
	inner, ok := outer[name]
	if !ok {
		return fmt.Errorf("unable to find '%s' in request body", name)
	}
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(inner, &attributes); err != nil || attributes == nil {
		return fmt.Errorf("'%s' is not an object", name)
	}
	known := attributeNames(reflect.TypeOf(dst).Elem())
	var unknown []string
	for a := range attributes {
		if !slices.Contains(known, a) {
			unknown = append(unknown, "'"+a+"'")
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("unrecognized attribute(s) %s", strings.Join(unknown, ", "))
	}
	return json.Unmarshal(inner, dst)
}

// strictJSON reads exactly one JSON value.
func strictJSON(body []byte, dst any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(dst); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// attributeNames returns the names that a struct has in JSON.
func attributeNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, attributeNames(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// neutronBody reads the body of a request to Neutron.
func (c *call) neutronBody(name string, dst any) error {
	if err := decodeWrapped(c.body, name, dst); err != nil {
		return neutronFault(400, "HTTPBadRequest", "%s", upperFirst(err.Error()))
	}
	return nil
}

// novaBody reads the body of a request to Nova.
func (c *call) novaBody(name string, dst any) error {
	if err := decodeWrapped(c.body, name, dst); err != nil {
		return fault(400, "Invalid input for field/attribute %s. %s", name, upperFirst(err.Error()))
	}
	return nil
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// set gives dst the value of an attribute that was sent.
func set[T any](dst *T, sent *T) {
	if sent != nil {
		*dst = *sent
	}
}

// or returns the value of an attribute, def when it was not sent.
func or[T any](sent *T, def T) T {
	if sent == nil {
		return def
	}
	return *sent
}

func itoa(n int) string { return strconv.Itoa(n) }
