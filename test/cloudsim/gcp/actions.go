package gcp

// actions is the table of what the service does, by method and path as the
// discovery document has them.
func actions() map[string]action {
	const p = "projects/{project}"
	const zone, region, global = p + "/zones/{zone}", p + "/regions/{region}", p + "/global"
	const aggregated = paged + " includeAllScopes serviceProjectNumber"
	return map[string]action{
		// places and catalog
		"GET " + p:                      {id: "projects.get", do: getProject},
		"GET " + p + "/regions":         {id: "regions.list", do: listRegions, query: paged},
		"GET " + region:                 {id: "regions.get", do: getRegion},
		"GET " + p + "/zones":           {id: "zones.list", do: listZones, query: paged},
		"GET " + zone:                   {id: "zones.get", do: getZone},
		"GET " + zone + "/machineTypes": {id: "machineTypes.list", do: listMachineTypes, query: paged},
		"GET " + zone + "/machineTypes/{machineType}": {id: "machineTypes.get", do: getMachineType},
		"GET " + p + "/aggregated/machineTypes":       {id: "machineTypes.aggregatedList", do: aggregateMachineTypes, query: aggregated},
		"GET " + global + "/images":                   {id: "images.list", do: listImages, query: paged},
		"GET " + global + "/images/{image}":           {id: "images.get", do: getImage},
		"GET " + global + "/images/family/{family}":   {id: "images.getFromFamily", do: getImageFromFamily},

		// networks
		"GET " + global + "/networks":                    {id: "networks.list", do: listNetworks, query: paged},
		"POST " + global + "/networks":                   {id: "networks.insert", do: insertNetwork, query: "requestId", writes: true},
		"GET " + global + "/networks/{network}":          {id: "networks.get", do: getNetwork},
		"DELETE " + global + "/networks/{network}":       {id: "networks.delete", do: deleteNetwork, query: "requestId", writes: true},
		"GET " + global + "/routes":                      {id: "routes.list", do: listRoutes, query: paged},
		"GET " + region + "/subnetworks":                 {id: "subnetworks.list", do: listSubnetworks, query: paged},
		"POST " + region + "/subnetworks":                {id: "subnetworks.insert", do: insertSubnetwork, query: "requestId", writes: true},
		"GET " + region + "/subnetworks/{subnetwork}":    {id: "subnetworks.get", do: getSubnetwork},
		"DELETE " + region + "/subnetworks/{subnetwork}": {id: "subnetworks.delete", do: deleteSubnetwork, query: "requestId", writes: true},
		"GET " + p + "/aggregated/subnetworks":           {id: "subnetworks.aggregatedList", do: aggregateSubnetworks, query: aggregated},
		"GET " + global + "/firewalls":                   {id: "firewalls.list", do: listFirewalls, query: paged},
		"POST " + global + "/firewalls":                  {id: "firewalls.insert", do: insertFirewall, query: "requestId", writes: true},
		"GET " + global + "/firewalls/{firewall}":        {id: "firewalls.get", do: getFirewall},
		"PATCH " + global + "/firewalls/{firewall}":      {id: "firewalls.patch", do: changeFirewall, query: "requestId", writes: true},
		"PUT " + global + "/firewalls/{firewall}":        {id: "firewalls.update", do: changeFirewall, query: "requestId", writes: true},
		"DELETE " + global + "/firewalls/{firewall}":     {id: "firewalls.delete", do: deleteFirewall, query: "requestId", writes: true},
		"GET " + region + "/routers":                     {id: "routers.list", do: listRouters, query: paged},
		"POST " + region + "/routers":                    {id: "routers.insert", do: insertRouter, query: "requestId", writes: true},
		"GET " + region + "/routers/{router}":            {id: "routers.get", do: getRouter},
		"PATCH " + region + "/routers/{router}":          {id: "routers.patch", do: changeRouter, query: "requestId", writes: true},
		"PUT " + region + "/routers/{router}":            {id: "routers.update", do: changeRouter, query: "requestId", writes: true},
		"DELETE " + region + "/routers/{router}":         {id: "routers.delete", do: deleteRouter, query: "requestId", writes: true},
		"GET " + p + "/aggregated/routers":               {id: "routers.aggregatedList", do: aggregateRouters, query: aggregated},

		// instances
		"GET " + zone + "/instances":                       {id: "instances.list", do: listInstances, query: paged},
		"POST " + zone + "/instances":                      {id: "instances.insert", do: insertInstance, query: "requestId", writes: true},
		"GET " + zone + "/instances/{instance}":            {id: "instances.get", do: getInstance},
		"DELETE " + zone + "/instances/{instance}":         {id: "instances.delete", do: deleteInstance, query: "requestId", writes: true},
		"POST " + zone + "/instances/{instance}/start":     {id: "instances.start", do: startInstance, query: "requestId", writes: true},
		"POST " + zone + "/instances/{instance}/stop":      {id: "instances.stop", do: stopInstance, query: "requestId", writes: true},
		"POST " + zone + "/instances/{instance}/reset":     {id: "instances.reset", do: resetInstance, query: "requestId", writes: true},
		"GET " + zone + "/instances/{instance}/serialPort": {id: "instances.getSerialPortOutput", do: getSerialPort, query: "port start"},
		"GET " + p + "/aggregated/instances":               {id: "instances.aggregatedList", do: aggregateInstances, query: aggregated},

		// operations
		"GET " + global + "/operations":                   {id: "globalOperations.list", do: listOperations, query: paged},
		"GET " + global + "/operations/{operation}":       {id: "globalOperations.get", do: getOperation},
		"POST " + global + "/operations/{operation}/wait": {id: "globalOperations.wait", do: getOperation, blocks: awaitOperation},
		"DELETE " + global + "/operations/{operation}":    {id: "globalOperations.delete", do: deleteOperation, writes: true},
		"GET " + region + "/operations":                   {id: "regionOperations.list", do: listOperations, query: paged},
		"GET " + region + "/operations/{operation}":       {id: "regionOperations.get", do: getOperation},
		"POST " + region + "/operations/{operation}/wait": {id: "regionOperations.wait", do: getOperation, blocks: awaitOperation},
		"DELETE " + region + "/operations/{operation}":    {id: "regionOperations.delete", do: deleteOperation, writes: true},
		"GET " + zone + "/operations":                     {id: "zoneOperations.list", do: listOperations, query: paged},
		"GET " + zone + "/operations/{operation}":         {id: "zoneOperations.get", do: getOperation},
		"POST " + zone + "/operations/{operation}/wait":   {id: "zoneOperations.wait", do: getOperation, blocks: awaitOperation},
		"DELETE " + zone + "/operations/{operation}":      {id: "zoneOperations.delete", do: deleteOperation, writes: true},
		"GET " + p + "/aggregated/operations":             {id: "globalOperations.aggregatedList", do: aggregateOperations, query: aggregated},
	}
}
