package server

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// adminToken names the security scheme in the OpenAPI document.
const adminToken = "adminToken"

// routes registers every operation.
func (s *Server) routes() {
	mux := http.NewServeMux()
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	s.api = humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "cbnet", Version: "v1",
				Description: "One virtual network across clouds: accounts, multi-cloud infrastructure services, enrolment of nodes.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					adminToken: {Type: "http", Scheme: "bearer", Description: "the administrator's token"},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		Transformers:                 []huma.Transformer{withoutValues},
		RejectUnknownQueryParameters: true,
	})
	s.cloudRoutes()
	s.accountRoutes()
	s.mcisRoutes()
	s.execRoutes()
	s.nodeRoutes()
	s.versionRoutes()
	mux.HandleFunc("GET /v1/openapi.json", s.serveDocument)
	s.downloadRoute(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is nothing at this path")
	})
	s.handler = identify(s.recovered(s.authorized(s.throttled(bounded(mux)))))
}

// downloadRoute serves the node daemon, past huma: it is no JSON.
func (s *Server) downloadRoute(mux *http.ServeMux) {
	const path = "/v1/download/" + DownloadName
	mux.Handle("GET "+path, s.download)
	s.api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "download-daemon", Method: http.MethodGet, Path: path, Summary: "Download the node daemon",
		Responses: map[string]*huma.Response{"200": {
			Description: "The executable; its SHA-256 is in X-Checksum-Sha256.",
			Content:     map[string]*huma.MediaType{"application/octet-stream": {}},
			Headers:     map[string]*huma.Header{"X-Checksum-Sha256": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	})
}

// operation describes a call that needs the administrator's token. The body was
// read and bounded before.
func operation(method, path, id, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		Security:        []map[string][]string{{adminToken: {}}},
		MaxBodyBytes:    maxBody + 1,
		BodyReadTimeout: -1,
	}
}

// streams documents that the call answers with server-sent events whose data is
// a T.
func streams[T any](a huma.API, op huma.Operation) huma.Operation {
	schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
	op.Responses = map[string]*huma.Response{"200": {
		Description: "A stream of server-sent events; the data of each is a JSON object.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: schema}},
	}}
	return op
}

// noInput is the input of calls without parameters.
type noInput struct{}

// NameInput is exported for huma, which fills embedded structs only then. It is
// the input of calls about one named object.
type NameInput struct {
	Name string `path:"name" maxLength:"253"`
}

// output wraps an answer for huma.
type output[T any] struct{ Body T }

// Document returns the OpenAPI document, as GET /v1/openapi.json serves it.
func (s *Server) Document() ([]byte, error) { return s.api.OpenAPI().MarshalJSON() }

// serveDocument answers with the OpenAPI document.
func (s *Server) serveDocument(w http.ResponseWriter, _ *http.Request) {
	doc, err := s.Document()
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "the document cannot be made")
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json")
	// The client may be gone; there is nobody else to tell.
	_, _ = w.Write(doc)
}
