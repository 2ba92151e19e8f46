package aws

import (
	"bytes"
	"encoding/xml"
	"time"
)

const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// set is a list as EC2 writes it: <nameSet><item/>...</nameSet>, and an empty
// element rather than none when there is nothing in it.
type set[T any] struct {
	Items []T `xml:"item"`
}

// setOf returns a set of rows made from values.
func setOf[V, T any](values []V, row func(V) T) set[T] {
	s := set[T]{Items: make([]T, 0, len(values))}
	for _, v := range values {
		s.Items = append(s.Items, row(v))
	}
	return s
}

// done is the answer of the calls that say no more than yes.
type done struct {
	Return bool `xml:"return"`
}

// value wraps an attribute, as in <sourceDestCheck><value>false</value>.
type value[T any] struct {
	Value T `xml:"value"`
}

// xmlTag is a tag of the resource it is listed in.
type xmlTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// stamp prints a time as EC2 does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// encodeAnswer prints the answer of an action.
func encodeAnswer(action, requestID string, body any) ([]byte, error) {
	var buf bytes.Buffer
	enc := xml.NewEncoder(&buf)
	start := xml.StartElement{
		Name: xml.Name{Local: action + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}},
	}
	if err := enc.EncodeElement(body, start); err != nil {
		return nil, err
	}
	head, rest, _ := bytes.Cut(buf.Bytes(), []byte(">"))
	return bytes.Join([][]byte{[]byte(xml.Header), head, []byte("><requestId>"), []byte(requestID), []byte("</requestId>"), rest}, nil), nil
}

// encodeError prints an error's answer.
func encodeError(e *apiError, requestID string) ([]byte, error) {
	type entry struct {
		Code    string
		Message string
	}
	answer := struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []entry  `xml:"Errors>Error"`
		RequestID string
	}{Errors: []entry{{e.code, e.message}}, RequestID: requestID}
	out, err := xml.Marshal(answer)
	return append([]byte(xml.Header), out...), err
}
