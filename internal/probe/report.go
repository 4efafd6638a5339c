package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kinds of subjects that can be asked for in a Request.
const (
	SubjectService = "service" // the users' service through its virtual IP
	SubjectAPI     = "api"     // the Kubernetes API through its virtual IP: reads and updates of one ConfigMap
	SubjectDNS     = "dns"     // lookups of the service's name at the cluster's DNS address
	SubjectPath    = "path"    // the service, and beside it each layer of the way to it
	// SubjectDatabase is the lab's PostgreSQL through the users' virtual IP: rows are
	// written, and at the end it is looked whether all that were acknowledged are there.
	SubjectDatabase = "database"
)

// Subjects are all there are.
var Subjects = []string{SubjectService, SubjectAPI, SubjectDNS, SubjectPath, SubjectDatabase}

// Limits of a Request.
const (
	MaxLength    = 10 * time.Minute
	MaxTotalRate = 4000 // requests a second of all lanes
	MaxAPIRate   = 50   // a second per lane: every update is a write to etcd
	// MaxDatabaseRate a second per lane: a new connection is a process of the server
	// and a log-in.
	MaxDatabaseRate = 100
)

// Request asks for a measurement beside the lab's own.
type Request struct {
	Subject string        `json:"subject,omitempty"` // default service
	Lanes   string        `json:"lanes,omitempty"`   // see ParseLanes; default "new,reused"; of api and database only new, reused, read, write; not for dns and path
	Rate    float64       `json:"rate,omitempty"`    // requests a second of each lane, 1 to 1000, of api to 50, of database to 100; default 200, of path 50, of api and dns 20, of database 10
	For     time.Duration `json:"for,omitempty"`     // nanoseconds, 1 s to 10 min; default 30 s
	From    string        `json:"from,omitempty"`    // a machine, a zone, or pod:NAMESPACE/NAME; default the machine "outside", of dns a node
	Timeout time.Duration `json:"timeout,omitempty"` // of each request, 10 ms to 30 s; default 1 s
	// HTTPS asks the service through the same virtual IP by TLS and checks its
	// certificate as users do; over HTTP/1.1 only.
	HTTPS bool `json:"https,omitempty"`
}

// Defaults fills in what is not said and refuses what cannot be.
func (r *Request) Defaults() error {
	if r.Subject == "" {
		r.Subject = SubjectService
	}
	if !slices.Contains(Subjects, r.Subject) {
		return fmt.Errorf("subject %q: there are %s", r.Subject, strings.Join(Subjects, ", "))
	}
	if r.HTTPS && r.Subject != SubjectService {
		return fmt.Errorf("https: only the subject %s is asked by it on request", SubjectService)
	}
	fixed := r.Subject == SubjectDNS || r.Subject == SubjectPath
	if fixed && r.Lanes != "" {
		return fmt.Errorf("lanes %q: the subject %s has its own", r.Lanes, r.Subject)
	}
	switch {
	case fixed:
	case r.Lanes == "" && r.Subject == SubjectAPI:
		r.Lanes = "reused,reused+write"
	case r.Lanes == "" && r.Subject == SubjectDatabase:
		r.Lanes = "new+write,reused+write"
	case r.Lanes == "":
		r.Lanes = "new,reused"
	}
	highest := 1000.0
	if r.Subject == SubjectAPI {
		highest = MaxAPIRate
	}
	if r.Subject == SubjectDatabase {
		highest = MaxDatabaseRate
	}
	if r.Rate == 0 {
		r.Rate = map[string]float64{SubjectService: 200, SubjectPath: 50, SubjectAPI: 20, SubjectDNS: 20, SubjectDatabase: 10}[r.Subject]
	}
	if r.Rate < 1 || r.Rate > highest {
		return fmt.Errorf("rate %g: want 1 to %g requests a second of %s", r.Rate, highest, r.Subject)
	}
	if !fixed {
		lanes, err := ParseLanes(r.Lanes)
		if err != nil {
			return err
		}
		for _, l := range lanes {
			if l.HTTP2 && r.Subject == SubjectAPI {
				return fmt.Errorf("lane %q: the API is probed with HTTP/1.1 only", l)
			}
			if l.HTTP2 && r.Subject == SubjectDatabase {
				return fmt.Errorf("lane %q: a database does not speak HTTP", l)
			}
			if l.HTTP2 && r.HTTPS {
				return fmt.Errorf("lane %q: over TLS the service speaks HTTP/1.1 only", l)
			}
		}
		if total := r.Rate * float64(len(lanes)); total > MaxTotalRate {
			return fmt.Errorf("%d lanes of %g requests a second are %g: want at most %d in all", len(lanes), r.Rate, total, MaxTotalRate)
		}
	}
	if r.For == 0 {
		r.For = 30 * time.Second
	}
	if r.For < time.Second || r.For > MaxLength {
		return fmt.Errorf("length %v: want 1 s to 10 min", r.For)
	}
	if r.Timeout == 0 {
		r.Timeout = time.Second
	}
	if r.Timeout < 10*time.Millisecond || r.Timeout > 30*time.Second {
		return fmt.Errorf("timeout %v: want 10 ms to 30 s", r.Timeout)
	}
	return nil
}

// Report is what a measurement has shown so far.
type Report struct {
	Done      bool      `json:"done"` // the last one
	Subject   string    `json:"subject"`
	From      string    `json:"from"`
	Began     time.Time `json:"began"`
	ElapsedMS float64   `json:"elapsedMs"`
	// GapMS is the time between two requests of any lane: shorter outages can
	// fall between two.
	GapMS float64   `json:"gapMs"`
	Lanes []Summary `json:"lanes"`
	// Outages of the subject, in all lanes or, if partial, in some; the latest.
	Outages []Outage `json:"outages"`
	// Down sums up those that are over and not partial.
	Down Downtime `json:"down"`
	// Degradations are the latest spans of slow or stale answers, lane by lane.
	Degradations []Degradation `json:"degradations"`
	// Attributions say in which layer each outage begins; of the subject path.
	Attributions []Attribution `json:"attributions,omitempty"`
	// Writes are those of the subject database, and whether the acknowledged ones
	// are there.
	Writes   *Writes  `json:"writes,omitempty"`
	Pauses   int      `json:"pauses"`   // times the prober itself did not run
	PausedMS float64  `json:"pausedMs"` // for how long, in all
	Notes    []string `json:"notes,omitempty"`
	Error    string   `json:"error,omitempty"` // why it ended early
}

// Degradation is a degraded span of one lane.
type Degradation struct {
	Lane string `json:"lane"`
	Outage
}

// keepDegradations bounds those in a report, per lane.
const keepDegradations = 50

// Report sums a group up, without what only the caller knows.
func (g *Group) Report() Report {
	r := Report{GapMS: thousandth(g.GapMS()), Outages: g.Outages(), Down: g.Down(), Lanes: []Summary{}, Degradations: []Degradation{}}
	for _, p := range g.lanes {
		s := p.Summary()
		r.Lanes = append(r.Lanes, s)
		r.Pauses, r.PausedMS = s.Pauses, s.PausedMS
		spans := p.Degradations(0)
		for _, o := range spans[max(0, len(spans)-keepDegradations):] {
			r.Degradations = append(r.Degradations, Degradation{s.Lane, o})
		}
	}
	return r
}
