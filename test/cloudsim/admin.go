package main

import (
	"encoding/json"
	"net/http"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// maxFaults bounds the body of PUT /faults, in bytes.
const maxFaults = 1 << 20

// admin is the API for tests.
type admin struct {
	clouds []served
	fabric *fabric.Fabric
	faults *faults.Injector
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /inventory", a.inventory)
	mux.HandleFunc("GET /faults", a.getFaults)
	mux.HandleFunc("PUT /faults", a.putFaults)
	mux.HandleFunc("GET /vms/{id}/console", a.console)
	return mux
}

func (a *admin) inventory(w http.ResponseWriter, _ *http.Request) {
	objects := []sim.Object{}
	for _, c := range a.clouds {
		objects = append(objects, c.Inventory()...)
	}
	for i := range objects {
		if objects[i].Tags == nil {
			objects[i].Tags = map[string]string{}
		}
	}
	writeJSON(w, http.StatusOK, objects)
}

func (a *admin) getFaults(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, a.faults.Config())
}

func (a *admin) putFaults(w http.ResponseWriter, r *http.Request) {
	c, err := faults.Parse(http.MaxBytesReader(w, r.Body, maxFaults), cloudNames)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	a.faults.Set(c)
	writeJSON(w, http.StatusOK, c)
}

func (a *admin) console(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if a.fabric.VMState(id) == fabric.StateNone {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "machine " + id + ": not found"})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(a.fabric.Console(id)) // the client may have gone
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
