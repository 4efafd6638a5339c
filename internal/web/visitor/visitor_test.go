package visitor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

var begin = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestASessionIsReadAsItWasWritten(t *testing.T) {
	s := NewSigner(NewKey())
	id := NewID()
	if got, ok := s.ReadSession(s.Session(id)); !ok || got != id {
		t.Errorf("%v %v, want %v", got, ok, id)
	}
}

func TestForgedSessionsAreRefused(t *testing.T) {
	s, other := NewSigner(NewKey()), NewSigner(NewKey())
	good := s.Session(NewID())
	if _, ok := other.ReadSession(good); ok {
		t.Error("a session of another lab counts")
	}
	for i := range good {
		changed := []byte(good)
		for changed[i] == good[i] {
			changed[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_019"[rand.IntN(31)]
		}
		if _, ok := s.ReadSession(string(changed)); ok {
			t.Errorf("changed at %d it counts: %s", i, changed)
		}
	}
	for _, bad := range []string{"", "x", good + "A", good[1:], good + "=", good + "\n", strings.Repeat("A", len(good)), " " + good} {
		if _, ok := s.ReadSession(bad); ok {
			t.Errorf("%q counts", bad)
		}
	}
	if _, ok := s.ReadSession(s.Owner("t", begin)); ok {
		t.Error("an owner's cookie counts as a session")
	}
}

func FuzzSessionCookie(f *testing.F) {
	key := Key{1, 2, 3}
	s := NewSigner(key)
	f.Add(s.Session(ID{7}))
	f.Add(s.Owner("token", begin))
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 32)))
	f.Fuzz(func(t *testing.T, value string) {
		id, ok := s.ReadSession(value)
		if ok && s.Session(id) != value {
			t.Errorf("%q is read as %v, which is written %q", value, id, s.Session(id))
		}
		if ok && id != (ID{7}) {
			t.Errorf("%q was never written, but is read", value)
		}
		s.IsOwner(value, "token", begin)
	})
}

func TestTheOwnersCookieEndsWithItsTimeAndItsToken(t *testing.T) {
	s := NewSigner(NewKey())
	c := s.Owner("secret", begin.Add(time.Hour))
	if !s.IsOwner(c, "secret", begin) {
		t.Error("it does not count at all")
	}
	if s.IsOwner(c, "secret", begin.Add(time.Hour)) {
		t.Error("it counts when its time is over")
	}
	if s.IsOwner(c, "rotated", begin) {
		t.Error("it counts for another token")
	}
	if s.IsOwner(s.Owner("", begin.Add(time.Hour)), "", begin) {
		t.Error("it counts without a token")
	}
}

func TestANameBelongsToOneSession(t *testing.T) {
	n := NewNames(10)
	ada, eve := NewID(), NewID()
	if got, err := n.Give(ada, "  Ada \t Lovelace "); err != nil || got != "Ada Lovelace" || n.Of(ada) != got {
		t.Errorf("%q %v", got, err)
	}
	for _, stolen := range []string{"Ada Lovelace", "ada lovelace", "ADA  LOVELACE", "Ada\u200b Lovelace", "owner", "Autopilot", ada.Guest(), "Guest 0000"} {
		if got, err := n.Give(eve, stolen); !errors.Is(err, ErrTaken) && got != eve.Guest() {
			t.Errorf("%q was given to another: %q %v", stolen, got, err)
		}
	}
	if _, err := n.Give(ada, "Countess"); err != nil {
		t.Error(err)
	}
	if _, err := n.Give(eve, "ada lovelace"); err != nil {
		t.Errorf("a name that was given up stays taken: %v", err)
	}
	if _, err := n.Give(eve, " \u202e\x00\n"); !errors.Is(err, ErrNoName) {
		t.Errorf("an empty name: %v", err)
	}
	if n.Of(NewID()) == "" || n.Of(eve) != "ada lovelace" {
		t.Errorf("names are %q and %q", n.Of(NewID()), n.Of(eve))
	}
}

func TestNamesAreForgottenButNotMixedUp(t *testing.T) {
	n := NewNames(3)
	var ids []ID
	for i := range 100 {
		id := NewID()
		ids = append(ids, id)
		if _, err := n.Give(id, fmt.Sprint("player ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.owner) != 3 || n.given.len() != 3 {
		t.Errorf("%d names, %d sessions are remembered, want 3", len(n.owner), n.given.len())
	}
	if n.Of(ids[99]) != "player 99" || n.Of(ids[0]) != ids[0].Guest() {
		t.Errorf("the last is %q, the first %q", n.Of(ids[99]), n.Of(ids[0]))
	}
	if _, err := n.Give(NewID(), "player 0"); err != nil {
		t.Errorf("a forgotten name stays taken: %v", err)
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"Ada", "", "\xff\xfe", "a\u0301\u0301\u0301\u0301", strings.Repeat("x", 100), "\u202eevil", "👩‍🚀 Zoë", "a\u00a0b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if utf8.RuneCountInString(got) > MaxName || !utf8.ValidString(got) || got != strings.TrimSpace(got) {
			t.Errorf("%q became %q", s, got)
		}
		for _, r := range got {
			if r != ' ' && !unicode.IsPrint(r) {
				t.Errorf("%q keeps %U", s, r)
			}
		}
		if again := Clean(got); again != got {
			t.Errorf("%q becomes %q, and then %q", s, got, again)
		}
	})
}

func TestWhoIsTooFastIsHeldBackAndToldForHowLong(t *testing.T) {
	l := DefaultLimits()
	l.Act = Rate{10, 5}
	g := NewGate(l)
	id, at := NewID(), netip.MustParseAddr("192.0.2.1")
	passed := 0
	for range 20 {
		if _, ok := g.Admit(begin, &id, at, Act); ok {
			passed++
		}
	}
	if passed != 5 {
		t.Errorf("%d at once, want 5", passed)
	}
	wait, ok := g.Admit(begin, &id, at, Act)
	if ok || wait != 100*time.Millisecond {
		t.Errorf("told to wait %v, want 100 ms", wait)
	}
	if _, ok := g.Admit(begin.Add(wait), &id, at, Act); !ok {
		t.Error("came as told and was refused")
	}
	for i := range 30 { // at the pace that is allowed, for three seconds
		if _, ok := g.Admit(begin.Add(time.Second+time.Duration(i)*100*time.Millisecond), &id, at, Act); !ok {
			t.Fatalf("refused at %d", i)
		}
	}
}

func TestAFlooderTakesNothingFromOthers(t *testing.T) {
	g := NewGate(DefaultLimits())
	flooder, good := NewID(), NewID()
	at, elsewhere := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for i := range 10_000 {
		now := begin.Add(time.Duration(i) * time.Millisecond)
		g.Admit(now, &flooder, at, Act)
		g.Admit(now, nil, at, Read)
		if i%200 == 0 {
			for _, a := range []netip.Addr{at, elsewhere} {
				if _, ok := g.Admit(now, &good, a, Act); !ok {
					t.Fatalf("somebody else at %v is refused after %d ms", a, i)
				}
			}
		}
	}
}

func TestManySessionsOfOneAddressShareItsLimit(t *testing.T) {
	l := DefaultLimits()
	g := NewGate(l)
	passed := 0
	for range 5000 {
		id := NewID()
		if _, ok := g.Admit(begin, &id, netip.MustParseAddr("2001:db8::1"), Act); ok {
			passed++
		}
	}
	if passed != int(l.AddressAct.Burst) {
		t.Errorf("%d passed, want %g", passed, l.AddressAct.Burst)
	}
	if _, ok := g.Admit(begin, nil, netip.Addr{}, Act); !ok {
		t.Error("a request from nowhere is refused at once")
	}
	id := NewID()
	if _, ok := g.Admit(begin, &id, netip.MustParseAddr("2001:db8::ffff"), Act); ok {
		t.Error("another address of the same network has a limit of its own")
	}
	if _, ok := g.Admit(begin, &id, netip.MustParseAddr("2001:db8:0:1::1"), Act); !ok {
		t.Error("another network has none")
	}
	if _, ok := g.Admit(begin, &id, netip.MustParseAddr("::ffff:192.0.2.9"), Act); !ok || Network(netip.MustParseAddr("::ffff:192.0.2.9")) != netip.MustParseAddr("192.0.2.9") {
		t.Error("IPv4 within IPv6 is no address of its own")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	l := DefaultLimits()
	l.MaxSessions, l.MaxAddresses = 100, 50
	g := NewGate(l)
	for i := range 10_000 {
		id := NewID()
		g.Admit(begin, &id, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Act)
	}
	if g.sessions.len() != 100 || g.addresses.len() != 50 {
		t.Errorf("%d sessions and %d addresses", g.sessions.len(), g.addresses.len())
	}
}

func TestStreamsAreCountedUntilTheyClose(t *testing.T) {
	l := DefaultLimits()
	l.Streams, l.AddressStreams, l.AllStreams = 2, 3, 4
	g := NewGate(l)
	a, b, c := NewID(), NewID(), NewID()
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	open := func(id ID, at netip.Addr, wantOwn, want bool) func() {
		t.Helper()
		closed, own, ok := g.Open(&id, at)
		if ok != want || own != wantOwn {
			t.Errorf("own %v ok %v, want %v %v", own, ok, wantOwn, want)
		}
		return closed
	}
	first := open(a, here, true, true)
	open(a, here, true, true)
	open(a, there, true, false) // the session has two
	open(b, here, true, true)
	open(b, here, true, false) // the address has three
	open(b, there, true, true)
	open(c, there, false, false) // four in all
	first()
	first() // closing twice counts once
	open(c, there, true, true)
	if g.Streams() != 4 {
		t.Errorf("%d streams", g.Streams())
	}
}
