package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/http2"
)

// both serves HTTP/1.1 and HTTP/2 without TLS.
func both(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestEveryLaneDoesWhatItSays(t *testing.T) {
	for _, l := range Lanes() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			from := map[string]int{}
			notes := map[string]bool{}
			srv := both(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				from[r.RemoteAddr]++
				if r.ProtoMajor == 2 != l.HTTP2 {
					t.Errorf("it came by %s", r.Proto)
				}
				if !l.Write {
					if r.Method != http.MethodGet || r.URL.Path != "/" {
						t.Errorf("%s %s", r.Method, r.URL)
					}
					return
				}
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Method != http.MethodPost || r.URL.Path != "/notes" || len(body) != noteLength || notes[string(body)] {
					t.Errorf("%s %s with %q, %v", r.Method, r.URL, body, err)
				}
				notes[string(body)] = true
				digest := sha256.Sum256(body)
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, hex.EncodeToString(digest[:]))
			})
			p := start(t, Config{URL: srv.URL + "/", Rate: 100, Reuse: l.Reuse, HTTP2: l.HTTP2, Write: l.Write, Timeout: 10 * time.Second, SlowAfter: 10 * time.Second})
			until(t, "50 were served", func() bool { s := p.Summary(); return s.Sent-s.Missed >= 50 })
			if s := p.Summary(); s.Failed > 0 {
				t.Fatalf("%d failed: %+v", s.Failed, s.Outage)
			}
			slots, _ := p.Recent(0, 0)
			for _, s := range slots {
				if s.Class == Missed {
					continue
				}
				if !l.Reuse && (s.Connected < s.Start || s.FirstByte < s.Connected) || s.FirstByte < s.Start || s.End < s.FirstByte || s.Start < s.Due {
					t.Errorf("out of order: %+v", s)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			most := 0
			for _, n := range from {
				most = max(most, n)
			}
			if l.Reuse != (most > 1) {
				t.Errorf("at most %d requests on one connection", most)
			}
		})
	}
}

func TestAWriteIsRightOnlyIfItsBodyArrived(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, body []byte){
		"no proof":         func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusCreated) },
		"proof of another": func(w http.ResponseWriter, b []byte) { prove(w, append(b, '!')) },
		"200 instead of 201": func(w http.ResponseWriter, b []byte) {
			d := sha256.Sum256(b)
			io.WriteString(w, hex.EncodeToString(d[:]))
		},
		"the body as it came": func(w http.ResponseWriter, b []byte) { w.WriteHeader(http.StatusCreated); w.Write(b) },
	} {
		for _, h2 := range []bool{false, true} {
			srv := both(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				answer(w, body)
			})
			p := start(t, Config{URL: srv.URL + "/", Write: true, HTTP2: h2, Timeout: 10 * time.Second})
			until(t, "some are over", func() bool { s := p.Summary(); return s.Sent-s.Missed >= 3 })
			slots, _ := p.Recent(0, 0)
			for _, s := range slots {
				if s.Class != Wrong && s.Class != Missed {
					t.Errorf("%s, HTTP/2 %v: %s (%s), want wrong", name, h2, s.Class, s.Error)
				}
			}
		}
	}
}

func prove(w http.ResponseWriter, body []byte) {
	digest := sha256.Sum256(body)
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, hex.EncodeToString(digest[:]))
}

func TestClassesOfHTTP2Answers(t *testing.T) {
	// raw speaks frames by itself.
	raw := func(f func(c net.Conn, fr *http2.Framer, stream uint32)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
					fr := http2.NewFramer(c, c)
					fr.WriteSettings()
					for {
						frame, err := fr.ReadFrame()
						if err != nil {
							return
						}
						if h, ok := frame.(*http2.HeadersFrame); ok {
							f(c, fr, h.StreamID)
						}
					}
				}()
			}
		}()
		return "http://" + l.Addr().String() + "/"
	}
	status := func(code int) string {
		return both(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }).URL + "/"
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	headers := func(fr *http2.Framer, stream uint32, end bool) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: appendLiteral(nil, ":status", "200"), EndHeaders: true, EndStream: end})
	}
	for _, c := range []struct {
		name, url string
		class     Class
		status    int
	}{
		{"ok", status(200), OK, 200},
		{"503", status(503), ServerError, 503},
		{"404", status(404), ClientError, 404},
		{"refused", "http://" + closed.Addr().String() + "/", Refused, 0},
		{"stream reset", raw(func(_ net.Conn, fr *http2.Framer, s uint32) { fr.WriteRSTStream(s, http2.ErrCodeRefusedStream) }), Reset, 0},
		{"goodbye before it was taken", raw(func(_ net.Conn, fr *http2.Framer, s uint32) { fr.WriteGoAway(0, http2.ErrCodeNo, nil) }), Reset, 0},
		{"cut short", raw(func(c net.Conn, fr *http2.Framer, s uint32) { headers(fr, s, false); c.Close() }), Reset, 200},
		{"silence", raw(func(net.Conn, *http2.Framer, uint32) {}), Stalled, 0},
		{"stuck in the middle", raw(func(_ net.Conn, fr *http2.Framer, s uint32) { headers(fr, s, false) }), Stalled, 200},
		{"an early answer first", raw(func(_ net.Conn, fr *http2.Framer, s uint32) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: appendLiteral(nil, ":status", "103"), EndHeaders: true})
			headers(fr, s, true)
		}), OK, 200},
		{"not HTTP/2", raw(func(c net.Conn, _ *http2.Framer, _ uint32) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), Wrong, 0},
	} {
		for _, reuse := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p := start(t, Config{URL: c.url, HTTP2: true, Reuse: reuse, Timeout: 500 * time.Millisecond, SlowAfter: time.Second})
				until(t, "a request is over", func() bool { s := p.Summary(); return s.Sent > s.Missed })
				slots, _ := p.Recent(0, 0)
				for _, s := range slots {
					if s.Class != Missed {
						if s.Class != c.class || s.Status != c.status && c.class != Stalled {
							t.Errorf("reuse %v: class %s status %d (%s), want %s %d", reuse, s.Class, s.Status, s.Error, c.class, c.status)
						}
						break
					}
				}
			})
		}
	}
}

func TestAConnectionThatTheServerEndedWhileIdleIsNobodysFailure(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		var conns sync.Map
		var opened atomic.Int64
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		srv.Config.Protocols = new(http.Protocols)
		srv.Config.Protocols.SetHTTP1(true)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				opened.Add(1)
				conns.Store(c, nil)
			}
		}
		srv.Start()
		q, err := newRequest(&Config{URL: srv.URL + "/", Expect: func(int, http.Header, []byte) bool { return true }})
		if err != nil {
			t.Fatal(err)
		}
		c := &Config{Reuse: true, Dial: (&net.Dialer{}).DialContext}
		subject := Subject(newHTTP1(c, q))
		if h2 {
			subject = newHTTP2(c, q)
		}
		for i := range 5 {
			if r := subject.Ask(t.Context(), time.Now().Add(10*time.Second)); r.Class != OK {
				t.Errorf("HTTP/2 %v, request %d: %s %v", h2, i, r.Class, r.Err)
			}
			if i > 0 && opened.Load() != int64(i)+1 {
				t.Errorf("%d connections for %d requests that each found theirs ended", opened.Load(), i+1)
			}
			conns.Range(func(k, _ any) bool { k.(net.Conn).Close(); conns.Delete(k); return true })
		}
		subject.Close()
		srv.Close()
	}
}

func TestClassesOfLookups(t *testing.T) {
	right := netip.MustParseAddr("198.18.128.77")
	serve := func(answer func(w dns.ResponseWriter, m *dns.Msg)) string {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if q.Question[0].Name != "web.web.svc.cluster.local." || q.Question[0].Qtype != dns.TypeA {
				t.Errorf("asked %v", q.Question)
			}
			answer(w, new(dns.Msg).SetReply(q))
		})}
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
		return pc.LocalAddr().String()
	}
	says := func(code int, addresses ...string) func(dns.ResponseWriter, *dns.Msg) {
		return func(w dns.ResponseWriter, m *dns.Msg) {
			m.Rcode = code
			for _, a := range addresses {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(a)})
			}
			w.WriteMsg(m)
		}
	}
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, c := range []struct {
		name, server string
		want         []netip.Addr
		class        Class
		status       int
	}{
		{"right", serve(says(dns.RcodeSuccess, right.String())), []netip.Addr{right}, OK, 1000},
		{"any will do", serve(says(dns.RcodeSuccess, right.String())), nil, OK, 1000},
		{"another address", serve(says(dns.RcodeSuccess, "198.18.128.1")), []netip.Addr{right}, Wrong, 1000},
		{"no address", serve(says(dns.RcodeSuccess)), nil, Wrong, 1000},
		{"NXDOMAIN", serve(says(dns.RcodeNameError)), nil, Wrong, 1003},
		{"SERVFAIL", serve(says(dns.RcodeServerFailure)), nil, ServerError, 1002},
		{"nobody listens", gone.LocalAddr().String(), nil, Refused, 0},
		{"silence", serve(func(dns.ResponseWriter, *dns.Msg) {}), nil, Timeout, 0},
		{"the answer to another question first", serve(func(w dns.ResponseWriter, m *dns.Msg) {
			id := m.Id
			m.Id++
			says(dns.RcodeNameError)(w, m)
			m.Id = id
			says(dns.RcodeSuccess, right.String())(w, m)
		}), []netip.Addr{right}, OK, 1000},
	} {
		d := DNS{Server: c.server, Name: "web.web.svc.cluster.local", Want: c.want, Dial: (&net.Dialer{}).DialContext}
		r := d.Ask(t.Context(), time.Now().Add(500*time.Millisecond))
		if r.Class != c.class || r.Status != c.status {
			t.Errorf("%s: %s %d (%v), want %s %d", c.name, r.Class, r.Status, r.Err, c.class, c.status)
		}
	}
}

func TestAnAPIServerThatForgetsIsStale(t *testing.T) {
	version := "41"
	lose := false
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := strings.TrimSuffix(strings.TrimPrefix(string(body), `{"data":`), `}`)
		if lose {
			n = `{}`
		}
		io.WriteString(w, `{"kind":"ConfigMap","metadata":{"resourceVersion":"`+version+`"},"data":`+n+`}`)
	}))
	defer srv.Close()
	seen := &Sequence{}
	secure := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	secure.ServerName = "example.com"
	k := KubeAPI{Address: srv.Listener.Addr().String(), TLS: secure, Path: "/", Seen: seen, Dial: (&net.Dialer{}).DialContext}
	read, stranger := k.Subject(), KubeAPI{}
	k.Write, k.Reuse = true, true
	write := k.Subject()
	defer write.Close()
	ask := func(s Subject, want Class) {
		t.Helper()
		if r := s.Ask(t.Context(), time.Now().Add(10*time.Second)); r.Class != want {
			t.Errorf("version %s: %s (%v), want %s", version, r.Class, r.Err, want)
		}
	}
	ask(read, OK)
	version = "42"
	ask(write, OK)
	ask(read, OK)
	version = "40"
	ask(read, Stale)
	version = "43"
	ask(read, OK)
	version = "x"
	ask(read, Wrong)
	version, lose = "44", true
	ask(write, Wrong)
	stranger = k
	stranger.TLS = secure.Clone()
	stranger.TLS.RootCAs = nil
	ask(stranger.Subject(), Wrong) // an unknown certificate is not the prober's fault
}

func TestSequence(t *testing.T) {
	var s Sequence
	if !s.Fresh(5, s.Floor()) || s.Floor() != 5 || s.Fresh(4, 5) || !s.Fresh(4, 3) || s.Floor() != 5 {
		t.Errorf("floor %d, want 5", s.Floor())
	}
}

func TestWhatCouldNotBeTriedBlamesNobody(t *testing.T) {
	for err, want := range map[error]Class{syscall.EMFILE: Missed, syscall.EADDRNOTAVAIL: Missed, syscall.ECONNREFUSED: Refused, context.DeadlineExceeded: Timeout, syscall.ENETUNREACH: Unreachable} {
		if got := DialClass(&net.OpError{Op: "dial", Err: err}); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
