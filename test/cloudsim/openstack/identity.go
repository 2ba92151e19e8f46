package openstack

import (
	"crypto/subtle"
	"time"
)

// token is a session of the one user there is.
type token struct {
	issued, expires time.Time
	audit           string
	methods         []string
}

// authRequest is the body of POST /v3/auth/tokens.
type authRequest struct {
	Identity struct {
		Methods  []string `json:"methods"`
		Password struct {
			User struct {
				ID       string `json:"id"`
				Name     string `json:"name"`
				Password string `json:"password"`
				Domain   domain `json:"domain"`
			} `json:"user"`
		} `json:"password"`
		Token struct {
			ID string `json:"id"`
		} `json:"token"`
	} `json:"identity"`
	Scope *scope `json:"scope"`
}

// scope is what a token is for.
type scope struct {
	Project struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Domain domain `json:"domain"`
	} `json:"project"`
}

// domain names the domain of a user or project.
type domain struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// isDefault reports whether it is the one domain there is.
func (d domain) isDefault() bool { return d.ID == "default" || d.Name == "Default" }

// domainDoc prints the one domain.
func domainDoc() map[string]any { return map[string]any{"id": "default", "name": "Default"} }

// authorizedLocked reports whether a token is known and has not expired.
func (c *Cloud) authorizedLocked(id string) bool {
	t, ok := c.tokens[id]
	return ok && c.now().Before(t.expires)
}

func issueToken(c *call) (answer, error) {
	var body authRequest
	if err := decodeWrapped(c.body, "auth", &body); err != nil {
		return answer{}, fault(400, "%s", upperFirst(err.Error()))
	}
	if !c.genuine(body) {
		return answer{}, fault(401, "The request you have made requires authentication.")
	}
	now := c.now()
	for id, t := range c.tokens {
		if now.After(t.expires) {
			delete(c.tokens, id)
		}
	}
	id := newHex(32)
	t := token{issued: now, expires: now.Add(c.opts.TokenLife), audit: newHex(8), methods: body.Identity.Methods}
	c.tokens[id] = t
	return answer{status: 201, body: map[string]any{"token": c.tokenDoc(t)}, header: map[string]string{"X-Subject-Token": id}}, nil
}

// genuine reports whether a request to log in names the one user and project
// and proves it.
func (c *call) genuine(body authRequest) bool {
	if s := body.Scope; s != nil {
		p := s.Project
		if p.ID != c.project && (p.Name != "demo" || !p.Domain.isDefault()) {
			return false
		}
	}
	if len(body.Identity.Methods) != 1 {
		return false
	}
	switch body.Identity.Methods[0] {
	case "password":
		u := body.Identity.Password.User
		known := u.ID == c.user || u.Name == "demo" && u.Domain.isDefault()
		return subtle.ConstantTimeCompare([]byte(u.Password), []byte(c.opts.Password)) == 1 && known
	case "token":
		return c.authorizedLocked(body.Identity.Token.ID)
	default:
		return false
	}
}

// userDoc and projectDoc print the one user and project.
func (c *call) userDoc() map[string]any {
	return map[string]any{"id": c.user, "name": "demo", "domain": domainDoc(), "password_expires_at": nil}
}

func (c *call) projectDoc() map[string]any {
	return map[string]any{"id": c.project, "name": "demo", "domain": domainDoc()}
}

// projectRow prints the project as an object of Keystone's.
func (c *call) projectRow() map[string]any {
	return map[string]any{
		"id": c.project, "name": "demo", "domain_id": "default", "enabled": true, "is_domain": false, "parent_id": "default",
		"description": "", "tags": []string{}, "options": map[string]any{}, "links": map[string]string{"self": c.opts.URL + "/v3/projects/" + c.project},
	}
}

// tokenDoc prints what a token stands for, with the catalog.
func (c *call) tokenDoc(t token) map[string]any {
	const form = "2006-01-02T15:04:05.000000Z"
	return map[string]any{
		"methods": t.methods, "user": c.userDoc(), "project": c.projectDoc(), "is_domain": false,
		"audit_ids": []string{t.audit}, "issued_at": t.issued.UTC().Format(form), "expires_at": t.expires.UTC().Format(form),
		"roles": []map[string]any{{"id": newHex(16), "name": "member"}, {"id": newHex(16), "name": "reader"}}, "catalog": c.catalog(),
	}
}

// catalog prints where the services are.
func (c *call) catalog() []map[string]any {
	service := func(kind, name, url string) map[string]any {
		var endpoints []map[string]any
		for _, face := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, map[string]any{
				"id": name + "-" + face, "interface": face, "region": Region, "region_id": Region, "url": url,
			})
		}
		return map[string]any{"id": name, "type": kind, "name": name, "endpoints": endpoints}
	}
	return []map[string]any{
		service("identity", "keystone", c.opts.URL),
		service("compute", "nova", c.opts.URL+"/compute/v2.1"),
		service("network", "neutron", c.opts.URL+"/network"),
		service("image", "glance", c.opts.URL+"/image"),
	}
}

// subject returns the token that a request is about.
func (c *call) subject() (token, error) {
	id := c.req.Header.Get("X-Subject-Token")
	if !c.authorizedLocked(id) {
		return token{}, fault(404, "This is not a recognized Fernet token %s", id)
	}
	return c.tokens[id], nil
}

func showToken(c *call) (answer, error) {
	t, err := c.subject()
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: map[string]any{"token": c.tokenDoc(t)}, header: map[string]string{"X-Subject-Token": c.req.Header.Get("X-Subject-Token")}}, nil
}

func revokeToken(c *call) (answer, error) {
	if _, err := c.subject(); err != nil {
		return answer{}, err
	}
	delete(c.tokens, c.req.Header.Get("X-Subject-Token"))
	return answer{status: 204}, nil
}

func showCatalog(c *call) (answer, error) {
	return answer{status: 200, body: map[string]any{"catalog": c.catalog(), "links": map[string]any{}}}, nil
}

func listProjects(c *call) (answer, error) {
	rows := []any{}
	if name := c.req.URL.Query().Get("name"); name == "" || name == "demo" {
		rows = append(rows, c.projectRow())
	}
	return answer{status: 200, body: map[string]any{"projects": rows, "links": map[string]any{"next": nil, "previous": nil}}}, nil
}

func showProject(c *call) (answer, error) {
	if c.id() != c.project {
		return answer{}, fault(404, "Could not find project: %s.", c.id())
	}
	return answer{status: 200, body: map[string]any{"project": c.projectRow()}}, nil
}

func listRegions(c *call) (answer, error) {
	row := map[string]any{"id": Region, "description": "", "parent_region_id": nil, "links": map[string]string{"self": c.opts.URL + "/v3/regions/" + Region}}
	return answer{status: 200, body: map[string]any{"regions": []any{row}, "links": map[string]any{"next": nil, "previous": nil}}}, nil
}
