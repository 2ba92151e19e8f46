package discovery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkRequest returns the method of a request and everything that is wrong
// with it.
func (a *API) checkRequest(r *http.Request, body []byte) (*method, error) {
	m, path, err := a.find(r)
	if err != nil {
		return nil, err
	}
	errs := []error{a.checkParameters(m, path, r.URL.Query())}
	c := checker{api: a, method: m.ID, request: true}
	switch {
	case m.Request == nil && len(bytes.TrimSpace(body)) > 0:
		errs = append(errs, errors.New("a body, and the method has none"))
	case m.Request != nil && len(body) == 0:
		errs = append(errs, errors.New("no body"))
	case m.Request != nil:
		errs = append(errs, c.body(m.Request, body))
	}
	return m, prefix(m.ID+": request", errors.Join(errs...))
}

// checkParameters checks the parameters in path and query.
func (a *API) checkParameters(m *method, path map[string]string, query map[string][]string) error {
	var errs []error
	values := map[string][]string{}
	for k, v := range path {
		values[k] = []string{v}
	}
	maps.Copy(values, query)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s := m.Parameters[name]
		if s == nil {
			s = a.common[name]
		}
		switch {
		case s == nil:
			errs = append(errs, fmt.Errorf("parameter %s: unknown", name))
			continue
		case len(values[name]) != 1 && !s.Repeated:
			errs = append(errs, fmt.Errorf("parameter %s: given %d times", name, len(values[name])))
		}
		for _, v := range values[name] {
			errs = append(errs, prefix("parameter "+name, s.checkText(v)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		if _, ok := values[name]; m.Parameters[name].Required && !ok {
			errs = append(errs, fmt.Errorf("parameter %s: missing", name))
		}
	}
	return errors.Join(errs...)
}

// checkText checks the value of a parameter, which is text whatever its type.
func (s *schema) checkText(v string) error {
	switch s.Type {
	case "boolean":
		if v != "true" && v != "false" {
			return fmt.Errorf("%q: want a boolean", v)
		}
	case "integer":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return fmt.Errorf("%q: want an integer", v)
		}
		if low, err := strconv.ParseInt(s.Minimum, 10, 64); err == nil && n < low {
			return fmt.Errorf("%d: want at least %d", n, low)
		}
		if high, err := strconv.ParseInt(s.Maximum, 10, 64); err == nil && n > high {
			return fmt.Errorf("%d: want at most %d", n, high)
		}
	}
	return s.checkString(v)
}

// checkReply returns everything that is wrong with the answer to a request.
func (a *API) checkReply(m *method, status int, body []byte) error {
	c := checker{api: a, method: m.ID}
	var err error
	switch {
	case status >= 400:
		err = checkError(status, body)
	case status == http.StatusNoContent && len(body) == 0:
		// No reply of a method that has one may be empty.
		if m.Response != nil {
			err = errors.New("no content, and the method has a reply")
		}
	case m.Response == nil:
		err = fmt.Errorf("status %d with a body, and the method has no reply", status)
	default:
		err = c.body(m.Response, body)
	}
	return prefix(fmt.Sprintf("%s: reply %d", m.ID, status), err)
}

// checkError checks an answer that is not a success: errors have the same form
// in all of Google's APIs of this generation.
func checkError(status int, body []byte) error {
	var e struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Status  string `json:"status"`
			Details []any  `json:"details"`
			Errors  []struct {
				Message      string `json:"message"`
				Domain       string `json:"domain"`
				Reason       string `json:"reason"`
				Location     string `json:"location"`
				LocationType string `json:"locationType"`
			} `json:"errors"`
		} `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return err
	}
	if e.Error.Code != status || e.Error.Message == "" || len(e.Error.Errors) == 0 || e.Error.Errors[0].Reason == "" || e.Error.Errors[0].Domain == "" {
		return fmt.Errorf("an error without code, message or reason: %s", body)
	}
	return nil
}

// checker checks one body.
type checker struct {
	api     *API
	method  string
	request bool
}

func (c checker) body(s *schema, body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return c.value("", s, v)
}

// value checks a value; at is its place in the body.
func (c checker) value(at string, s *schema, v any) error {
	if s.Ref != "" {
		to := c.api.schemas[s.Ref]
		if to == nil {
			return fmt.Errorf("%s: the document lacks the schema %s", at, s.Ref)
		}
		return c.value(at, to, v)
	}
	switch s.Type {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %v: want an object", at, v)
		}
		return c.object(at, s, m)
	case "array":
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: %v: want an array", at, v)
		}
		var errs []error
		for i, item := range list {
			errs = append(errs, c.value(fmt.Sprintf("%s[%d]", at, i), s.Items, item))
		}
		return errors.Join(errs...)
	case "any":
		return nil
	}
	return prefix(at, s.checkScalar(v))
}

func (c checker) object(at string, s *schema, m map[string]any) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m)) {
		place := strings.TrimPrefix(at+"."+name, ".")
		p := s.Properties[name]
		switch {
		case p == nil && s.Additional == nil:
			errs = append(errs, fmt.Errorf("%s: unknown field", place))
			continue
		case p == nil:
			p = s.Additional
		case c.request && p.outputOnly():
			errs = append(errs, fmt.Errorf("%s: not for requests", place))
		}
		errs = append(errs, c.value(place, p, m[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if _, ok := m[name]; c.request && !ok && slices.Contains(s.Properties[name].Annotations.Required, c.method) {
			errs = append(errs, fmt.Errorf("%s: missing", strings.TrimPrefix(at+"."+name, ".")))
		}
	}
	return errors.Join(errs...)
}

// outputOnly reports whether a field is set by the server alone.
func (s *schema) outputOnly() bool {
	return s.ReadOnly || strings.HasPrefix(s.Description, "[Output Only]") || strings.HasPrefix(s.Description, "Output only.")
}

// checkScalar checks a value that is neither an object nor an array.
func (s *schema) checkScalar(v any) error {
	switch s.Type {
	case "boolean":
		if _, ok := v.(bool); !ok {
			return fmt.Errorf("%v: want a boolean", v)
		}
		return nil
	case "integer", "number":
		n, ok := v.(json.Number)
		if !ok {
			return fmt.Errorf("%v: want a number", v)
		}
		if _, err := strconv.ParseInt(n.String(), 10, bits(s.Format)); err != nil && s.Type == "integer" {
			return fmt.Errorf("%v: want an integer of %d bits", v, bits(s.Format))
		}
		return nil
	case "string":
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("%v: want a string", v)
		}
		return s.checkString(text)
	}
	return fmt.Errorf("type %q is unknown to this checker", s.Type)
}

func bits(format string) int {
	if format == "int32" || format == "uint32" {
		return 33 // either sign
	}
	return 64
}

// checkString checks a text against format, pattern and enumeration.
func (s *schema) checkString(v string) error {
	var err error
	switch s.Format {
	case "int64":
		_, err = strconv.ParseInt(v, 10, 64)
	case "uint64":
		_, err = strconv.ParseUint(v, 10, 64)
	case "byte":
		if _, err = base64.StdEncoding.DecodeString(v); err != nil {
			_, err = base64.URLEncoding.DecodeString(v)
		}
	case "google-datetime":
		_, err = time.Parse(time.RFC3339, v)
	}
	if err != nil {
		return fmt.Errorf("%q: want the format %s", v, s.Format)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		return fmt.Errorf("%q: want one of %s", v, strings.Join(s.Enum, ", "))
	}
	if s.Pattern == "" {
		return nil
	}
	re, err := regexp.Compile("^(?:" + s.Pattern + ")$")
	if err != nil {
		return fmt.Errorf("the document's pattern: %w", err)
	}
	if !re.MatchString(v) {
		return fmt.Errorf("%q: want the pattern %s", v, s.Pattern)
	}
	return nil
}

func prefix(what string, err error) error {
	if err == nil || what == "" {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
