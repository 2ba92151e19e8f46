package api

import "time"

// CloudSpec is one account of one cloud: the body of PUT /v1/clouds/{name}.
type CloudSpec struct {
	Provider    string `json:"provider" enum:"aws,gcp,azure,alibaba,openstack" doc:"kind of cloud"`
	Region      string `json:"region,omitempty" maxLength:"64" doc:"default region of groups that name none"`
	Endpoint    string `json:"endpoint,omitempty" maxLength:"512" doc:"root of the cloud's API where it is not the vendor's own"`
	Credentials Secret `json:"credentials,omitempty" maxLength:"65536" doc:"content of a credentials file in the ecosystem's own format; stored sealed, never returned"`
}

// Cloud is an account as the server shows it, without its credentials.
type Cloud struct {
	Name     string    `json:"name"`
	Provider string    `json:"provider"`
	Region   string    `json:"region,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Added    time.Time `json:"added"`
}

// CloudList is the answer of GET /v1/clouds.
type CloudList struct {
	Clouds []Cloud `json:"clouds" nullable:"false"`
}
