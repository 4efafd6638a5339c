package web

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zdl/internal/probe"
)

// measuring stands in for a lab that measures.
type measuring struct {
	asked probe.Request
	fail  error
}

func (m *measuring) Probe(_ context.Context, r probe.Request, each func(probe.Report) error) error {
	m.asked = r
	if m.fail != nil {
		return m.fail
	}
	for _, done := range []bool{false, true} {
		if err := each(probe.Report{Subject: r.Subject, Done: done}); err != nil {
			return err
		}
	}
	return nil
}

// measure posts as the owner, through a unix socket.
func measure(p Probes, body string) *httptest.ResponseRecorder {
	s := &server{Deps: Deps{Probes: p}}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/probes", strings.NewReader(body))
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Net: "unix"})))
	w := httptest.NewRecorder()
	owner(s.postProbes)(w, r)
	return w
}

func TestAMeasurementIsToldLineByLine(t *testing.T) {
	m := &measuring{}
	w := measure(m, `{"subject":"dns","rate":5,"for":2000000000}`)
	decoder := json.NewDecoder(w.Body)
	var first, last probe.Report
	if err := errors.Join(decoder.Decode(&first), decoder.Decode(&last)); err != nil {
		t.Fatal(err)
	}
	if first.Done || !last.Done || decoder.More() || m.asked.Subject != "dns" || m.asked.Rate != 5 || m.asked.For.Seconds() != 2 {
		t.Errorf("asked %+v, told %+v, %+v", m.asked, first, last)
	}
}

func TestAMeasurementThatCannotBeIsRefused(t *testing.T) {
	for _, c := range []struct {
		probes Probes
		body   string
		status int
	}{
		{nil, `{}`, http.StatusNotImplemented},
		{&measuring{fail: errors.New("no such machine")}, `{"from":"mars"}`, http.StatusUnprocessableEntity},
		{&measuring{}, `{"lane":"new"}`, http.StatusBadRequest},
	} {
		if w := measure(c.probes, c.body); w.Code != c.status {
			t.Errorf("%s: %d %s, want %d", c.body, w.Code, w.Body, c.status)
		}
	}
}

func TestOnlyTheOwnerMeasures(t *testing.T) {
	s := &server{Deps: Deps{Probes: &measuring{}}}
	w := httptest.NewRecorder()
	owner(s.postProbes)(w, httptest.NewRequest(http.MethodPost, "/api/v1/probes", strings.NewReader(`{}`)))
	if w.Code != http.StatusForbidden {
		t.Errorf("a visitor got %d, want 403", w.Code)
	}
}
