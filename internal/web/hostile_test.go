package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zdl/internal/arena"
	"zdl/internal/web/visitor"
)

// A flood of hits and reads, from one address without and with a session: the
// flooder is refused, and somebody who plays as people do notices nothing.
func TestOthersDoNotNoticeAFlood(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	snap := l.cluster.Snapshot()
	pods := snap.TargetPods()
	var sent, refused atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	flooders := make([]*http.Client, 8) // all before the flood, which would keep the later ones out
	for i := range flooders {
		flooders[i] = l.visitor(t, srv, "127.0.0.66")
	}
	for i, c := range flooders {
		if i%2 == 0 {
			c.Jar = nil
		}
		flood.Go(func() {
			for n := 0; n < 4000 && ctx.Err() == nil; n++ {
				method, path, body := "POST", "/api/v1/hit", `{"target":"`+podTarget(&pods[0])+`"}`
				if n%2 == 0 {
					method, path, body = "GET", "/api/v1/snapshot", ""
				}
				req, _ := http.NewRequestWithContext(ctx, method, srv.URL+path, strings.NewReader(body))
				req.Header.Set("Content-Type", "application/json")
				resp, err := c.Do(req)
				if err != nil {
					continue
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				sent.Add(1)
				if resp.StatusCode == http.StatusTooManyRequests {
					refused.Add(1)
				}
			}
		})
	}
	good := l.visitor(t, srv, "127.0.0.7")
	var took []time.Duration
	for n := range 15 {
		begin := time.Now()
		code, e := ask(t, good, "POST", srv.URL+"/api/v1/hit", `{"target":"`+podTarget(&pods[1+n%2])+`"}`, nil, nil)
		if code != 200 {
			t.Errorf("somebody who hits as people do is answered with %d %+v", code, e)
		}
		took = append(took, time.Since(begin))
		time.Sleep(150 * time.Millisecond) // the pace of a person
	}
	stop()
	flood.Wait()
	slices.Sort(took)
	t.Logf("%d requests of the flood, %d refused; the other one waited %v at the median, %v at most", sent.Load(), refused.Load(), took[len(took)/2], took[len(took)-1])
	// A machine that is too busy to send much beyond the limit has little refused.
	if passed := sent.Load() - refused.Load(); refused.Load() == 0 || passed > 2000 {
		t.Errorf("of %d requests %d were refused", sent.Load(), refused.Load())
	}
	if took[len(took)/2] > 250*time.Millisecond {
		t.Errorf("others wait %v at the median", took[len(took)/2])
	}
}

func TestForgedCookiesAreNobodys(t *testing.T) {
	l := newLab(t, time.Second)
	l.reopen(public())
	srv := l.serve(t)
	stranger := visitor.NewSigner(visitor.NewKey())
	id := visitor.NewID()
	for name, cookie := range map[string]string{
		"another lab's session": sessionCookie + "=" + stranger.Session(id),
		"an owner by guess":     ownerCookie + "=" + stranger.Owner("s3cret", time.Now().Add(time.Hour)),
		"no base64":             sessionCookie + "=%%%",
		"long":                  sessionCookie + "=" + strings.Repeat("A", 4000),
		"both":                  sessionCookie + "=; " + ownerCookie + "=true",
	} {
		var me SessionReply
		code, _ := ask(t, srv.Client(), "GET", srv.URL+"/api/v1/session", "", func(r *http.Request) { r.Header.Set("Cookie", cookie) }, &me)
		if code != 200 || me.Owner || me.Director || me.Name != "somebody" {
			t.Errorf("%s: %d %+v", name, code, me)
		}
		if code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/arena/reset", "{}", func(r *http.Request) { r.Header.Set("Cookie", cookie) }, nil); code != 403 {
			t.Errorf("%s directs the game: %d", name, code)
		}
	}
	if l.game.resets > 0 {
		t.Error("the game was reset all the same")
	}
}

func TestNobodyActsAsSomebodyElse(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	snap := l.cluster.Snapshot()
	pod := podTarget(&snap.TargetPods()[0])
	ada, eve := l.visitor(t, srv, ""), l.visitor(t, srv, "")
	post := func(c *http.Client, path, body string) int {
		code, _ := ask(t, c, "POST", srv.URL+"/api/v1/"+path, body, nil, nil)
		return code
	}
	if post(ada, "arena/name", `{"name":"Ada"}`) != 200 || post(ada, "hit", `{"target":"`+pod+`"}`) != 200 {
		t.Fatal("Ada cannot play")
	}
	for _, name := range []string{"Ada", "ada", " ADA ", "A\\u200bda", "the owner", "Autopilot"} {
		if code := post(eve, "arena/name", `{"name":"`+name+`"}`); code != 409 {
			t.Errorf("another one calls herself %q: %d, want 409", name, code)
		}
		if code := post(eve, "hit", `{"target":"`+pod+`","visitor":"`+name+`"}`); code != 409 {
			t.Errorf("another one hits as %q: %d, want 409", name, code)
		}
	}
	for _, none := range []string{"", " ", "\\u202e"} {
		if code := post(eve, "arena/name", `{"name":"`+none+`"}`); code != 400 {
			t.Errorf("the name %q: %d, want 400", none, code)
		}
	}
	if code := post(eve, "hit", `{"target":"`+pod+`"}`); code != 200 {
		t.Errorf("a guest's hit: %d", code)
	}
	var me SessionReply
	ask(t, ada, "GET", srv.URL+"/api/v1/session", "", nil, &me)
	for _, p := range l.game.State().Players {
		if p.Name == "Ada" && p.Hits != 1 || p.Name != "Ada" && !strings.HasPrefix(p.Name, "Guest ") {
			t.Errorf("players %+v", l.game.State().Players)
		}
	}
	if me.Name != "Ada" || len(l.game.State().Players) != 2 {
		t.Errorf("Ada is %+v, players %+v", me, l.game.State().Players)
	}
	if code := post(ada, "arena/name", `{"name":"Countess"}`); code != 200 {
		t.Errorf("a new name: %d", code)
	}
	if s := l.game.State(); !slices.ContainsFunc(s.Players, func(p arena.Player) bool { return p.Name == "Countess" && p.Hits == 1 }) {
		t.Errorf("players %+v, want Ada's hits under her new name", s.Players)
	}
	if code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/arena/name", `{"name":"x"}`, nil, nil); code != 400 {
		t.Errorf("a name without a session: %d, want 400", code)
	}
}

func TestTheTokenMakesTheOwner(t *testing.T) {
	l := newLab(t, time.Second)
	l.reopen(public())
	srv := l.serve(t)
	c := l.visitor(t, srv, "")
	post := func(path, body string) int {
		t.Helper()
		code, _ := ask(t, c, "POST", srv.URL+"/api/v1/"+path, body, nil, nil)
		return code
	}
	if post("arena/level", `{"name":"free"}`) != 403 || post("arena/pause", `{"paused":true}`) != 403 || post("attacks", `{"kind":"pod-kill","target":"any"}`) != 403 {
		t.Error("a visitor directs the game")
	}
	if post("owner", `{"token":"s3cre"}`) != 401 || post("arena/reset", `{}`) != 403 {
		t.Error("a wrong token is of use")
	}
	if post("owner", `{"token":"s3cret"}`) != 200 {
		t.Fatal("the right token is refused")
	}
	if post("arena/level", `{"name":"nowhere"}`) != 404 || post("arena/level", `{"name":"free"}`) != 200 || post("arena/pause", `{}`) != 400 || post("arena/pause", `{"paused":true}`) != 200 ||
		post("arena/reset", `{}`) != 200 || post("attacks", `{"kind":"pod-kill","target":"any"}`) != 200 || post("attacks/f1/heal", `{}`) != 200 || post("heal", `{}`) != 200 {
		t.Error("the owner may not direct the game")
	}
	if s := l.game.State(); s.Level.Name != "free" || s.Phase != "paused" || l.game.resets != 1 {
		t.Errorf("%+v, %d resets", s.Level, l.game.resets)
	}
	if code, _ := ask(t, c, "GET", srv.URL+"/api/v1/kubeconfig", "", nil, nil); code != 403 {
		t.Errorf("the kubeconfig leaves the machine: %d", code)
	}
	if code, _ := ask(t, c, "GET", srv.URL+"/api/v1/owner/token", "", nil, nil); code != 403 {
		t.Errorf("the token leaves the machine: %d", code)
	}
	var token TokenReply
	owner := l.socket(t)
	if ask(t, owner, "POST", "http://zdl/api/v1/owner/token", "{}", nil, &token); token.Token != "s3cret+" {
		t.Errorf("rotated: %+v", token)
	}
	if post("arena/reset", `{}`) != 403 {
		t.Error("who has shown the old token stays the owner")
	}
	bearer := func(token string) int {
		code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/arena/reset", "{}", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, nil)
		return code
	}
	if bearer("s3cret+") != 200 || bearer("s3cret") != 401 || bearer("") != 403 {
		t.Error("the header of the token counts as it should not")
	}
	if post("owner", `{"token":"s3cret+"}`) != 200 || post("arena/reset", `{}`) != 200 || post("owner", `{"token":""}`) != 200 || post("arena/reset", `{}`) != 403 {
		t.Error("the right cannot be given back")
	}
	last := 0
	for range 20 {
		last = bearer("guess")
	}
	if last != 429 {
		t.Errorf("the twentieth guess is answered with %d, want 429", last)
	}
}

func TestWithoutThePublicUsersOfThisMachineDirectTheGame(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	if code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/arena/level", `{"name":"free"}`, nil, nil); code != 200 {
		t.Errorf("on loopback a level cannot be chosen: %d", code)
	}
	if code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/attacks", `{"kind":"pod-kill","target":"any"}`, nil, nil); code != 403 {
		t.Errorf("but anything can be broken: %d", code)
	}
}

func TestVisitorsHealOnlyWhatTheLevelLetsThem(t *testing.T) {
	l := newLab(t, time.Second)
	l.reopen(public())
	srv := l.serve(t)
	id := l.broken(t.Context())
	heal := func(path, body string) int {
		code, _ := ask(t, srv.Client(), "POST", srv.URL+"/api/v1/"+path, body, nil, nil)
		return code
	}
	if a, b := heal("attacks/"+id+"/heal", `{}`), heal("arena/heal", `{"target":"attack/`+id+`"}`); a != 403 || b != 409 || len(l.game.healed) > 0 {
		t.Errorf("in a level: %d and %d", a, b)
	}
	if code := heal("attacks/f9/heal", `{}`); code != 403 {
		t.Errorf("what is no target: %d", code)
	}
	l.game.SetLevel("free")
	if code := heal("attacks/"+id+"/heal", `{}`); code != 403 {
		t.Errorf("in free play, by its number: %d", code)
	}
	if code := heal("arena/heal", `{"target":"attack/`+id+`"}`); code != 200 {
		t.Errorf("in free play: %d", code)
	}
}

// raw sends bytes and returns the status line and the rest of the answer.
func raw(t *testing.T, address, request string) (status int, rest string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	go io.WriteString(conn, request) // the server may stop reading before the end
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body)
}

func TestPathTricksLeadNowhere(t *testing.T) {
	l := newLab(t, time.Second)
	l.reopen(public())
	address := l.serve(t).Listener.Addr().String()
	for _, path := range []string{
		"/api/v1/kubeconfig", "//api/v1/kubeconfig", "/api/v1//kubeconfig", "/api/v1/../v1/kubeconfig", "/api/v1/%2e%2e/v1/kubeconfig", "/api/v1/%6bubeconfig", "/api/v1/kubeconfig/",
		"/api/v1/kubeconfig?x=/api/v1/status", "/API/v1/kubeconfig", "/api/v1/kubeconfig%00", "/api/v1/kubeconfig;x", "/docs/../api/v1/kubeconfig", "/docs/..%2f..%2fREADME", "/docs/%2e%2e/%2e%2e/etc/passwd",
		"/../../../../etc/passwd", "/..%5c..%5cetc", "/%2e%2e/guard.go", "/./../web.go", "http://localhost/api/v1/kubeconfig", "http://127.0.0.1:6443/api/v1/secrets", "*", "/api/v1/owner/token", "/api/v1/boot",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "GET\tx", "CONNECT"} {
			status, body := raw(t, address, method+" "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
			if status == 200 && path != "*" || status >= 500 || strings.Contains(body, "kind: Config") || strings.Contains(body, "root:") || strings.Contains(body, "package web") || strings.Contains(body, "s3cret") {
				t.Errorf("%s %s: %d %.200s", method, path, status, body)
			}
		}
	}
}

func TestOversizedAndSlowRequestsAreCutOff(t *testing.T) {
	l := newLab(t, time.Second)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(l.handler)
	if srv.Config.ReadTimeout > 15*time.Second || srv.Config.ReadHeaderTimeout > 10*time.Second || srv.Config.IdleTimeout > time.Minute || srv.Config.MaxHeaderBytes > 16<<10 {
		t.Errorf("the bounds are %+v", srv.Config)
	}
	srv.Config.ReadTimeout, srv.Config.ReadHeaderTimeout = 400*time.Millisecond, 200*time.Millisecond
	srv.Start()
	defer srv.Close()
	address := srv.Listener.Addr().String()
	head := "POST /api/v1/hit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		request string
		want    []int
	}{
		"a large body":         {head + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 100000), []int{413}},
		"a body without end":   {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat(" ", 4096)+"\r\n", 50), []int{413}},
		"large headers":        {head + strings.Repeat("X-Large: "+strings.Repeat("x", 1000)+"\r\n", 40) + "\r\n", []int{431}},
		"headers without end":  {head + "X-Slow:", []int{0, 408}},
		"a body that is slow":  {head + "Content-Length: 50\r\n\r\n{", []int{0, 400, 408}},
		"two lengths":          {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", []int{400}},
		"no host":              {"GET /api/v1/status HTTP/1.1\r\n\r\n", []int{400}},
		"two hosts":            {"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", []int{400}},
		"a newline in a name":  {"GET /api/v1/status HTTP/1.1\r\nHost: local\nhost\r\n\r\n", []int{400}},
		"something else":       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", []int{0, 400, 408}},
		"deeply nested object": {head + "Content-Length: 4000\r\n\r\n" + strings.Repeat("[", 4000), []int{400}},
	} {
		begin := time.Now()
		if status, body := raw(t, address, c.request); !slices.Contains(c.want, status) {
			t.Errorf("%s: %d %.100s, want %v", name, status, body, c.want)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s keeps a connection for %v", name, took)
		}
	}
	if code, _ := ask(t, srv.Client(), "GET", srv.URL+"/api/v1/status", "", nil, nil); code != 200 {
		t.Errorf("somebody else is answered with %d", code)
	}
}

func TestStreamsAreLimitedAndGivenBack(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	c, other := l.visitor(t, srv, ""), l.visitor(t, srv, "")
	var open []*watch
	for range visitor.DefaultLimits().Streams {
		open = append(open, l.watch(t, c, srv.URL, ""))
	}
	if code, _ := ask(t, c, "GET", srv.URL+"/api/v1/events", "", nil, nil); code != 429 {
		t.Errorf("one stream too many: %d, want 429", code)
	}
	l.watch(t, other, srv.URL, "").some(t, 3)
	open[0].resp.Body.Close()
	until(t, "the closed stream is noticed", func() bool { return l.streams() == len(open) })
	l.watch(t, c, srv.URL, "").some(t, 3)

	limits := visitor.DefaultLimits()
	limits.AllStreams = 1
	l.reopen(Access{Limits: limits})
	full := l.serve(t)
	l.watch(t, full.Client(), full.URL, "").some(t, 1)
	if code, _ := ask(t, l.visitor(t, full, ""), "GET", full.URL+"/api/v1/events", "", nil, nil); code != 503 {
		t.Errorf("one visitor too many: %d, want 503", code)
	}
}

func TestOneAddressCannotTakeAllConnections(t *testing.T) {
	l := newLab(t, time.Second)
	limits := visitor.DefaultLimits()
	limits.Conns, limits.AllConns = 5, 8
	srv := httptest.NewUnstartedServer(l.handler)
	srv.Listener = Bound(srv.Listener, limits, []netip.Prefix{netip.MustParsePrefix("127.0.0.99/32")})
	srv.Start()
	defer srv.Close()
	dial := func(from string) (net.Conn, bool) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(conn, "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		return conn, err == nil
	}
	var held []net.Conn
	for range 20 {
		if conn, ok := dial("127.0.0.66"); ok {
			held = append(held, conn)
		}
	}
	if len(held) != 5 {
		t.Errorf("one address holds %d connections, want 5", len(held))
	}
	for range 3 {
		if _, ok := dial("127.0.0.99"); !ok {
			t.Error("a trusted proxy is not let in")
		}
	}
	if _, ok := dial("127.0.0.7"); ok {
		t.Error("there are more connections than there may be")
	}
	held[0].Close()
	until(t, "a connection is free again", func() bool { _, ok := dial("127.0.0.7"); return ok })
}

func TestProxiesAreBelievedOnlyWhenTrusted(t *testing.T) {
	trusting := newDoor(Access{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for _, c := range []struct {
		door                   *door
		peer, forwarded, proto string
		want                   string
		secure                 bool
	}{
		{newDoor(Access{}), "192.0.2.1:5", "203.0.113.9", "https", "192.0.2.1", false},
		{trusting, "198.51.100.1:5", "203.0.113.9", "https", "198.51.100.1", false},
		{trusting, "192.0.2.1:5", "203.0.113.9", "https", "203.0.113.9", true},
		{trusting, "192.0.2.1:5", "1.1.1.1, 203.0.113.9, 192.0.2.7", "http", "203.0.113.9", false},
		{trusting, "192.0.2.1:5", "", "", "192.0.2.1", false},
		{trusting, "192.0.2.1:5", "rubbish", "", "192.0.2.1", false},
		{trusting, "[::ffff:192.0.2.1]:5", "2001:db8::1", "", "2001:db8::1", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if got, secure := c.door.origin(r); got.String() != c.want || secure != c.secure {
			t.Errorf("%s for %q: %s %v, want %s %v", c.peer, c.forwarded, got, secure, c.want, c.secure)
		}
	}
}

func TestSessionsAreKeptFromScriptsAndOtherSites(t *testing.T) {
	l := newLab(t, time.Second)
	l.reopen(Access{Hosts: []string{"lab.example"}, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	srv := l.serve(t)
	for proto, secure := range map[string]bool{"http": false, "https": true} {
		req, _ := http.NewRequest("GET", srv.URL+"/", nil)
		req.Host = "lab.example"
		req.Header.Set("X-Forwarded-Proto", proto)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		cookies := resp.Cookies()
		if len(cookies) != 1 || cookies[0].Name != sessionCookie || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Secure != secure {
			t.Errorf("%s: cookies %v", proto, cookies)
		}
	}
}

func TestAddressesToListenOn(t *testing.T) {
	for address, ok := range map[string]bool{"0.0.0.0:8420": true, "[::]:80": true, "192.0.2.7:1": true, "": false, ":8420": false, "8420": false, "0.0.0.0": false, "0.0.0.0:0": false, "example.org:80": false, "0.0.0.0:99999": false, "0.0.0.0:http": false} {
		if err := CheckPublic(address); (err == nil) != ok {
			t.Errorf("public %q: %v", address, err)
		}
	}
	for address, ok := range map[string]bool{"127.0.0.1:8420": true, "127.1.2.3:0": true, "[::1]:80": true, "localhost:8420": true, "0.0.0.0:8420": false, ":8420": false, "192.0.2.7:80": false, "[::]:80": false, "x": false, "example.org:80": false} {
		if err := CheckLoopback(address); (err == nil) != ok {
			t.Errorf("loopback %q: %v", address, err)
		}
	}
}

// FuzzRequest sends whatever comes to mind: nothing may make the server fail, or
// anybody its owner.
func FuzzRequest(f *testing.F) {
	cluster := newFakeCluster(time.Hour)
	game := &fakeGame{cluster: cluster, faults: &fakeFaults{}}
	limits := visitor.DefaultLimits()
	limits.Act, limits.AddressAct, limits.Guesses = visitor.Rate{PerSecond: 1e9, Burst: 1e9}, visitor.Rate{PerSecond: 1e9, Burst: 1e9}, visitor.Rate{PerSecond: 1e9, Burst: 1e9}
	a := public()
	a.Limits, a.Proxies = limits, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s := newServer(Deps{Cluster: cluster, Arena: game, Faults: game.faults, Access: a})
	handler := s.handler()
	paths := []string{"hit", "arena/name", "arena/heal", "arena/level", "arena/pause", "arena/reset", "owner", "attacks", "attacks/f1/heal", "nodes/worker-1/power"}
	f.Add(uint8(0), `{"target":"node/x","weapon":"y","visitor":"z"}`, sessionCookie+"="+s.door.signer.Session(visitor.ID{1}), "Bearer x", "localhost", "1.2.3.4, 5.6.7.8")
	f.Add(uint8(1), `{"name":"\u202e"}`, ownerCookie+"=AAAA", "", "127.0.0.1:80", "")
	f.Add(uint8(6), `{"token":"s3cre"}`, "", "Basic eDp5", "[::1]", "::1")
	f.Add(uint8(4), `{"paused":null}`, ";;=;", "Bearer", "evil", ",,,")
	f.Fuzz(func(t *testing.T, path uint8, body, cookie, authorization, host, forwarded string) {
		if strings.Contains(body, "s3cret") || strings.Contains(authorization, "s3cret") {
			t.Skip("that is the token")
		}
		r := httptest.NewRequest("POST", "/api/v1/"+paths[int(path)%len(paths)], strings.NewReader(body))
		r.Host, r.RemoteAddr = host, "192.0.2.1:1"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Forwarded-For", forwarded)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		var e Error
		if w.Code >= 400 && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Message == "" || e.Hint == "") {
			t.Errorf("%d without sentence and hint: %s", w.Code, w.Body)
		}
		if c := s.door.identify(r); c.owner || c.director {
			t.Errorf("cookie %q and authorization %q make an owner", cookie, authorization)
		}
		if bytes.Contains(w.Body.Bytes(), []byte(`"owner":true`)) || game.resets > 0 || len(game.faults.asked) > 0 {
			t.Errorf("a visitor directs the game: %s", w.Body)
		}
		if _, err := url.Parse(w.Header().Get("Location")); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"target":"a"}`))
	f.Add([]byte(`{"target":"a"} {}`))
	f.Add([]byte("{\"target\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in HitRequest
		if decode(bytes.NewReader(body), &in) == nil && !json.Valid(body) {
			t.Errorf("%q is no JSON, but is read as %+v", body, in)
		}
	})
}

func TestDocumentsAreReadableAndNothingElse(t *testing.T) {
	l := newLab(t, time.Second)
	srv := l.serve(t)
	get := func(path string) (int, string, http.Header) {
		resp, err := srv.Client().Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), resp.Header
	}
	for _, path := range []string{"/docs/faults", "/docs/faults.md"} {
		code, body, header := get(path)
		if code != 200 || !strings.Contains(body, "<table>") || !strings.Contains(body, "pod-kill") || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	_, list, _ := get("/docs/")
	for name := range documents() {
		if name == "" {
			continue
		}
		code, body, _ := get("/docs/" + name)
		if code != 200 || strings.Contains(body, "<script") || strings.Contains(body, " style=") || strings.Contains(body, "javascript:") {
			t.Errorf("%s: %d", name, code)
		}
		if !strings.Contains(list, fmt.Sprintf(`href="/docs/%s"`, name)) {
			t.Errorf("%s is not in the list", name)
		}
	}
	if code, _, _ := get("/docs/nothing"); code != 404 {
		t.Errorf("no document: %d", code)
	}
	if code, body, _ := get("/docs/style.css"); code != 200 || !strings.Contains(body, "body {") {
		t.Errorf("style: %d", code)
	}
	if got := string(render([]byte("<script>x</script> [a](javascript:x)"))); strings.Contains(got, "<script") || strings.Contains(got, "javascript") {
		t.Errorf("rendered %q", got)
	}
}

// Browsers know no ports of cookies: what one lab on a host sets, the others get.
func TestLabsOnOneHostDoNotTakeEachOthersCookies(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	names := map[string]bool{}
	for _, lab := range []string{"", "two"} {
		l := newLab(t, time.Second)
		a := public()
		a.Lab = lab
		l.reopen(a)
		resp, err := client.Get(l.serve(t).URL + "/api/v1/session")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for _, c := range resp.Cookies() {
			names[c.Name] = true
		}
	}
	if len(names) != 2 {
		t.Errorf("two labs set the cookies %v", names)
	}
}
