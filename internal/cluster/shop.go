package cluster

// Ways that the ingress leads users to the shop's services.
const (
	// RoutingPerService leads each path to the service that answers it.
	RoutingPerService = "perService"
	// RoutingAllToWeb leads everything to web, which passes it on: a mistake that
	// autoscalers do not see through.
	RoutingAllToWeb = "allToWeb"
)

// Shop is how the lab's shop is: eight services and five stores.
type Shop struct {
	Available bool   `json:"available"`     // the lab can have one
	Why       string `json:"why,omitempty"` // it cannot
	Installed bool   `json:"installed"`
	// Ready: every part has all its replicas.
	Ready   bool   `json:"ready"`
	Trouble string `json:"trouble,omitempty"` // why it is not ready
	// Revision of the release, from 1; each change makes a new one.
	Revision int    `json:"revision,omitempty"`
	Routing  string `json:"routing,omitempty"` // RoutingPerService or RoutingAllToWeb
	// Hosts are the names that users ask for, at Address.
	Hosts   []string `json:"hosts,omitempty"`
	Address string   `json:"address"` // the users' virtual IP and port
	// Parts are the services and then the stores, by name.
	Parts []ShopPart `json:"parts"`
}

// ShopPart is a service or a store of the shop.
type ShopPart struct {
	Name     string   `json:"name"`
	Store    bool     `json:"store"`
	Image    string   `json:"image"`
	Replicas int      `json:"replicas"` // wanted
	Ready    int      `json:"ready"`    // of the newest revision, and ready
	Nodes    []string `json:"nodes"`    // where its pods are
}
