package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

type requestIDKey struct{}

// requestID returns the id of the request that ctx belongs to.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

type remoteKey struct{}

// remoteAddr returns where the request came from, ADDRESS:PORT.
func remoteAddr(ctx context.Context) string {
	a, _ := ctx.Value(remoteKey{}).(string)
	return a
}

// identify gives the request an id, which the answer and the log carry.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b [8]byte
		rand.Read(b[:]) // never fails (crypto/rand)
		id := hex.EncodeToString(b[:])
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		ctx := context.WithValue(r.Context(), requestIDKey{}, id)
		ctx = context.WithValue(ctx, remoteKey{}, r.RemoteAddr)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// recovered turns a panic into an answer and a line in the log.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // net/http's own way to cut a connection
			}
			s.log.Error("panic", "panic", p, "request", requestID(r.Context()), "path", r.URL.Path, "stack", string(debug.Stack()))
			writeProblem(w, http.StatusInternalServerError, "internal error; see the server's log for request "+requestID(r.Context()))
		}()
		next.ServeHTTP(w, r)
	})
}

// isOpen reports whether the request needs no token: what a node calls before it
// is one. The paths are compared as they came, whole: nothing that is written in
// another way is open.
func isOpen(r *http.Request) bool {
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/enroll", "POST /v1/renew", "GET /v1/download/" + DownloadName, "HEAD /v1/download/" + DownloadName:
		return true
	}
	return false
}

// authorized lets only the administrator pass, but for the open paths.
func (s *Server) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOpen(r) {
			next.ServeHTTP(w, r)
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !s.admin.Check(token) {
			if s.refusals.Allow() {
				s.log.Warn("request without the administrator's token", "remote", r.RemoteAddr, "path", r.URL.Path)
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="cbnet"`)
			writeProblem(w, http.StatusUnauthorized, "the administrator's token is missing or wrong")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded reads the body, up to a limit and a deadline, before anything else
// looks at it, and bounds the time an answer may take.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := int64(maxBody)
		if isOpen(r) {
			limit = maxOpenBody
		}
		rc := http.NewResponseController(w)
		// Both fail only where the connection has no deadlines, as in a test
		// without a network.
		_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		if err != nil {
			status, detail := http.StatusBadRequest, "the request could not be read"
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				status, detail = http.StatusRequestEntityTooLarge, "the request is too large"
			}
			writeProblem(w, status, detail)
			return
		}
		_ = rc.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}
