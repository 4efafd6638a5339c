package web

import (
	"context"
	"net/http"
	"testing"

	"zdl/internal/cause"
)

func TestAnOutageIsExplainedByItsNumberAndSubject(t *testing.T) {
	l := newLab(t, 0)
	l.deps.Cause = func(_ context.Context, subject string, id int) (cause.Breakdown, bool) {
		return cause.Breakdown{Outage: cause.Outage{ID: id, Subject: subject}}, id == 7
	}
	l.handler = Handler(l.deps)
	srv := l.serve(t)
	for path, want := range map[string]struct {
		status  int
		subject string
	}{
		"7/cause": {http.StatusOK, "service"}, "7/cause?subject=dns": {http.StatusOK, "dns"},
		"8/cause": {http.StatusNotFound, ""}, "0/cause": {http.StatusBadRequest, ""}, "x/cause": {http.StatusBadRequest, ""},
	} {
		var b cause.Breakdown
		status, failure := ask(t, srv.Client(), "GET", srv.URL+"/api/v1/outages/"+path, "", nil, &b)
		if status != want.status || b.Outage.Subject != want.subject {
			t.Errorf("%s: status %d, %+v, want %+v", path, status, b.Outage, want)
		}
		if status != http.StatusOK && (failure.Message == "" || failure.Hint == "") {
			t.Errorf("%s: the refusal says nothing: %+v", path, failure)
		}
	}
}
