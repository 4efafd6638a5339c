package payment

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/http"
	"time"

	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/money"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/serve"
)

// Entry is an event of the ledger as it is shown to whoever compares what was
// promised with what is stored: without names and addresses.
type Entry struct {
	Seq    int64        `json:"seq"`
	At     time.Time    `json:"at"`
	Kind   ledger.Kind  `json:"kind"`
	Order  string       `json:"order,omitempty"`
	Key    string       `json:"key,omitempty"` // SHA-256 of the idempotency key, in hex
	Lines  []order.Line `json:"lines,omitempty"`
	Total  money.Cents  `json:"total,omitempty"`
	Queued bool         `json:"queued,omitempty"` // the checkout came through the queue
	Reason string       `json:"reason,omitempty"`
}

// Page is a part of the ledger.
type Page struct {
	Entries []Entry `json:"entries"`
	Next    int64   `json:"next"` // what to ask for next as ?after=
	More    bool    `json:"more"` // there was more when this was read
}

// list answers with up to ?limit= entries after ?after=, in the order of their
// numbers. While orders are taken, an entry with a lower number can still appear
// below one that was read: whoever wants to be sure reads again from a point
// before the moment of interest.
func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	after, err := whole(r, "after", 0, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	limit, err := whole(r, "limit", 500, 1, 2000)
	if err != nil {
		return err
	}
	events, err := s.ledger.List(r.Context(), after, int(limit)+1)
	if err != nil {
		return serve.Unavailable(err, "The ledger cannot be read now.")
	}
	page := Page{Entries: make([]Entry, 0, len(events)), Next: after, More: len(events) > int(limit)}
	for _, e := range events[:min(len(events), int(limit))] {
		page.Next = e.Seq
		page.Entries = append(page.Entries, entry(e))
	}
	return serve.JSON(w, http.StatusOK, page)
}

func entry(e ledger.Event) Entry {
	out := Entry{Seq: e.Seq, At: e.At, Kind: e.Kind, Order: e.Order, Lines: e.Body.Lines, Queued: e.Body.Queued, Reason: e.Body.Reason}
	if c := e.Body.Checkout; c != nil {
		sum := sha256.Sum256([]byte(c.Key))
		out.Key, out.Lines = hex.EncodeToString(sum[:]), c.Lines
	}
	if e.Body.Bill != nil {
		out.Total = e.Body.Bill.Total
	}
	return out
}
