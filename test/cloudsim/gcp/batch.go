package gcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
)

// maxBatch is how many calls a batch may have.
const maxBatch = 1000

// batchPath is where batches are sent to.
const batchPath = "/batch/compute/v1"

// RootPath is the path at the root of a server by which gcloud sends batches,
// wherever the API is served.
func (c *Cloud) RootPath() string { return batchPath }

// serveBatch answers several calls in one: a multipart body whose parts are
// HTTP requests, answered by parts that are HTTP responses. The faults of the
// calls inside are answers, as there is one connection for all.
func serveBatch(api http.Handler, w http.ResponseWriter, r *http.Request) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		http.Error(w, "Failed to parse batch request, error: missing Content-Type multipart/mixed", http.StatusBadRequest)
		return
	}
	parts := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxBody), params["boundary"])
	var out bytes.Buffer
	answers := multipart.NewWriter(&out)
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && n > 0 {
			break
		}
		if err == nil && n < maxBatch {
			err = answerPart(api, answers, part, r)
		} else if err == nil {
			err = fmt.Errorf("more than %d calls", maxBatch)
		}
		if err != nil {
			http.Error(w, "Failed to parse batch request, error: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	_ = answers.Close() // into memory
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+answers.Boundary())
	_, _ = w.Write(out.Bytes()) // the client may be gone
}

// answerPart answers one call of a batch. It is made with the batch's
// credentials unless it has its own.
func answerPart(api http.Handler, answers *multipart.Writer, part *multipart.Part, batch *http.Request) error {
	inner, err := http.ReadRequest(bufio.NewReader(part))
	if err != nil {
		return err
	}
	inner = inner.WithContext(batch.Context())
	if inner.Header.Get("Authorization") == "" && batch.Header.Get("Authorization") != "" {
		inner.Header.Set("Authorization", batch.Header.Get("Authorization"))
	}
	if i := strings.Index(inner.URL.Path, apiPath); i > 0 { // as the client sees it
		inner.URL.Path = inner.URL.Path[i:]
	}
	rec := httptest.NewRecorder()
	api.ServeHTTP(rec, inner)
	id := strings.TrimSuffix(strings.TrimPrefix(part.Header.Get("Content-ID"), "<"), ">")
	to, err := answers.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {"<response-" + id + ">"}})
	if err != nil {
		return err
	}
	resp := rec.Result()
	resp.ContentLength = int64(rec.Body.Len())
	return resp.Write(to)
}
