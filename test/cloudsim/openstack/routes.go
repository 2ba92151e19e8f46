package openstack

// routes is the table of what the services do.
func routes() []route {
	table := identityRoutes()
	table = append(table, computeRoutes()...)
	table = append(table, networkRoutes()...)
	return append(table, imageRoutes()...)
}

func identityRoutes() []route {
	const s = "identity"
	return []route{
		{s, "GET", "/{$}", keystoneVersions, true},
		{s, "GET", "/v3", keystoneV3, true},
		{s, "POST", "/v3/auth/tokens", issueToken, true},
		{s, "GET", "/v3/auth/tokens", showToken, false},
		{s, "DELETE", "/v3/auth/tokens", revokeToken, false},
		{s, "GET", "/v3/auth/catalog", showCatalog, false},
		{s, "GET", "/v3/auth/projects", listProjects, false},
		{s, "GET", "/v3/projects", listProjects, false},
		{s, "GET", "/v3/projects/{id}", showProject, false},
		{s, "GET", "/v3/regions", listRegions, false},
	}
}

func computeRoutes() []route {
	const s = "compute"
	return []route{
		{s, "GET", "/{$}", novaVersions, true},
		{s, "GET", "/v2.1", novaV21, true},
		{s, "GET", "/v2.1/flavors", listFlavors, false},
		{s, "GET", "/v2.1/flavors/detail", listFlavorsDetail, false},
		{s, "GET", "/v2.1/flavors/{id}", showFlavor, false},
		{s, "GET", "/v2.1/flavors/{id}/os-extra_specs", showFlavorSpecs, false},
		{s, "POST", "/v2.1/servers", createServer, false},
		{s, "GET", "/v2.1/servers", listServers, false},
		{s, "GET", "/v2.1/servers/detail", listServersDetail, false},
		{s, "GET", "/v2.1/servers/{id}", showServer, false},
		{s, "PUT", "/v2.1/servers/{id}", updateServer, false},
		{s, "DELETE", "/v2.1/servers/{id}", deleteServer, false},
		{s, "POST", "/v2.1/servers/{id}/action", actOnServer, false},
		{s, "GET", "/v2.1/servers/{id}/ips", listAddresses, false},
		{s, "GET", "/v2.1/servers/{id}/os-interface", listInterfaces, false},
		{s, "GET", "/v2.1/servers/{id}/metadata", showMetadata, false},
		{s, "POST", "/v2.1/servers/{id}/metadata", updateMetadata, false},
		{s, "PUT", "/v2.1/servers/{id}/metadata", replaceMetadata, false},
		{s, "DELETE", "/v2.1/servers/{id}/metadata/{key}", deleteMetadata, false},
		{s, "POST", "/v2.1/os-keypairs", createKey, false},
		{s, "GET", "/v2.1/os-keypairs", listKeys, false},
		{s, "GET", "/v2.1/os-keypairs/{id}", showKey, false},
		{s, "DELETE", "/v2.1/os-keypairs/{id}", deleteKey, false},
		{s, "GET", "/v2.1/limits", showLimits, false},
		{s, "GET", "/v2.1/os-quota-sets/{id}", showComputeQuota, false},
		{s, "GET", "/v2.1/os-availability-zone", listComputeZones, false},
	}
}

func networkRoutes() []route {
	const s = "network"
	table := []route{
		{s, "GET", "/{$}", neutronVersions, true},
		{s, "GET", "/v2.0", neutronV2, true},
		{s, "GET", "/v2.0/extensions", listExtensions, false},
		{s, "GET", "/v2.0/extensions/{id}", showExtension, false},
		{s, "GET", "/v2.0/availability_zones", listZones, false},
		{s, "GET", "/v2.0/quotas/{id}", showQuota, false},
		{s, "GET", "/v2.0/quotas/{id}/details.json", showQuotaDetails, false},
		{s, "PUT", "/v2.0/routers/{id}/add_router_interface", addInterface, false},
		{s, "PUT", "/v2.0/routers/{id}/remove_router_interface", removeInterface, false},
		{s, "GET", "/v2.0/{collection}/{id}/tags", listTags, false},
		{s, "PUT", "/v2.0/{collection}/{id}/tags", replaceTags, false},
		{s, "DELETE", "/v2.0/{collection}/{id}/tags", deleteTags, false},
		{s, "PUT", "/v2.0/{collection}/{id}/tags/{tag}", addTag, false},
		{s, "DELETE", "/v2.0/{collection}/{id}/tags/{tag}", removeTag, false},
	}
	type do = func(*call) (answer, error)
	for _, r := range []struct {
		name                               string
		create, list, show, update, delete do
	}{
		{"networks", createNetwork, listNetworks, showNetwork, updateNetwork, deleteNetwork},
		{"subnets", createSubnet, listSubnets, showSubnet, updateSubnet, deleteSubnet},
		{"ports", createPort, listPorts, showPort, updatePort, deletePort},
		{"routers", createRouter, listRouters, showRouter, updateRouter, deleteRouter},
		{"security-groups", createGroup, listGroups, showGroup, updateGroup, deleteGroup},
		{"security-group-rules", createRule, listRules, showRule, nil, deleteRule},
		{"floatingips", createFloating, listFloating, showFloating, updateFloating, deleteFloating},
	} {
		path := "/v2.0/" + r.name
		table = append(table,
			route{s, "POST", path, r.create, false}, route{s, "GET", path, r.list, false},
			route{s, "GET", path + "/{id}", r.show, false}, route{s, "DELETE", path + "/{id}", r.delete, false})
		if r.update != nil {
			table = append(table, route{s, "PUT", path + "/{id}", r.update, false})
		}
	}
	return table
}

func imageRoutes() []route {
	const s = "image"
	return []route{
		{s, "GET", "/{$}", glanceVersions, true},
		{s, "GET", "/versions", glanceVersions, true},
		{s, "GET", "/v2/images", listImages, false},
		{s, "GET", "/v2/images/{id}", showImage, false},
	}
}
