// Package api holds what goes over the wire between cbserver and those who
// call it: the types of the HTTP API, a Go client of it, and openapi.json, the
// OpenAPI document that is generated from these types.
//
// All paths start with /v1. Requests carry the administrator's token as a
// bearer, except POST /v1/enroll, POST /v1/renew and GET /v1/download/..., which
// nodes call before they have any right. An answer that is no success is an
// RFC 9457 problem document, see [Problem]; it lists all faults of the request
// at once. A watch is a stream of server-sent events that a client resumes with
// the header Last-Event-ID, see [Client.WatchMCIS].
//
// The types have the tags that the server validates by and that the OpenAPI
// document shows; the package itself needs nothing but the standard library, so
// that a command that imports it starts fast.
package api
