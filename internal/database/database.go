// Package database installs, removes and watches the lab's PostgreSQL: three
// members with automatic failover by Patroni, on the nodes' own disks, reached by
// users through the load balancers. It is not part of a lab's boot.
package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"zdl/internal/addon"
	"zdl/internal/cluster"
	"zdl/internal/database/patroni"
	"zdl/internal/topology"
)

// Names of the database in the cluster.
const (
	Namespace = "database"
	App       = "postgres" // of the pods; also the name of StatefulSet, Service, Secret and lease
	Container = "postgres" // in each pod
	User      = "app"      // who owns the database of users
	Name      = "app"      // of that
	Backend   = "database" // of the load balancers' HAProxy
	// DataDirectory is where a member's volume is mounted.
	DataDirectory = "/var/lib/postgresql"
	// RESTUser is that of Patroni's REST API.
	RESTUser = "admin"
)

// Address is where users reach the primary.
func Address() string {
	return netip.AddrPortFrom(topology.UserVIP, topology.DatabasePort).String()
}

// Config is what a Manager works with.
type Config struct {
	// Missing says why there cannot be a database, "" if there can.
	Missing string
	// Objects renders the manifest.
	Objects func(addon.Database) ([]*unstructured.Unstructured, error)
	// Kube gives access to the API server.
	Kube func() (*rest.Config, error)
	// File keeps what was installed; it survives the daemon.
	File string
	// Balancers names the load balancers that have power, and HAProxy gives one of
	// them a command of its runtime API.
	Balancers func() []string
	HAProxy   func(ctx context.Context, balancer, command string) (string, error)
	// Dial connects from where users are.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Snapshot func() cluster.Snapshot
	// Record tells the timeline.
	Record func(kind, subject, text string, fields map[string]string)
	Log    *slog.Logger
}

// Manager is the lab's database.
type Manager struct {
	c Config

	verb sync.Mutex // held by Up and Down

	mu   sync.Mutex
	kept *kept  // what is installed, nil: nothing
	last leader // who was seen to lead
	seen string // the members' pods when it was seen
}

// New takes over what an earlier daemon has installed.
func New(c Config) (*Manager, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k, err := readKept(c.File)
	if err != nil {
		return nil, err
	}
	return &Manager{c: c, kept: k}, nil
}

// Missing says why this lab cannot have a database, "" if it can.
func (m *Manager) Missing() string { return m.c.Missing }

// Installed tells whether there is one, ready or not.
func (m *Manager) Installed() bool { return m.installed() != nil }

func (m *Manager) installed() *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept
}

// ErrNone means that no database is installed.
var ErrNone = errors.New("there is no database in this lab; zdl database up installs one")

// Password of the user app, or ErrNone.
func (m *Manager) Password() (string, error) {
	k := m.installed()
	if k == nil {
		return "", ErrNone
	}
	return k.Passwords.App, nil
}

// Status is how a database is, and Member one of its members.
type (
	Status = cluster.Database
	Member = cluster.DatabaseMember
)

// Status asks every member.
func (m *Manager) Status(ctx context.Context) Status {
	s := Status{Available: m.c.Missing == "", Why: m.c.Missing, Address: Address(), User: User, Name: Name,
		TTL: addon.DatabaseTTL, LoopWait: addon.DatabaseLoopWait, RetryTimeout: addon.DatabaseRetryTimeout, Members: []Member{}}
	k := m.installed()
	if k == nil {
		return s
	}
	s.Installed, s.Synchronous = true, k.Synchronous
	s.Members = Members(m.c.Snapshot())
	client := &patroni.Client{Dial: m.c.Dial}
	var at []netip.Addr
	for _, x := range s.Members {
		at = append(at, address(&x))
	}
	judge(&s, client.All(ctx, at), k.Members)
	m.settings(ctx, client, &s)
	return s
}

// settings reads those that Patroni goes by: others than this program may change
// them.
func (m *Manager) settings(ctx context.Context, client *patroni.Client, s *Status) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for i := range s.Members {
		if s.Members[i].Pod != s.Primary {
			continue
		}
		if now, err := client.Settings(ctx, address(&s.Members[i])); err == nil {
			s.Synchronous, s.TTL, s.LoopWait, s.RetryTimeout = now.Synchronous, now.TTL, now.LoopWait, now.RetryTimeout
		}
	}
}

// Members lists the pods of the database, without asking them.
func Members(snap cluster.Snapshot) []Member {
	out := []Member{}
	for _, p := range snap.System {
		if p.Namespace != Namespace || p.App != App {
			continue
		}
		x := Member{Pod: p.Name, Node: p.Node, Address: p.IP, State: "silent"}
		if n := snap.Node(p.Node); n != nil {
			x.Zone = n.Zone
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Pod, b.Pod) })
	return out
}

// address of a member; the zero Addr, at which nobody answers, if it has none yet.
func address(m *Member) netip.Addr {
	a, _ := netip.ParseAddr(m.Address)
	return a
}

// judge puts together what members say, in their order; nil is one that does not
// answer. want is how many there should be.
func judge(s *Status, said []*patroni.Member, want int) {
	var leader *patroni.Member
	for i, x := range said {
		if x == nil {
			continue
		}
		s.Members[i].Role, s.Members[i].State, s.Members[i].Timeline = x.Role, x.State, x.Timeline
		// Two may say so for a moment: the higher timeline is the right one.
		if x.Leads() && (leader == nil || x.Timeline > leader.Timeline) {
			leader, s.Primary, s.Timeline = x, s.Members[i].Pod, x.Timeline
		}
	}
	if leader == nil {
		s.Trouble = patroni.ErrNoPrimary.Error()
		return
	}
	streaming := map[string]patroni.Standby{}
	for _, b := range leader.Standbys {
		streaming[b.Name] = b
	}
	var away []string
	for i := range s.Members {
		x := &s.Members[i]
		if x.Pod == s.Primary {
			continue
		}
		b, ok := streaming[x.Pod]
		if !ok || b.State != "streaming" {
			away = append(away, x.Pod)
			continue
		}
		x.State, x.Sync, x.Timeline = b.State, b.Sync != "async", leader.Timeline
		if got := said[i]; got != nil && leader.WAL.Location > got.WAL.ReceivedLocation {
			x.LagBytes = leader.WAL.Location - got.WAL.ReceivedLocation
		}
	}
	switch {
	case len(s.Members) < want:
		s.Trouble = fmt.Sprintf("%d of %d members have a pod", len(s.Members), want)
	case len(away) > 0:
		s.Trouble = strings.Join(away, ", ") + " does not stream from " + s.Primary
	default:
		s.Ready = true
	}
}
