package guard

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/cloud"
)

// Metrics count the calls of any number of guards. A nil *Metrics counts
// nothing.
//
//	cbnet_cloud_calls_total{provider,account,region,call,result}      tries of a driver's methods, by outcome
//	cbnet_cloud_call_seconds{provider,call}                            time of a try
//	cbnet_cloud_api_calls_total{provider,account,region,call,status}  requests, by the vendor's name of the call and HTTP status
//	cbnet_cloud_api_seconds{provider,call}                             time until the answer to a request begins
//	cbnet_cloud_throttled_total{provider,account,region,call}         requests that the cloud refused as too many
//	cbnet_cloud_rate{provider,account,region,kind}                    requests a second now allowed
type Metrics struct {
	reg        prometheus.Registerer
	calls      *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	apiCalls   *prometheus.CounterVec
	apiSeconds *prometheus.HistogramVec
	throttles  *prometheus.CounterVec
	rates      *prometheus.GaugeVec
}

// NewMetrics registers the metrics; Close takes them away again.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		reg: reg,
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cbnet_cloud_calls_total", Help: "Tries of calls to clouds, by outcome.",
		}, []string{"provider", "account", "region", "call", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cbnet_cloud_call_seconds", Help: "Time of a try of a call to a cloud.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"provider", "call"}),
		apiCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cbnet_cloud_api_calls_total", Help: "Requests to clouds, by call and HTTP status (none: no answer).",
		}, []string{"provider", "account", "region", "call", "status"}),
		apiSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cbnet_cloud_api_seconds", Help: "Time until the answer to a request begins.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"provider", "call"}),
		throttles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cbnet_cloud_throttled_total", Help: "Requests that the cloud refused as too many.",
		}, []string{"provider", "account", "region", "call"}),
		rates: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cbnet_cloud_rate", Help: "Requests a second that are made at most; falls when the cloud throttles.",
		}, []string{"provider", "account", "region", "kind"}),
	}
	for _, c := range m.collectors() {
		if err := reg.Register(c); err != nil {
			m.Close()
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.seconds, m.apiCalls, m.apiSeconds, m.throttles, m.rates}
}

// Close unregisters the metrics.
func (m *Metrics) Close() {
	if m == nil {
		return
	}
	for _, c := range m.collectors() {
		m.reg.Unregister(c)
	}
}

func (m *Metrics) call(g *guarded, c call, took time.Duration, err error) {
	if m == nil {
		return
	}
	m.calls.WithLabelValues(g.d.Provider(), g.opt.Account, c.region, c.name, result(err)).Inc()
	m.seconds.WithLabelValues(g.d.Provider(), c.name).Observe(took.Seconds())
}

func (m *Metrics) api(s *step, api apiCall, status string, took time.Duration) {
	if m == nil {
		return
	}
	m.apiCalls.WithLabelValues(s.g.d.Provider(), s.g.opt.Account, s.c.region, api.name, status).Inc()
	m.apiSeconds.WithLabelValues(s.g.d.Provider(), api.name).Observe(took.Seconds())
}

func (m *Metrics) throttled(s *step, api apiCall) {
	if m == nil {
		return
	}
	m.throttles.WithLabelValues(s.g.d.Provider(), s.g.opt.Account, s.c.region, api.name).Inc()
}

func (m *Metrics) rate(s *step, kind apiKind, b *bucket) {
	if m == nil {
		return
	}
	m.rates.WithLabelValues(s.g.d.Provider(), s.g.opt.Account, s.c.region, string(kind)).Set(b.allowed())
}

// result names the outcome of a call for a label.
func result(err error) string {
	if err == nil {
		return "ok"
	}
	for class, name := range map[error]string{
		cloud.ErrNotFound: "not_found", cloud.ErrConflict: "conflict", cloud.ErrInUse: "in_use",
		cloud.ErrQuota: "quota", cloud.ErrCapacity: "capacity", cloud.ErrThrottled: "throttled",
		cloud.ErrAuth: "auth", cloud.ErrInvalid: "invalid", cloud.ErrOwner: "owner",
	} {
		if errors.Is(err, class) {
			return name
		}
	}
	if errors.Is(err, cloud.ErrUnavailable) {
		return "unavailable"
	}
	return "failed"
}
