package addon

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// Database is what the manifest of the PostgreSQL with automatic failover
// depends on. It is installed on demand, not with the cluster.
type Database struct {
	// Synchronous makes a commit wait for a second member.
	Synchronous bool
	// Passwords of its users.
	Passwords Passwords
}

// Passwords of a database, each of letters and digits only.
type Passwords struct {
	Superuser   string `json:"superuser"`   // postgres
	Replication string `json:"replication"` // replicator, by which members follow the primary
	Rewind      string `json:"rewind"`      // rewind, by which a former primary is put back
	RESTAPI     string `json:"restapi"`     // admin, of Patroni's REST API
	App         string `json:"app"`         // app, who owns the database app
}

// Timings of the database's failover, in seconds. A primary that is gone is
// replaced DatabaseTTL after it renewed its lease for the last time, that is
// DatabaseTTL - DatabaseLoopWait to DatabaseTTL after it died, and the time of a
// promotion. Patroni's defaults are 30, 10 and 10.
const (
	DatabaseTTL          = 10
	DatabaseLoopWait     = 2
	DatabaseRetryTimeout = 3
	// DatabaseMembers is how many members there are where there is room.
	DatabaseMembers = 3
)

// database is what the template sees.
type database struct {
	Database
	Members, ZoneSkew           int
	TTL, LoopWait, RetryTimeout int
	NodePort                    int
	Reserved                    bool // on the nodes that are reserved for databases
	TaintKey, TaintValue        string
	OnControlPlanes             bool // for want of workers
}

// DatabaseObjects gives the objects of the PostgreSQL. The lab must have the image
// "postgres".
func DatabaseObjects(p Params, d Database) ([]*unstructured.Unstructured, error) {
	if p.Lab == nil || p.Topology == nil {
		return nil, errors.New("the database needs a lab and its topology")
	}
	s, err := newShape(p)
	if err != nil {
		return nil, err
	}
	objects, err := render("manifests/postgres.yaml", struct {
		*shape
		Database database
	}{s, newDatabase(p.Topology, d)}, p.Images)
	if err != nil {
		return nil, fmt.Errorf("manifest of the database: %w", err)
	}
	return objects, nil
}

// newDatabase chooses where the members go: nodes reserved for databases if there
// are enough, else workers, else any node. Two members never share one.
func newDatabase(t *topology.Topology, d Database) database {
	out := database{Database: d, TTL: DatabaseTTL, LoopWait: DatabaseLoopWait, RetryTimeout: DatabaseRetryTimeout, NodePort: topology.DatabaseNodePort,
		TaintKey: labfile.DatabaseTaint.Key, TaintValue: labfile.DatabaseTaint.Value}
	reservedFor, open := zones{}, zones{}
	for _, m := range t.Of(topology.KindWorker) {
		switch {
		case !reserved(m):
			open.add(m)
		case m.Node.Labels[labfile.DatabaseTaint.Key] == labfile.DatabaseTaint.Value:
			reservedFor.add(m)
		}
	}
	chosen := open
	switch {
	case reservedFor.nodes >= DatabaseMembers:
		out.Reserved, chosen = true, reservedFor
	case open.nodes < DatabaseMembers:
		out.OnControlPlanes = true
		for _, m := range t.Of(topology.KindControlPlane) {
			chosen.add(m)
		}
	}
	out.Members = min(DatabaseMembers, chosen.nodes)
	out.ZoneSkew = max(1, (out.Members+len(chosen.names)-1)/len(chosen.names))
	return out
}

// zones counts nodes and the zones they are in.
type zones struct {
	nodes int
	names map[string]bool
}

func (z *zones) add(m *topology.Machine) {
	if z.names == nil {
		z.names = map[string]bool{}
	}
	z.nodes++
	z.names[m.Zone] = true
}
