package step

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/database"
	"zdl/internal/database/patroni"
	"zdl/internal/fault"
)

// Switchover makes the primary of the lab's database hand over to another member,
// as planned maintenance does: it writes everything out, waits until the other
// has it, and only then gives up.
type Switchover struct {
	w        *World
	From     string     `json:"from"` // pods
	To       string     `json:"to"`
	FromAddr netip.Addr `json:"fromAddr"`
	ToAddr   netip.Addr `json:"toAddr"`
	Timeline uint32     `json:"timeline"` // before

	asked, done time.Time // when it was asked for and confirmed, for the evidence
}

// NewSwitchover plans one; timeline is the present one.
func (w *World) NewSwitchover(from, to string, fromAddr, toAddr netip.Addr, timeline uint32) fault.Step {
	return &Switchover{w: w, From: from, To: to, FromAddr: fromAddr, ToAddr: toAddr, Timeline: timeline}
}

// Mechanism is "switchover".
func (s *Switchover) Mechanism() string { return "switchover" }

// Touches who leads.
func (s *Switchover) Touches() []string { return []string{"database/leader"} }

// switchoverPatience bounds a switchover: Patroni itself waits for two of its loops
// and longer where the primary has much to write.
const switchoverPatience = 40 * time.Second

// Inject asks the primary, unless the other one leads already.
func (s *Switchover) Inject(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, switchoverPatience)
	defer cancel()
	client := s.w.Patroni()
	if m, err := client.Ask(ctx, s.ToAddr); err == nil && m.Leads() && m.Timeline > s.Timeline {
		return nil
	}
	password, err := s.w.patroniPassword(ctx)
	if err != nil {
		return err
	}
	client.User, client.Password = database.RESTUser, password
	s.asked = time.Now()
	err = client.Switchover(ctx, s.FromAddr, s.From, s.To)
	s.done = time.Now()
	return err
}

// Verify asks both members.
func (s *Switchover) Verify(ctx context.Context) (string, error) {
	client := s.w.Patroni()
	now, err := client.Ask(ctx, s.ToAddr)
	if err != nil {
		return "", err
	}
	if !now.Leads() || now.Timeline <= s.Timeline {
		return "", fmt.Errorf("%s is %s (%s) on timeline %d", s.To, now.Role, now.State, now.Timeline)
	}
	before, err := client.Ask(ctx, s.FromAddr)
	if err != nil {
		return "", err
	}
	if before.Leads() {
		return "", fmt.Errorf("%s still leads", s.From)
	}
	took := ""
	if !s.asked.IsZero() {
		took = fmt.Sprintf(", %.1f s after it was asked for", s.done.Sub(s.asked).Seconds())
	}
	return fmt.Sprintf("%s leads on timeline %d, %s is %s (timeline %d before)%s", s.To, now.Timeline, s.From, before.Role, s.Timeline, took), nil
}

// Undo has nothing to do: either member is as good.
func (s *Switchover) Undo(context.Context) error { return nil }

// State is empty: who leads is nobody's property.
func (s *Switchover) State(context.Context) (map[string]string, error) {
	return map[string]string{}, nil
}

// Patroni reads what members of the database say, from where users are.
func (w *World) Patroni() *patroni.Client {
	return &patroni.Client{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return w.Local.Dial(ctx, "outside", network, addr)
	}}
}

// patroniPassword is in a Secret and not in the journal.
func (w *World) patroniPassword(ctx context.Context) (string, error) {
	kube, err := w.Kube()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	secret, err := kube.CoreV1().Secrets(database.Namespace).Get(ctx, database.App, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the password of Patroni: %w", err)
	}
	if len(secret.Data["restapi"]) == 0 {
		return "", errors.New("the Secret of the database holds no password of Patroni")
	}
	return string(secret.Data["restapi"]), nil
}
