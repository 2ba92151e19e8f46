package mesh

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// metrics are the mesh's figures. They are registered while Run runs.
type metrics struct {
	records       *prometheus.CounterVec // by verdict, and by why one was refused
	lists         *prometheus.CounterVec // by what became of them
	refused       *prometheus.CounterVec // by reason
	introductions *prometheus.CounterVec // by result
	fetches       *prometheus.CounterVec // by result
	sets          *prometheus.CounterVec // by result
	peers         *prometheus.GaugeVec   // by state
	revocations   prometheus.Gauge       // number of the list in force
}

func newMetrics() *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cbnet", Subsystem: "mesh", Name: name, Help: help}, []string{label})
	}
	return &metrics{
		records:       counter("records_total", "Records received, by what became of them.", "verdict"),
		lists:         counter("revocation_lists_total", "Revocation lists received, by what became of them.", "verdict"),
		refused:       counter("gossip_refused_total", "What came to the gossip port and was refused or ignored, by reason.", "reason"),
		introductions: counter("introductions_total", "Connections to the introducer, by result.", "result"),
		fetches:       counter("fetches_total", "Records asked of members, by result.", "result"),
		sets:          counter("device_sets_total", "Changes made to the device, by result.", "result"),
		peers: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "cbnet", Subsystem: "mesh", Name: "peers",
			Help: "Other nodes, by state."}, []string{"state"}),
		revocations: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "cbnet", Subsystem: "mesh", Name: "revocations_number",
			Help: "Number of the revocation list in force."}),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.records, m.lists, m.refused, m.introductions, m.fetches, m.sets, m.peers, m.revocations}
}

// register adds the metrics to a registry, which may be nil, and returns how
// to take them out again.
func (m *metrics) register(r prometheus.Registerer) (func(), error) {
	if r == nil {
		return func() {}, nil
	}
	var errs []error
	for _, c := range m.all() {
		errs = append(errs, r.Register(c))
	}
	return func() {
		for _, c := range m.all() {
			r.Unregister(c)
		}
	}, errors.Join(errs...)
}

// count counts what the machine says.
func (m *metrics) count(c protocol.Count) {
	vec := map[protocol.Metric]*prometheus.CounterVec{
		protocol.MetricRecords: m.records, protocol.MetricLists: m.lists, protocol.MetricRefused: m.refused,
		protocol.MetricFetches: m.fetches, protocol.MetricSets: m.sets,
	}[c.Metric]
	if vec != nil {
		vec.WithLabelValues(c.Label).Inc()
	}
}

// set takes what the machine has counted.
func (m *metrics) set(g protocol.Gauge) {
	for st, n := range g.Peers {
		m.peers.WithLabelValues(string(st)).Set(float64(n))
	}
	m.revocations.Set(float64(g.Revocations))
}

// fault names the class of an error about something foreign, for a metric.
func fault(err error) string {
	if errors.Is(err, errBusy) {
		return "limited"
	}
	return protocol.Fault(err)
}
