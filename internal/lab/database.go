package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/database"
	"zdl/internal/probe"
	"zdl/internal/topology"
)

// startDatabase takes over the database that was installed on demand, if any, and
// looks after it until ctx ends.
func (d *daemon) startDatabase(ctx context.Context, snapshot func() cluster.Snapshot) (*database.Manager, error) {
	missing := ""
	if d.set.Images[database.App] == "" {
		missing = "its programs and images were built without PostgreSQL"
		if why := d.set.Without[database.App]; why != "" {
			missing += ": " + why
		}
	}
	manager, err := database.New(database.Config{
		Missing: missing,
		Objects: d.cluster.DatabaseObjects,
		Kube:    d.cluster.RESTConfig,
		File:    filepath.Join(d.dirs.state(d.name), "database.json"),
		Balancers: func() []string {
			var out []string
			for _, m := range d.cluster.Topology.Of(topology.KindEdge) {
				if d.cluster.Powered(m.Name) {
					out = append(out, m.Name)
				}
			}
			return out
		},
		HAProxy: d.cluster.HAProxy,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.cluster.Dial(ctx, "outside", network, addr)
		},
		Snapshot: snapshot,
		Record:   func(kind, subject, text string, fields map[string]string) { d.story.Add(kind, subject, text, fields) },
		Log:      d.log,
	})
	if err != nil {
		return nil, err
	}
	d.work.Go(func() { manager.Run(ctx) })
	return manager, nil
}

// ledgerPatience is how long a database that does not answer at the end of a
// measurement is asked what it holds: a failover and a half.
const ledgerPatience = 20 * time.Second

// databaseAccess is how rows are written to the lab's database and read. The
// function removes those of this measurement.
func (p *probes) databaseAccess(ctx context.Context, dial dialer) (*probe.Database, func() error, error) {
	if p.database == nil {
		return nil, nil, errors.New("this lab has no database")
	}
	password, err := p.database.Password()
	if err != nil {
		return nil, nil, err
	}
	base := &probe.Database{Address: database.Address(), User: database.User, Password: password, Name: database.Name,
		Run: rand.Text(), Ledger: &probe.Ledger{}, Dial: dial, Who: p.podAt}
	prepare, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := base.Prepare(prepare); err != nil {
		return nil, nil, fmt.Errorf("make a table in the database: %w", err)
	}
	return base, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := base.Forget(ctx); err != nil {
			return fmt.Errorf("the rows of this measurement stay in the database: %w", err)
		}
		return nil
	}, nil
}

// databaseRate is how often the arena writes to the database, a second: each write
// has a connection of its own, which is a process of the server and a log-in.
const databaseRate = 10

// databaseWrites writes rows through the users' virtual IP, with a new connection
// each, while a level of the arena needs it.
func (p *probes) databaseWrites(ctx context.Context) (*probe.Prober, func() error, error) {
	_, at, err := p.from(probe.Request{Subject: probe.SubjectDatabase})
	if err != nil {
		return nil, nil, err
	}
	base, forget, err := p.databaseAccess(ctx, at.dial)
	if err != nil {
		at.Close()
		return nil, nil, err
	}
	release := func() error { defer at.Close(); return forget() }
	base.Write = true
	prober, err := probe.New(probe.Config{Lane: "new write", URL: "postgres://" + base.Address + "/" + base.Name, Rate: databaseRate, Subject: base.Subject()})
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return prober, release, nil
}

// ofDatabase writes to the lab's database, or reads from it. The result removes
// what was written.
func (p *probes) ofDatabase(ctx context.Context, r probe.Request, dial dialer) (measurement, func() error, error) {
	lanes, err := probe.ParseLanes(r.Lanes)
	if err != nil {
		return nil, nil, err
	}
	base, forget, err := p.databaseAccess(ctx, dial)
	if err != nil {
		return nil, nil, err
	}
	var configs []probe.Config
	for _, l := range lanes {
		d := *base
		d.Reuse, d.Write = l.Reuse, l.Write
		configs = append(configs, probe.Config{Lane: l.String(), URL: "postgres://" + base.Address + "/" + base.Name, Rate: r.Rate, Timeout: r.Timeout, Subject: d.Subject()})
	}
	group, err := probe.NewGroup(configs...)
	if err != nil {
		return nil, nil, err
	}
	return &checkedDatabase{Group: group, database: base, writes: base.Ledger.Promise().Count()}, forget, nil
}

// podAt names the pod that has an address, else the address.
func (p *probes) podAt(address string) string {
	for _, pod := range p.snap().System {
		if pod.IP == address {
			return pod.Name
		}
	}
	return address
}

// checkedDatabase compares what the database holds with what it had acknowledged:
// soon after it began, after each outage, and at the end.
type checkedDatabase struct {
	*probe.Group
	database *probe.Database

	mu     sync.Mutex
	writes probe.Writes
	failed error // of the last comparison
	seen   int   // outages that were over when it was made
}

// Report adds what became of the writes.
func (c *checkedDatabase) Report() probe.Report {
	r := c.Group.Report()
	now := c.database.Ledger.Promise().Count()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.writes
	w.Sent, w.Acknowledged, w.Timelines = now.Sent, now.Acknowledged, now.Timelines
	w.Checked = w.Checked && c.seen == r.Down.Count
	r.Writes = &w
	if c.failed != nil {
		r.Notes = append(r.Notes, "What the database holds could not be compared with what it had acknowledged: "+c.failed.Error())
	}
	return r
}

// Run measures until ctx ends, and compares.
func (c *checkedDatabase) Run(ctx context.Context) {
	looking, stop := context.WithCancel(ctx)
	var follow sync.WaitGroup
	follow.Go(func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for seen := -1; ; {
			select {
			case <-looking.Done():
				return
			case <-tick.C:
			}
			if ended := c.Down().Count; ended > seen && c.compare(looking, 2*time.Second) == nil {
				seen = ended
			}
		}
	})
	c.Group.Run(ctx)
	stop()
	follow.Wait()
	deadline := time.Now().Add(ledgerPatience)
	for c.compare(context.WithoutCancel(ctx), 2*time.Second) != nil && time.Now().Before(deadline) {
		time.Sleep(200 * time.Millisecond)
	}
}

func (c *checkedDatabase) compare(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen := c.Down().Count
	w, err := c.database.Check(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed, c.writes.Checked = err, false
		return err
	}
	c.writes, c.failed, c.seen = w, nil, seen
	return nil
}
